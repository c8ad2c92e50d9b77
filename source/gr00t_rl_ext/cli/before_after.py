# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a training gained: the policy before and after it on the same initial states, the curve, a video, a file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cli import summary
from gr00t_rl_ext.cli.arguments import Arguments, is_gymnasium
from gr00t_rl_ext.cli.handler import in_own_process
from gr00t_rl_ext.files import write_whole

_NUM_ENVS = {True: 50, False: 100}
"""Environments to evaluate in, of Gymnasium and of Isaac Lab."""


def evaluate(arguments: Arguments, checkpoint: Path, overrides: Sequence[str], episodes: int) -> int:
    """Compare a trained policy with the one that it was before, in a process of its own, and print what was gained.

    Args:
        arguments: Of the training.
        checkpoint: What it wrote.
        overrides: Those that the policy is played with.
        episodes: Of each.

    Returns:
        The exit code.
    """
    run_dir = checkpoint.parent
    out = run_dir / "before_after.json"
    print(f"\nEvaluating the policy before and after, {episodes} episodes each ...", flush=True)
    command = [*in_own_process("eval"), "--task", str(arguments.task), "--agent", arguments.agent]
    command += ["--device", str(arguments.device), "--episodes", str(episodes), "--half-width", "0.49"]
    command += ["--num_envs", str(min(episodes, _NUM_ENVS[is_gymnasium(arguments.task)]))]
    command += ["--checkpoint", "base", str(checkpoint), "--out", str(out), "--side_by_side"]
    status = subprocess.run([*command, *summary.played_with(overrides)], check=False).returncode
    if status:
        return status
    write_summary(out, run_dir / "summary.json")
    picture = draw_curve(run_dir)
    for label, place in {"summary": run_dir / "summary.json", "picture": picture}.items():
        if place is not None:
            print(f"{label + ':':<9}{place}")
    return 0


def write_summary(evaluation: Path, file: Path) -> None:
    """What an evaluation of the policy before and after training says, for programs.

    Args:
        evaluation: File of ``eval.py``: before, then after.
        file: Gets ``before`` and ``after`` with ``success`` (a fraction; null without a success term) and its interval,
            ``difference`` with its interval, and ``p_value`` of the paired test; and ``tasks`` with the same rates for
            each, where there are several.
    """
    from gr00t_rl_ext.evaluation import report

    before, after = report.summarise(report.load(evaluation))
    compared = after.success_difference or after.return_difference
    assert compared is not None
    content: dict[str, Any] = {
        "task": before.evaluation.task,
        "agent": before.evaluation.agent,
        "episodes": len(before.evaluation.returns),
        "seed": before.evaluation.seed,
        "chunk_length": before.evaluation.chunk_length,
        "before": _rate(before),
        "after": _rate(after),
        "compared": "success" if after.success_difference else "return",
        "difference": compared.difference,
        "difference_interval": [compared.interval.low, compared.interval.high],
        "p_value": compared.p_value,
    }
    if of_tasks := report.summarise_tasks([before.evaluation, after.evaluation]):
        content["tasks"] = {
            name: {"episodes": len(was.evaluation.returns), "before": _rate(was), "after": _rate(now)}
            for name, (was, now) in of_tasks.items()
        }
    write_whole(file, json.dumps(content, indent=2) + "\n")


def _rate(row: Any) -> dict[str, Any]:
    successes, returns = row.evaluation.successes, row.evaluation.returns
    rated = successes is not None
    return {
        "success": sum(successes) / len(successes) if rated else None,
        "success_interval": [row.success_interval.low, row.success_interval.high] if rated else None,
        "mean_return": sum(returns) / len(returns),
    }


def draw_curve(run_dir: Path) -> Path | None:
    """A picture of the success while training, with exploration, or of the reward; None where neither was logged. Where
    there are several tasks, each has a line."""
    from matplotlib.figure import Figure

    scalars = summary.read_scalars(run_dir)
    if values := scalars.get("charts/success_rate"):
        label, scale = "success while training, with exploration, %", 100.0
    elif values := scalars.get("charts/reward_per_step"):
        label, scale = "reward per control step while training", 1.0
    else:
        return None
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    if scale > 1.0:
        for name, of_task in summary.of_tasks(scalars).items():
            points = [100.0 * value for _, value in of_task]
            axes.plot([iteration for iteration, _ in of_task], points, linewidth=1.0, alpha=0.7, label=name)
    axes.plot([iteration for iteration, _ in values], [scale * value for _, value in values], marker=".", label="all")
    if len(axes.lines) > 1:
        axes.legend(fontsize="small")
    axes.set(xlabel="iteration", ylabel=label)
    if scale > 1.0:
        axes.set_ylim(0.0, 100.0)
    axes.grid(alpha=0.3)
    file = run_dir / "curve.png"
    figure.savefig(file, dpi=120)
    return file
