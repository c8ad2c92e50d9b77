# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/sft.py``: a GR00T learns from demonstrations."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.cache import prepare_caches
from gr00t_rl_ext.cli.arguments import is_gymnasium
from gr00t_rl_ext.cli.handler import default_device, guarded
from gr00t_rl_ext.imitation.sft_options import MAX_SMALL_PARAMETERS, RECIPES, SMALL_NAME, SftOptions
from gr00t_rl_ext.tasks.files.registration import registering

if TYPE_CHECKING:
    from gr00t_rl_ext.imitation.sft_run import SftRun

PARTS = ("projector", "dit", "vl_self_attention", "language", "full")
"""What can be trained, of :data:`gr00t_rl_ext.policy.stages.PARTS`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit code: 0, 1 if the loss is not finite, 2 if the command line cannot work, 130 if
    interrupted."""
    arguments = parse(argv)
    return guarded(lambda: _train(arguments))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line. What is left open is no attribute: its default is that of :class:`SftOptions`."""
    parser = argparse.ArgumentParser(
        prog="sft.py",
        description="Fine-tune a GR00T on demonstrations (a LeRobot dataset with meta/modality.json) by its"
        " flow-matching loss, and write a GR00T checkpoint.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.set_defaults(resume=False)
    add = parser.add_argument
    add("--dataset", required=True, type=Path, help="Directory of the dataset.")
    add(
        "--checkpoint",
        required=True,
        help="Directory or hub id of the GR00T to start from; small: a small fresh one that learns on a CPU.",
    )
    add("--out", required=True, type=Path, help="Directory of the checkpoint to write.")
    add("--resume", action="store_true", help="Go on with the run in --out; all other arguments as before.")
    data = parser.add_argument_group("data")
    data.add_argument("--cameras", nargs="+", metavar="NAME", help="Cameras in order (default: all).")
    data.add_argument("--keep-failures", action="store_true", help="Learn from episodes marked as failures as well.")
    data.add_argument(
        "--holdout", type=float, help=f"Share of the episodes to measure on (default: {SftOptions.holdout})."
    )
    data.add_argument(
        "--keep-statistics", action="store_true", help="Normalise with the checkpoint's statistics, not the dataset's."
    )
    model = parser.add_argument_group("model")
    model.add_argument("--embodiment-tag", help=f"Of the robot (default: {SftOptions.embodiment_tag}).")
    model.add_argument("--tokenizer", help="Directory or hub id of the tokenizer (default: the checkpoint's).")
    model.add_argument(
        "--data-config", help="Of a GR00T N1.5: name or JSON file, as agent.actor.gr00t.data_config (docs/gr00t.md)."
    )
    model.add_argument(
        "--crop-scale",
        type=float,
        help="Side of the centre crop relative to the image (default: the data config's, else the checkpoint's, else"
        " 0.95; none for `small`).",
    )
    model.add_argument("--horizon", type=int, help=f"Actions per chunk of `small` (default: {SftOptions.horizon}).")
    model.add_argument(
        "--recipe",
        help=f"{RECIPES[0]}: with dropout, random crops and colours, as GR00T's authors fine-tune it. {RECIPES[1]}:"
        f" with random crops and colours alone. {RECIPES[2]}: without (default: {RECIPES[0]} for models of more than"
        f" {MAX_SMALL_PARAMETERS // 10**6} million parameters, else {RECIPES[2]}).",
    )
    model.add_argument(
        "--train",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        help=f"What trains, of {', '.join(PARTS)} (default: projector dit, and vl_self_attention with the recipe"
        f" {RECIPES[0]}; full for `small`).",
    )
    model.add_argument("--language-layers", type=int, help="How many of the last layers `language` means.")
    learning = parser.add_argument_group("training")
    learning.add_argument("--steps", type=int, help=f"(default: {SftOptions.steps})")
    learning.add_argument("--batch-size", type=int, help=f"(default: {SftOptions.batch_size})")
    learning.add_argument("--learning-rate", type=float, help="(default: 1e-4; 1e-3 for `small`)")
    learning.add_argument("--schedule", help=f"cosine or constant (default: {SftOptions.schedule}).")
    learning.add_argument("--warmup", type=float, help=f"Share of the steps (default: {SftOptions.warmup}).")
    learning.add_argument("--weight-decay", type=float, help=f"Of AdamW (default: {SftOptions.weight_decay}).")
    learning.add_argument("--max-grad-norm", type=float, help="Gradients are clipped to it.")
    learning.add_argument("--seed", type=int, help="Of weights, order, noise and held-out episodes.")
    learning.add_argument("--eval-every", type=int, help="Steps between evaluations.")
    learning.add_argument(
        "--noise-scale",
        type=float,
        help="How much noise the sampled actions of an evaluation begin with: 1 as GR00T draws it, 0 the centre of its"
        f" flow. Trains nothing (default: {SftOptions.noise_scale:g}).",
    )
    learning.add_argument("--save-every", type=int, help="Steps between checkpoints.")
    learning.add_argument("--cache-gib", type=float, help="Features beyond it go to a file, not memory.")
    learning.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    return parser.parse_args(argv)


def _train(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.imitation import sft_checkpoint
    from gr00t_rl_ext.imitation.sft_run import SftRun

    prepare_caches()
    given = vars(arguments)
    out, resume = given.pop("out").expanduser(), given.pop("resume")
    chosen: dict[str, Any] = {"device": default_device()}
    if arguments.checkpoint == SMALL_NAME:
        chosen |= {"learning_rate": 1e-3, "train": ("full",)}
    options = SftOptions(**chosen | given)
    sft_checkpoint.check_out(out, options.checkpoint, resume=resume)
    run = SftRun.prepare(options, out if resume else None)
    summary.print_table("Supervised fine-tuning", run.facts)
    start, before = time.perf_counter(), run.trainer.steps_done
    finished = run.learn(out)
    seconds, done = time.perf_counter() - start, run.trainer.steps_done - before
    content = {"time": f"{seconds:.0f} s for {done} steps, {1e3 * seconds / max(done, 1):.0f} ms each"}
    summary.print_table("Summary", content | run.results())
    print(f"{'checkpoint:':<12}{out.resolve()}")
    print(f"{'curve:':<12}{out.resolve() / sft_checkpoint.STATE_DIRECTORY / 'curve.csv'}")
    if not finished:
        print(f"{'resume:':<12}the same command with --resume")
        return 130
    print(f"{'RL:':<12}{training_command(run, out)}")
    return 0


def training_command(run: SftRun, out: Path) -> str:
    """The command that goes on with reinforcement learning: in the task of the demonstrations, and with what was
    overridden there, as far as the dataset says."""
    session = run.dataset.session
    task = str(session.get("task", "TASK"))
    overrides, cameras = list(session.get("overrides", ())), list(run.settings["cameras"])
    if is_gymnasium(task) and cameras != run.dataset.cameras:
        overrides = [item for item in overrides if not item.startswith("env.cameras=")]
        overrides.append(f"env.cameras=[{','.join(cameras)}]")
    words = [task, "--agent", _agent(run, task), *overrides]
    words.append(f"agent.actor.gr00t.checkpoint={out.resolve()}")
    start = " ".join((*registering(task), "./isaaclab.sh -p scripts/rsl_rl/train.py --task"))
    return f"{start} {shlex.join(words)}"


def _agent(run: SftRun, task: str) -> str:
    """The agent of the demonstrations, or its recipe for small models if the model is small or there is no other."""
    import gymnasium as gym

    # registers the tasks as well
    from gr00t_rl_ext.envs.gymnasium.configs import PREFIX
    from gr00t_rl_ext.tasks.gymnasium import family_of
    from gr00t_rl_ext.tasks.registration import SMALL

    agent = str(run.dataset.session.get("agent", "gr00t_flow_ppo"))
    if is_gymnasium(task):
        agents = family_of(task.removeprefix(PREFIX)).agents
    else:
        agents = gym.spec(task).kwargs if task in gym.registry else {}
    small = f"{agent}{SMALL}"
    return small if small in agents and (agent not in agents or run.num_parameters <= MAX_SMALL_PARAMETERS) else agent
