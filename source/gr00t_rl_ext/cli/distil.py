# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/distil.py``: what a policy over GR00T learnt, in a checkpoint that GR00T's own inference runs."""

from __future__ import annotations

import argparse
import copy
import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.cli.arguments import as_typed, parse_with_overrides
from gr00t_rl_ext.cli.environments import environments
from gr00t_rl_ext.cli.handler import UsageError, default_device, guarded, prepare_assets
from gr00t_rl_ext.cli.run_settings import RunSettings
from gr00t_rl_ext.cli.sft import PARTS
from gr00t_rl_ext.files import write_whole
from gr00t_rl_ext.imitation.sft_options import MAX_SMALL_PARAMETERS, SftOptions

if TYPE_CHECKING:
    from gr00t_rl_ext.imitation.distillation import Distillation
    from gr00t_rl_ext.imitation.rollouts import Interface
    from gr00t_rl_ext.policy.actor_critic import ActorDefinition

TRAINED, BASE, DISTILLED = "trained", "base", "distilled"
"""The policies, as :mod:`gr00t_rl_ext.imitation.distillation` calls them."""

SUMMARY, EVALUATIONS = "distil.json", "distil_evaluations.json"
"""Files in ``OUT``: what was done and what came of it; the episodes of the evaluations, as eval.py writes them."""

TRAINABLE = tuple(part for part in PARTS if part != "language")
"""``--train``: without what would need a number of layers."""

SMALL = {"train": ("full",), "learning_rate": 1e-3}
"""How a model of at most :data:`MAX_SMALL_PARAMETERS` is fine-tuned, unless the command line tells."""


def main(argv: Sequence[str] | None = None) -> int:
    """Distil. Returns the exit code: 0, 1 if the loss is not finite, 2 if the command line cannot work or no episode
    succeeds, 130 if interrupted."""
    arguments = parse(argv)
    arguments.command = shlex.join(["scripts/distil.py", *(sys.argv[1:] if argv is None else argv)])
    return guarded(lambda: _distil(arguments))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="distil.py",
        description="Fine-tune a GR00T on the successful episodes of the policy that a run trained over it, and write a"
        " GR00T checkpoint. Base, trained and distilled policy are compared on the same initial states.",
        epilog="The task is as the run's params/ hold it. Overrides of configs may follow, as in eval.py, such as"
        " agent.actor.gr00t.checkpoint=DIR where the GR00T of the run has moved.",
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="Directory of a run, or one of its model_*.pt.")
    parser.add_argument("out", metavar="OUT", type=Path, help="Directory of the checkpoint to write.")
    parser.add_argument(
        "--source",
        choices=[TRAINED, BASE],
        default=TRAINED,
        help="Whose episodes GR00T learns from. base: its own successes, without what the run learnt"
        " (default: %(default)s).",
    )
    parser.add_argument("--episodes", type=int, default=400, help="To run of the source (default: %(default)s).")
    parser.add_argument(
        "--base-episodes",
        type=int,
        default=0,
        help="To run of the base as well, whose successes are added (default: %(default)s).",
    )
    parser.add_argument(
        "--eval-episodes", type=int, default=200, help="To compare the policies in (default: %(default)s)."
    )
    parser.add_argument("--num_envs", type=int, default=16, help="Environments at once (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of states, policies and fine-tuning.")
    parser.add_argument(
        "--dataset", type=Path, help="Directory of the episodes, a LeRobot dataset (default: OUT with _rollouts)."
    )
    parser.add_argument("--agent", help="Name of the run's agent, where it is another by now.")
    learning = parser.add_argument_group("fine-tuning, as in sft.py")
    learning.add_argument(
        "--train",
        nargs="+",
        metavar="PART",
        help=f"What trains, of {', '.join(TRAINABLE)} (default: projector dit; full for a small model).",
    )
    learning.add_argument("--steps", type=int, default=SftOptions.steps, help="(default: %(default)s)")
    learning.add_argument("--batch-size", type=int, default=SftOptions.batch_size, help="(default: %(default)s)")
    learning.add_argument("--learning-rate", type=float, help="(default: 1e-4; 1e-3 for a small model)")
    return parse_with_overrides(parser, argv, "train")


