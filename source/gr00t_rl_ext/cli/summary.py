# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The summary of a training run, read from its TensorBoard log."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gr00t_rl_ext.cli.run_directory import latest_checkpoint

PLAYED_TOO = ("agent.actor", "agent.obs_groups", "env.", "presets=", "physics=", "renderer=")
"""Overrides of a training that a policy is played with as well."""


def read_scalars(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar of a run by tag: (iteration, value), in order."""
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

    # it tells of each run that went on that former values are void
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(run_dir), size_guidance={SCALARS: 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def places(run_dir: Path) -> dict[str, object]:
    """Where a run and its last checkpoint are.

    Raises:
        ValueError: It wrote no checkpoint.
    """
    checkpoint = latest_checkpoint(run_dir)
    if checkpoint is None:
        raise ValueError("The training wrote no checkpoint; see the output above.")
    return {"run": run_dir, "checkpoint": checkpoint}


def rows(run_dir: Path, seconds: float) -> dict[str, str]:
    """The rows of the summary of a run, by label. The training took so many seconds."""
    scalars = read_scalars(run_dir)
    result = {"training time": f"{seconds:.0f} s"}
    for label, tag in (
        ("mean reward per control step", "charts/reward_per_step"),
        ("mean return of an episode", "Train/mean_reward"),
        ("KL to the initial policy", "train/kl_to_base"),
        ("groups with a signal", "grpo/kept_groups"),
    ):
        if values := scalars.get(tag):
            result[label] = f"{values[0][1]:.3g} first, {values[-1][1]:.3g} last"
    if values := scalars.get("charts/success_rate") or scalars.get("Episode_Termination/success"):
        result["success rate"] = f"{values[-1][1]:.1%} (while training, latest episodes)"
    for name, of_task in of_tasks(scalars).items():
        result[f"  of {name}"] = f"{of_task[0][1]:.1%} first, {of_task[-1][1]:.1%} last"
    if values := scalars.get("charts/SPS") or scalars.get("Perf/total_fps"):
        speed = statistics.median_high(value for _, value in values)
        result["env steps/s"] = f"{speed:.0f} (median over the iterations, update included)"
    return result


def of_tasks(scalars: Mapping[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    """Name of a task -> its success rate by iteration; empty where there is one task."""
    prefix, suffix = "tasks/", "/success_rate"
    return {
        tag.removeprefix(prefix).removesuffix(suffix): values
        for tag, values in scalars.items()
        if tag.startswith(prefix) and tag.endswith(suffix)
    }


def played_with(overrides: Iterable[str]) -> list[str]:
    """The overrides of a training that a policy is played with as well."""
    return [item for item in overrides if item.lstrip("+~").startswith(PLAYED_TOO)]


def print_summary(seconds: float, places: Mapping[str, object], play: str, overrides: Iterable[str]) -> None:
    """Print what a training run reached, and where things are.

    Args:
        seconds: Wall time of the training.
        places: Label -> path, as of :func:`places` and more.
        play: Command that plays the result.
        overrides: Of the training; those on the task and on what the actor is and sees belong to that command as well.
    """
    from gr00t_rl_ext.policy.actor_critic import shell_argument

    run_dir = Path(str(places["run"]))
    print_table("Summary", rows(run_dir, seconds))
    for label, place in places.items():
        print(f"{label + ':':<12}{place}")
    print(f"{'curves:':<12}tensorboard --logdir {run_dir}")
    print(f"{'play:':<12}{play}" + "".join(f" {shell_argument(item)}" for item in played_with(overrides)))


def print_table(title: str, content: Mapping[str, str]) -> None:
    """Print label-value pairs as a table."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in content.items():
        table.add_row(label, value)
    Console().print(table)
