# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/sft.py``: a GR00T learns from demonstrations."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gr00t_rl_ext.cli.handler import default_device, guarded

if TYPE_CHECKING:
    from gr00t_rl_ext.imitation.sft_run import SftRun

PARTS = ("projector", "dit", "vl_self_attention", "language", "full")
"""What can be trained, of :data:`gr00t_rl_ext.policy.stages.PARTS`."""

LOG_EVERY = 10
"""Steps between two updates of the progress bar's numbers."""

_MAX_SMALL_PARAMETERS = 50_000_000
"""The agents for small models are for no more parameters than these."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit code: 0, 1 if the loss is not finite, 2 if the command line cannot work, 130 if
    interrupted."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _train(arguments))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="sft.py",
        description="Fine-tune a GR00T on demonstrations (a LeRobot dataset with meta/modality.json) by its"
        " flow-matching loss, and write a GR00T checkpoint.",
        allow_abbrev=False,
    )
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
        "--holdout", type=float, default=0.1, help="Share of the episodes to measure on (default: %(default)s)."
    )
    data.add_argument(
        "--keep-statistics", action="store_true", help="Normalise with the checkpoint's statistics, not the dataset's."
    )
    model = parser.add_argument_group("model")
    model.add_argument("--embodiment-tag", default="new_embodiment", help="Of the robot (default: %(default)s).")
    model.add_argument("--tokenizer", help="Directory or hub id of the tokenizer (default: the checkpoint's).")
    model.add_argument("--crop-scale", type=float, help="Side of the centre crop, as agent.actor.gr00t.crop_scale.")
    model.add_argument("--horizon", type=int, default=16, help="Actions per chunk of `small` (default: %(default)s).")
    model.add_argument(
        "--train",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        help=f"What trains, of {', '.join(PARTS)} (default: projector dit; full for `small`).",
    )
    model.add_argument("--language-layers", type=int, default=0, help="How many of the last layers `language` means.")
    learning = parser.add_argument_group("training")
    learning.add_argument("--steps", type=int, default=2000, help="(default: %(default)s)")
    learning.add_argument("--batch-size", type=int, default=64, help="(default: %(default)s)")
    learning.add_argument("--learning-rate", type=float, help="(default: 1e-4; 1e-3 for `small`)")
    learning.add_argument("--schedule", default="cosine", help="cosine or constant (default: %(default)s).")
    learning.add_argument("--warmup", type=float, default=0.05, help="Share of the steps (default: %(default)s).")
    learning.add_argument("--weight-decay", type=float, default=1e-5, help="Of AdamW (default: %(default)s).")
    learning.add_argument("--max-grad-norm", type=float, default=1.0, help="Gradients are clipped to it.")
    learning.add_argument("--seed", type=int, default=0, help="Of weights, order, noise and held-out episodes.")
    learning.add_argument("--eval-every", type=int, default=200, help="Steps between evaluations.")
    learning.add_argument("--save-every", type=int, default=1000, help="Steps between checkpoints.")
    learning.add_argument("--cache-gib", type=float, default=8.0, help="Features beyond it go to a file, not memory.")
    learning.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    return parser.parse_args(list(argv))


def _train(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cache import prepare_caches
    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.imitation import sft_checkpoint

    prepare_caches()

    for name in ("eval_every", "save_every"):
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; expected at least 1.")
    out = arguments.out.expanduser()
    sft_checkpoint.check_out(out, arguments.checkpoint, resume=arguments.resume)
    run = _prepare(arguments, out if arguments.resume else None)
    summary.print_table("Supervised fine-tuning", run.describe())
    start, before = time.perf_counter(), run.trainer.steps_done
    interrupted = False
    try:
        _learn(run, arguments, out)
    except KeyboardInterrupt:
        interrupted = True
    seconds, done = time.perf_counter() - start, run.trainer.steps_done - before
    run.save(out)
    content = {"time": f"{seconds:.0f} s for {done} steps, {1e3 * seconds / max(done, 1):.0f} ms each"}
    summary.print_table("Summary", content | _results(run))
    print(f"{'checkpoint:':<12}{out.resolve()}")
    print(f"{'curve:':<12}{out.resolve() / sft_checkpoint.STATE_DIRECTORY / 'curve.csv'}")
    if interrupted:
        print(f"{'resume:':<12}the same command with --resume")
        return 130
    print(f"{'RL:':<12}{training_command(run, out)}")
    return 0


def training_command(run: SftRun, out: Path) -> str:
    """The command that goes on with reinforcement learning: in the task of the demonstrations, and with what was
    overridden there, as far as the dataset says."""
    from gr00t_rl_ext.cli.arguments import is_gymnasium

    session = run.dataset.session
    task = str(session.get("task", "TASK"))
    overrides, cameras = list(session.get("overrides", ())), list(run.settings["cameras"])
    if is_gymnasium(task) and cameras != run.dataset.cameras:
        overrides = [item for item in overrides if not item.startswith("env.cameras=")]
        overrides.append(f"env.cameras=[{','.join(cameras)}]")
    words = [task, "--agent", _agent(run, task), *overrides]
    words.append(f"agent.actor.gr00t.checkpoint={out.resolve()}")
    return f"./isaaclab.sh -p scripts/rsl_rl/train.py --task {shlex.join(words)}"


def _agent(run: SftRun, task: str) -> str:
    """The agent of the demonstrations, or its recipe for small models if the model is small or there is no other."""
    import gymnasium as gym

    from gr00t_rl_ext.cli.arguments import is_gymnasium

    # registers the tasks as well
    from gr00t_rl_ext.tasks.gymnasium import family_of
    from gr00t_rl_ext.tasks.registration import SMALL

    agent = str(run.dataset.session.get("agent", "gr00t_flow_ppo"))
    if is_gymnasium(task):
        agents = family_of(task).agents
    else:
        agents = gym.spec(task).kwargs if task in gym.registry else {}
    small = f"{agent}{SMALL}"
    return small if small in agents and (agent not in agents or run.num_parameters <= _MAX_SMALL_PARAMETERS) else agent


def _prepare(arguments: argparse.Namespace, resume: Path | None) -> SftRun:
    from rich.console import Console
    from rich.progress import Progress

    from gr00t_rl_ext.imitation.sft import SftOptions
    from gr00t_rl_ext.imitation.sft_checkpoint import SMALL_NAME
    from gr00t_rl_ext.imitation.sft_run import SftRequest, SftRun

    small = arguments.checkpoint == SMALL_NAME
    names = [field.name for field in dataclasses.fields(SftOptions)]
    chosen = {name: getattr(arguments, name) for name in names}
    if chosen["learning_rate"] is None:
        chosen["learning_rate"] = 1e-3 if small else 1e-4
    options = SftOptions(**chosen)
    wanted = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(SftRequest)}
    wanted["device"] = arguments.device or default_device()
    wanted["train"] = arguments.train or (("full",) if small else ("projector", "dit"))
    request = SftRequest(**wanted)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("reading frames", total=None)
        return SftRun.prepare(
            request,
            options,
            resume,
            report=lambda done, total: progress.update(bar, completed=done, total=total),
            announce=print,
        )


def _learn(run: SftRun, arguments: argparse.Namespace, out: Path) -> None:
    """Train to the end, evaluating and saving on the way."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    trainer = run.trainer
    total = trainer.options.steps
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    losses: list[float] = []
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=total, completed=trainer.steps_done)
        start, before = time.perf_counter(), trainer.steps_done
        while trainer.steps_done < total:
            report = trainer.step()
            losses.append(report.loss)
            done = trainer.steps_done
            if done % LOG_EVERY == 0 or done == total:
                speed = (done - before) / (time.perf_counter() - start)
                recent = losses[-50:]
                text = f"loss {sum(recent) / len(recent):.4f}  lr {report.learning_rate:.1e}  {speed:.1f} it/s"
                progress.update(bar, completed=done, description=text)
            if done % arguments.eval_every == 0 or done == total:
                result = run.evaluate(sum(losses) / len(losses))
                progress.console.print(
                    f"step {done:>6}: loss {sum(losses) / len(losses):.4f}, held out {result.loss:.4f}, action error"
                    f" {result.action_error:.4f}"
                )
                losses.clear()
            if done % arguments.save_every == 0 and done != total:
                run.save(out)


def _results(run: SftRun) -> dict[str, str]:
    if not run.curve:
        return {}
    first, last = run.curve[0], run.curve[-1]
    rows = {
        label: f"{first[name]:.4f} at step {first['step']}, {last[name]:.4f} at step {last['step']}"
        for label, name in (
            ("loss", "train_loss"),
            ("loss, held out", "held_out_loss"),
            ("action error, held out", "action_error"),
        )
    }
    by_key = {name.partition("/")[2]: value for name, value in last.items() if "/" in name}
    return rows | {"by action key": ", ".join(f"{key} {value:.4f}" for key, value in by_key.items())}
