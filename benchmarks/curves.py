# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Learning curves of several runs: when they reach a goal, as a table and as a picture."""

from __future__ import annotations

import csv
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Curve:
    """What one run reached, point by point, in the order of its iterations."""

    label: str
    """Runs with the same label differ by their seed only."""

    iterations: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]

    def reached(self, goal: float) -> float | None:
        """x of the first point that is at least the goal; None: there is none."""
        return next((x for x, y in zip(self.x, self.y, strict=True) if y >= goal), None)


def labels(curves: Iterable[Curve]) -> list[str]:
    """The labels, each once, in the order in which they come."""
    return list(dict.fromkeys(curve.label for curve in curves))


def median(curves: Sequence[Curve]) -> Curve:
    """Medians of x and y over runs of one label, at the iterations that all of them have."""
    points = [dict(zip(c.iterations, zip(c.x, c.y, strict=True), strict=True)) for c in curves]
    shared = sorted(set(points[0]).intersection(*points[1:]))
    middle = [[statistics.median(run[i][axis] for run in points) for i in shared] for axis in (0, 1)]
    return Curve(curves[0].label, tuple(shared), tuple(middle[0]), tuple(middle[1]))


def summary(curves: Sequence[Curve], goal: float | None, unit: str, *, percent: bool = False) -> str:
    """One line on runs of one label: how many reached the goal, and when.

    Args:
        curves: The runs.
        goal: None: only the end is told.
        unit: Of x, in the plural.
        percent: Whether y is a fraction to be written in percent.
    """
    end = f"median at the end {_written(statistics.median(curve.y[-1] for curve in curves), percent)}"
    if goal is None:
        return f"{curves[0].label}: {end}"
    reached = [curve.reached(goal) for curve in curves]
    found = [x for x in reached if x is not None]
    when = f"after {_plain(statistics.median(found))} {unit} (median)" if found else "never"
    return f"{curves[0].label}: {_written(goal, percent)} in {len(found)} of {len(curves)} seeds, {when}; {end}"


def one_run(curve: Curve, goal: float | None, unit: str, *, percent: bool = False) -> str:
    """The same of a single run, without its label."""
    end = f"at the end {_written(curve.y[-1], percent)}"
    if goal is None:
        return end
    reached = curve.reached(goal)
    return f"{'never' if reached is None else f'after {_plain(reached)} {unit}'}; {end}"


def _written(value: float, percent: bool) -> str:
    return f"{100 * value:.4g}%" if percent else f"{value:.4g}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A table whose columns are the keys of its rows. It is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def plot(
    path: Path,
    curves: Sequence[Curve],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    goal: float | None = None,
    ylim: tuple[float, float] | None = None,
) -> None:
    """A picture: thin lines for seeds, thick ones for their median, a dotted line for the goal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for number, label in enumerate(labels(curves)):
        of_label, color = [curve for curve in curves if curve.label == label], f"C{number}"
        if len(of_label) > 1:
            for curve in of_label:
                axes.plot(curve.x, curve.y, color=color, linewidth=0.8, alpha=0.5)
        middle = median(of_label)
        seeds = f" ({len(of_label)} seeds)" if len(of_label) > 1 else ""
        axes.plot(middle.x, middle.y, color=color, linewidth=2.2, label=label + seeds)
    if goal is not None:
        axes.axhline(goal, color="gray", linewidth=0.8, linestyle=":")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if ylim is not None:
        axes.set_ylim(*ylim)
    if max(max(curve.x) for curve in curves) >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    if len(labels(curves)) > 5:
        # within the axes it would hide curves
        figure.set_figheight(5)
        figure.legend(loc="outside lower center", ncols=2)
    else:
        axes.legend(loc="best")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