def _distil(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.imitation.distillation import Distillation
    from gr00t_rl_ext.imitation.sft_run import SftRun

    settings = RunSettings.read(arguments.run)
    arguments.task, arguments.agent = settings.task, arguments.agent or settings.agent
    prepare_assets(arguments.task, arguments.assets)
    plan = _check(arguments, settings)
    about = {"task": arguments.task, "agent": arguments.agent, "overrides": list(map(as_typed, arguments.overrides))}
    with environments(arguments) as (env, _):
        work = Distillation.begin(env, plan.definition, plan.interface, arguments.dataset, about, arguments.seed)
        if arguments.source == TRAINED:
            work.run_trained(plan.saved, arguments.episodes, arguments.eval_episodes)
            work.run_base(arguments.base_episodes, arguments.eval_episodes, alone=False)
            _warn_without_gain(work.success)
        else:
            work.run_base(arguments.episodes, arguments.eval_episodes, alone=True)
        run = SftRun.prepare(plan.sft)
        summary.print_table("Fine-tuning", run.facts)
        finished = run.learn(arguments.out)
        del run
        if not finished:
            print(f"{'resume:':<12}{sft_command(plan.sft, arguments.out)} --resume")
            return 130
        work.run_distilled(arguments.out, arguments.eval_episodes)
    _report(arguments, plan.sft, work)
    return 0


@dataclass(frozen=True)
class _Plan:
    """What was checked before the simulator starts."""

    saved: Mapping[str, Any]
    """The training checkpoint."""

    definition: ActorDefinition
    """The policy that it is of."""

    interface: Interface
    sft: SftOptions


def _check(arguments: argparse.Namespace, settings: RunSettings) -> _Plan:
    """Check what needs no environment, and add the run's overrides to those of the command line."""
    from gr00t_rl_ext.algorithms.checkpoint import check_header
    from gr00t_rl_ext.cli import checks
    from gr00t_rl_ext.cli.export import read_model
    from gr00t_rl_ext.gr00t import Gr00tCheckpointError
    from gr00t_rl_ext.gr00t.weights import CheckpointWeights
    from gr00t_rl_ext.imitation.rollouts import Interface

    checks.check_at_least(1, arguments, "episodes", "eval-episodes", "num_envs")
    checks.check_at_least(0, arguments, "base-episodes", "seed")
    checks.check_device(arguments.device)
    if arguments.source == BASE and arguments.base_episodes:
        raise UsageError(
            "--base-episodes adds the base's episodes to those of --source trained. With --source base give --episodes."
        )
    arguments.out = arguments.out.expanduser()
    arguments.dataset = (arguments.dataset or arguments.out.with_name(f"{arguments.out.name}_rollouts")).expanduser()
    for what, place in (("OUT", arguments.out), ("--dataset", arguments.dataset)):
        if place.exists() and not (place.is_dir() and not any(place.iterdir())):
            raise UsageError(f"{what} is {str(place)!r}, which is not empty. Give a directory that does not exist yet.")
    saved = read_model(settings.checkpoint)
    definition = distillable(saved, settings.checkpoint, arguments.source)
    given = arguments.overrides
    found, agent_cfg = settings.overrides(arguments.agent, given)
    definition = with_overrides(definition, agent_cfg, given)
    try:
        base, fingerprint = definition.base()
    except Gr00tCheckpointError as error:
        raise UsageError(
            f"The GR00T that the run was trained over is not here: {error}. Where it has moved, append"
            " agent.actor.gr00t.checkpoint=DIR."
        ) from error
    check_header(dict(saved), fingerprint, str(base))
    weights = CheckpointWeights(base)
    size = sum(math.prod(weights.shape(key)) for key in weights.keys())
    plan = _Plan(saved, definition, Interface.of(definition), sft_options(arguments, definition, base, size))
    arguments.overrides = [*found, *given]
    return plan


def distillable(saved: Mapping[str, Any], file: Path, source: str) -> ActorDefinition:
    """The policy of a training checkpoint.

    Args:
        saved: The checkpoint.
        file: Where it came from.
        source: Whose episodes are asked for.

    Raises:
        ValueError: It is none that GR00T can learn from.
    """
    from gr00t_rl_ext.algorithms.checkpoint import check_format
    from gr00t_rl_ext.policy.actor_critic import known_actor
    from gr00t_rl_ext.policy.export import definition_of
    from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor

    check_format(dict(saved))
    if saved["base_name"] is None:
        raise UsageError(
            f"{str(file)!r} is of a policy without GR00T: there is no GR00T that could learn from it. Distil a run of"
            " an agent over GR00T, such as gr00t_ppo."
        )
    definition = definition_of(saved)
    actor_class = known_actor(definition.class_name)
    if source == TRAINED and issubclass(actor_class, Gr00tFlowActor):
        raise UsageError(
            f"{str(file)!r} is of a run that trained GR00T itself: its weights need no distillation. Write them as a"
            f" GR00T checkpoint: scripts/export_gr00t.py {shlex.quote(str(file.parent))} OUT."
        )
    if definition.spec["action_choices"]:
        raise UsageError(f"{str(file)!r} decides discrete actions, which GR00T's action head cannot give.")
    return definition


def with_overrides(definition: ActorDefinition, agent_cfg: Any, given: Sequence[str]) -> ActorDefinition:
    """A policy with the fields of ``agent.actor`` that a command line sets.

    Args:
        definition: The policy.
        agent_cfg: The agent's config with what is given.
        given: The overrides.

    Raises:
        UsageError: What is given would train another agent, or show it something else.
    """
    actor, spec = copy.deepcopy(dict(definition.actor)), definition.spec
    for item in given:
        path = item.lstrip("+~").partition("=")[0]
        section, *fields = path.split(".")
        if section != "agent":
            continue
        if fields[:1] == ["obs_groups"]:
            seen, wanted = list(agent_cfg.obs_groups["actor"]), [*spec["image_groups"], *spec["state_groups"]]
            if fields[-1] == "actor" and sorted(seen) != sorted(wanted):
                raise UsageError(f"{item!r} does not fit: the policy of the run observes {', '.join(wanted)}.")
        elif fields[:1] == ["actor"] and len(fields) > 1:
            node, value = actor, agent_cfg.actor
            for name in fields[1:-1]:
                node, value = node.setdefault(name, {}), getattr(value, name)
            value = getattr(value, fields[-1])
            node[fields[-1]] = value.to_dict() if hasattr(value, "to_dict") else value
        elif path != "agent.clip_actions":
            raise UsageError(
                f"{item!r} has no use: no reinforcement learning takes place. Of the agent, agent.actor can be changed."
            )
    return replace(definition, actor=actor)


def sft_options(arguments: argparse.Namespace, definition: ActorDefinition, base: Path, size: int) -> SftOptions:
    """How GR00T is fine-tuned.

    Args:
        arguments: The command line.
        definition: The policy of the run.
        base: The GR00T to begin with.
        size: Its parameters.

    Raises:
        ValueError: An option does not fit.
    """
    gr00t = definition.actor.get("gr00t", {})
    chosen: dict[str, Any] = dict(SMALL) if size <= MAX_SMALL_PARAMETERS else {}
    if arguments.train is not None:
        if not arguments.train or not set(arguments.train) <= set(TRAINABLE):
            given = " ".join(arguments.train) or "empty"
            raise UsageError(f"--train is {given}; expected some of {', '.join(TRAINABLE)}.")
        chosen["train"] = tuple(arguments.train)
    if arguments.learning_rate is not None:
        chosen["learning_rate"] = arguments.learning_rate
    return SftOptions(
        dataset=arguments.dataset,
        checkpoint=str(base),
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        keep_statistics=True,
        embodiment_tag=gr00t.get("embodiment_tag", SftOptions.embodiment_tag),
        tokenizer=gr00t.get("tokenizer") or None,
        crop_scale=gr00t.get("crop_scale"),
        data_config=gr00t.get("data_config") or None,
        # the actions to learn are a policy's own, of which there may be as many as it takes
        recipe="small",
        device=arguments.device or default_device(),
        **chosen,
    )


def sft_command(options: SftOptions, out: Path) -> str:
    """The command that fine-tunes alike on the episodes that are there."""
    words = ["scripts/sft.py", "--dataset", str(options.dataset), "--checkpoint", options.checkpoint, "--out", str(out)]
    words += ["--keep-statistics", *(["--train", *options.train] if options.train else [])]
    for name in (
        *("recipe", "steps", "batch_size", "learning_rate", "seed", "embodiment_tag", "tokenizer", "crop_scale"),
        *("data_config", "device"),
    ):
        if (value := getattr(options, name)) is not None:
            words += [f"--{name.replace('_', '-')}", f"{value}"]
    return shlex.join(words)


def _warn_without_gain(success: Mapping[str, float]) -> None:
    if success[TRAINED] <= success[BASE]:
        print(
            f"warning: the trained policy succeeds in {success[TRAINED]:.1%}, the base in {success[BASE]:.1%}: there is"
            " no gain to keep."
        )


def _report(arguments: argparse.Namespace, options: SftOptions, work: Distillation) -> None:
    """Print the comparison, and write what was done into ``OUT``."""
    from rich.console import Console

    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.evaluation import report

    out, share = arguments.out, work.share_kept
    evaluations = [work.evaluations[name] for name in (BASE, TRAINED, DISTILLED) if name in work.evaluations]
    for table in report.terminal_tables(report.summarise(evaluations)):
        Console().print(table)
    report.save(evaluations, out / EVALUATIONS)
    rollouts = {name: {**asdict(found), "seed": work.rollout_seed(name)} for name, found in work.rollouts.items()}
    content = {
        "command": arguments.command,
        "run": str(arguments.run),
        **work.about,
        "source": arguments.source,
        "dataset": str(options.dataset),
        "rollouts": rollouts,
        "fine_tuning": sft_command(options, out),
        "evaluation": {"episodes": arguments.eval_episodes, "seed": work.seed, "success": work.success},
        "share_of_gain_kept": share,
    }
    write_whole(out / SUMMARY, json.dumps(content, indent=2) + "\n")
    kept, attempted = (sum(of[key] for of in rollouts.values()) for key in ("kept", "attempted"))
    rows = {"learnt from": f"{kept} episodes that succeeded, of {attempted}"}
    if TRAINED in work.success:
        rows["gain kept"] = "nothing was gained" if share is None else f"{share:.0%} of the gain over the base"
    summary.print_table("Distillation", rows)
    for label, path in (("checkpoint", out), ("summary", out / SUMMARY), ("episodes", options.dataset)):
        print(f"{label + ':':<12}{path.resolve()}")
