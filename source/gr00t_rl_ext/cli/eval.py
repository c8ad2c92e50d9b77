# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/rsl_rl/eval.py``: checkpoints, and a server's policy, compared on the same initial states."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cli.arguments import DEFAULT_AGENT, is_gymnasium, parse_with_overrides
from gr00t_rl_ext.cli.environments import environments
from gr00t_rl_ext.cli.handler import UsageError, guarded, prepare_assets, with_task
from gr00t_rl_ext.cli.run_directory import model_file
from gr00t_rl_ext.files import write_whole
from gr00t_rl_ext.randomisation import FACTORS
from gr00t_rl_ext.runs import kept

BASE = "base"
"""In place of a checkpoint: the policy before reinforcement learning."""


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate. Returns the exit code: 0, or 2 if the command line cannot work."""
    return guarded(lambda: _evaluate(parse(with_task(argv))))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="eval.py",
        description="Compare checkpoints episode by episode: same seeds, same initial states, no exploration.",
        epilog="Config fields are overridden as in train.py; give those of the training that the policy depends on, as"
        " `agent.actor.gr00t.checkpoint=DIR`.",
        allow_abbrev=False,
    )
    parser.add_argument("--task", required=True, help="Task id, or gym: and the id of a Gymnasium environment.")
    parser.add_argument("--task_config", metavar="FILE", help="A task file, whose task is taken.")
    parser.add_argument("--agent", default=DEFAULT_AGENT, help="Agent of the task (default: %(default)s).")
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="CHECKPOINT",
        help="model_*.pt files or directories of runs, of which the last model is taken. base: the policy before"
        " reinforcement learning. All are compared with the first.",
    )
    parser.add_argument(
        "--noise_scale",
        nargs="+",
        metavar="SCALE",
        help="How much noise decisions begin with: 1 as GR00T draws it, 0 the centre of its flow. Each checkpoint is"
        " evaluated with each scale (default: the agent's agent.actor.noise_scale).",
    )
    parser.add_argument(
        "--vary",
        nargs="+",
        metavar="FACTOR",
        help="What the policies should survive: each is evaluated without, and with each of these drawn anew in each"
        f" episode, at each of --strengths. all, or of {', '.join(FACTORS)}.",
    )
    parser.add_argument(
        "--strengths",
        nargs="+",
        metavar="STRENGTH",
        help="How far each is drawn: 1 is the whole range (default: 0.5 1).",
    )
    parser.add_argument(
        "--server",
        metavar="HOST:PORT",
        help="Policy server in GR00T's protocol, such as scripts/serve.py or NVIDIA's. Its policy is evaluated after"
        " the checkpoints, if there are any. --agent tells what it sees and how many of its steps are executed.",
    )
    parser.add_argument("--api-token", help="What the server wants to be told.")
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="Seconds that its answer may take (default: %(default)s)."
    )
    parser.add_argument("--episodes", type=int, default=200, help="Of each checkpoint (default: %(default)s).")
    parser.add_argument("--num_envs", type=int, default=16, help="Environments at once (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of initial states and policies (default: %(default)s).")
    parser.add_argument(
        "--half-width",
        type=float,
        default=0.07,
        help="Largest distance from the success rate to an end of its 95%% interval that is acceptable, as a fraction;"
        " fewer episodes than it needs are refused (default: %(default)s).",
    )
    parser.add_argument("--out", type=Path, help="JSON file of the results; the table is written beside it (.md).")
    parser.add_argument(
        "--videos",
        type=int,
        default=0,
        help="Successes and failures of each checkpoint to film, as many of both; beside --out (default: %(default)s).",
    )
    parser.add_argument(
        "--side_by_side",
        action="store_true",
        help="Film an episode of the first and of the last row next to each other; beside --out.",
    )
    return parse_with_overrides(parser, argv, "checkpoint", "noise_scale", "vary", "strengths")


def _evaluate(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from gr00t_rl_ext.cli import checks
    from gr00t_rl_ext.evaluation import comparison, remote, report
    from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping
    from gr00t_rl_ext.serving.client import PolicyClient

    prepare_assets(arguments.task, arguments.assets)
    checkpoints = check(arguments)
    scales = noise_scales(arguments.noise_scale)
    variations = varied(arguments, scales)
    client = None
    if arguments.server is not None:
        client = PolicyClient(arguments.server, api_token=arguments.api_token, timeout_s=arguments.timeout)

    mapping = EmbodimentMapping()

    def check_agent(agent_cfg: Any) -> None:
        nonlocal mapping
        if client is not None:
            mapping = EmbodimentMapping.load(getattr(getattr(agent_cfg.actor, "gr00t", None), "mapping", ""))
            remote.check_mapping(client.keys(), mapping)
        for checkpoint in checkpoints.values():
            checks.check_plays(agent_cfg, checkpoint)
        if scales and not hasattr(getattr(agent_cfg, "actor", None), "noise_scale"):
            raise UsageError(
                f"--noise_scale is given, but the agent {arguments.agent} does not act through GR00T's action head: its"
                " decisions begin with no noise. Leave out --noise_scale, or choose an agent that does, such as"
                " gr00t_ppo or gr00t_flow_ppo."
            )

    is_other_task = False

    def prepare(env_cfg: Any) -> None:
        from gr00t_rl_ext.randomisation.terms import randomise, strengths_of

        nonlocal is_other_task
        # without the factors that the task draws itself
        is_other_task = bool(variations and strengths_of(env_cfg))
        randomise(env_cfg, dict.fromkeys((factor for factor, _ in variations), 0.0))

    with client or contextlib.nullcontext(), environments(arguments, check_agent, prepare) as (env, agent_cfg):
        others = {}
        if client is not None:
            others[f"server {client.address}"] = lambda: remote.load_remote(env, agent_cfg, client, mapping)
        evaluations = comparison.evaluate_all(
            env,
            agent_cfg,
            checkpoints,
            **{name: getattr(arguments, name) for name in ("task", "agent", "episodes", "seed", "videos")},
            side_by_side=arguments.side_by_side,
            noise_scales=scales,
            variations=variations,
            remote=others,
            folder=arguments.out and arguments.out.with_suffix(""),
        )
    rows = report.summarise(evaluations)
    if not scales and not is_other_task:
        _note(evaluations, checkpoints)
    for table in report.terminal_tables(rows):
        Console().print(table)
    if arguments.out is not None:
        report.save(evaluations, arguments.out)
        table = arguments.out.with_suffix(".md")
        write_whole(table, report.markdown_table(rows))
        print(f"results: {arguments.out}\ntable:   {table}")
    return 0


def check(arguments: argparse.Namespace) -> dict[str, Path | None]:
    """Check what needs no environment.

    Returns:
        Name in the table -> checkpoint; None for the policy before reinforcement learning.

    Raises:
        UsageError: With one readable message.
    """
    from gr00t_rl_ext.cli import checks
    from gr00t_rl_ext.evaluation import comparison
    from gr00t_rl_ext.evaluation.statistics import check_episodes

    checks.check_at_least(1, arguments, "episodes", "num_envs")
    checks.check_at_least(0, arguments, "seed", "videos")
    check_episodes(arguments.episodes, arguments.half_width)
    if arguments.out is not None and arguments.out.suffix != ".json":
        raise UsageError(f"--out is '{arguments.out}'; expected a file that ends in .json.")
    for option in ("videos", "side_by_side"):
        if getattr(arguments, option) and arguments.out is None:
            raise UsageError(f"--{option} needs --out, beside which it is written.")
    if not arguments.checkpoint and arguments.server is None:
        raise UsageError(
            "--checkpoint is missing: name at least one model_*.pt, directory of a run, or base. Or name a policy"
            " server with --server."
        )
    if not arguments.checkpoint and arguments.noise_scale:
        raise UsageError("--noise_scale is of checkpoints, and none is given: a server decides its noise itself.")
    if arguments.server is None and arguments.api_token is not None:
        raise UsageError("--api-token is given without --server, which it is for.")
    if not 0 < arguments.timeout < math.inf:
        raise UsageError(f"--timeout is {arguments.timeout}; expected a positive number of seconds.")
    arguments.num_envs = min(arguments.num_envs, arguments.episodes)
    checkpoints = {
        item: None if item == BASE else model_file(Path(item), arguments.task, arguments.agent)
        for item in arguments.checkpoint
    }
    comparison.check_tasks([path for path in checkpoints.values() if path is not None], arguments.task)
    return _named(checkpoints)


def noise_scales(given: Sequence[str] | None) -> list[float]:
    """The values of ``--noise_scale``, each once; none where it is not given.

    Raises:
        UsageError: One is no scale, or there is none.
    """
    scales = []
    for item in given or ():
        scale = _number(item)
        if not 0.0 <= scale < math.inf:
            raise UsageError(f"--noise_scale is {item!r}; expected finite numbers of at least 0, such as 0 0.5 1.")
        scales.append(scale)
    if given is not None and not scales:
        raise UsageError("--noise_scale is empty; name one scale or more, such as 0 0.5 1.")
    return list(dict.fromkeys(scales))


def varied(arguments: argparse.Namespace, scales: Sequence[float]) -> list[tuple[str, float]]:
    """Factors and strengths of ``--vary`` and ``--strengths``, each once.

    Raises:
        UsageError: A factor or a strength is none, or another option does not go with them.
    """
    if arguments.vary is None:
        if arguments.strengths:
            raise UsageError("--strengths is given without --vary, which names the factors that it is for.")
        return []
    if not arguments.vary:
        raise UsageError(f"--vary is empty; name all, or of {', '.join(FACTORS)}.")
    if unknown := [name for name in arguments.vary if name not in (*FACTORS, "all")]:
        raise UsageError(f"--vary names {unknown[0]!r}; expected all, or of {', '.join(FACTORS)}.")
    if is_gymnasium(arguments.task):
        raise UsageError(f"--vary is for tasks of Isaac Lab; {arguments.task} is one of Gymnasium.")
    if len(scales) > 1:
        raise UsageError("--vary is given with several scales of --noise_scale; choose one of them.")
    if arguments.side_by_side:
        raise UsageError("--side_by_side is for one evaluation of each policy; leave it out, or leave out --vary.")
    names = list(FACTORS) if "all" in arguments.vary else list(dict.fromkeys(arguments.vary))
    given = ("0.5", "1") if arguments.strengths is None else arguments.strengths
    if not given:
        raise UsageError("--strengths is empty; name one or more, such as 0.5 1.")
    strengths = [_number(item) for item in given]
    for item, strength in zip(given, strengths, strict=True):
        if not 0.0 < strength < math.inf:
            raise UsageError(f"--strengths is {item!r}; expected finite numbers above 0, such as 0.5 1.")
    return [(name, strength) for name in names for strength in dict.fromkeys(strengths)]


def _number(text: str) -> float:
    """The number that a text has; NaN where it has none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _note(evaluations: Sequence[Any], checkpoints: dict[str, Path | None]) -> None:
    """Tell the runs how good their checkpoints are, for ``best``."""
    for evaluation in evaluations:
        if evaluation.randomised != evaluations[0].randomised:
            continue
        checkpoint, successes = checkpoints.get(evaluation.name), evaluation.successes
        if checkpoint is not None and successes is not None:
            kept.note_evaluation(checkpoint, sum(successes) / len(successes), len(successes))


def _named(checkpoints: dict[str, Path | None]) -> dict[str, Path | None]:
    """Short names if they tell the checkpoints apart, else what the user wrote."""
    short = [BASE if path is None else f"{path.parent.name}/{path.stem}" for path in checkpoints.values()]
    names = short if len(set(short)) == len(short) else list(checkpoints)
    return dict(zip(names, checkpoints.values(), strict=True))
