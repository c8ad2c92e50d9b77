# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training runs as learning curves: a table (CSV) and a picture of what their TensorBoard events say.

    ./isaaclab.sh -p benchmarks/learning_curves.py \\
        --runs 'PPO=logs/rsl_rl/ppo/RUN_A,logs/rsl_rl/ppo/RUN_B' 'GRPO=logs/rsl_rl/grpo/2026-*' \\
        --metric charts/success_rate train/approx_kl --goal 0.95 --csv docs/results/x.csv --plot docs/images/x.png

Runs of one label differ by their seed: each is a thin line, their median the thick one. RUN_A+RUN_B is one training:
RUN_B went on from a checkpoint of RUN_A, and what RUN_A did after that checkpoint is left out. The first metric is
drawn, all of them are in the table. A metric is a tag of TensorBoard, or ``eval/success``, ``eval/return`` or
``eval/length``: means over the episodes of each checkpoint of the run in ``--evaluations``, files that ``eval.py
--out`` wrote.

x is ``env_steps``, the executed control steps of all environments until the end of the iteration, or ``minutes``, the
time that rollouts and updates took. A resumed run counts from where it was resumed, after a + from the beginning.
"""

from __future__ import annotations

import argparse
import difflib
import glob
import itertools
import re
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from curves import Curve, labels, one_run, plot, summary, write_csv

_EVALUATED = {"eval/success": "successes", "eval/return": "returns", "eval/length": "lengths"}
"""Metric -> field of an evaluation, of which it is the mean."""

_YLABELS = {
    "eval/success": "success, evaluated",
    "eval/return": "return, evaluated",
    "eval/length": "control steps per episode, evaluated",
    "charts/success_rate": "success while training",
    "charts/episodic_return": "return while training",
    "charts/episodic_length": "control steps per episode while training",
}
"""Metric -> what the picture calls it; others by their names."""

X_AXES = {"env_steps": "control steps", "minutes": "minutes"}
"""What may be on the x axis -> its unit."""


class RunError(ValueError):
    """A run does not have what was asked for."""


@dataclass(frozen=True)
class Run:
    """What is read of a training run."""

    label: str
    directory: Path
    seed: int | None
    """None where the run does not say."""

    env_steps: dict[int, float]
    """Iteration -> control steps until its end."""

    seconds: dict[int, float]
    """Iteration -> time of rollouts and updates until its end [s]."""

    metrics: dict[str, dict[int, float]]
    """Metric -> iteration -> value."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each iteration that has a value of any metric."""
        iterations = sorted(set().union(*self.metrics.values()))
        return [
            {
                "label": self.label,
                "seed": "" if self.seed is None else self.seed,
                "run": f"{self.directory.parent.name}/{self.directory.name}",
                "iteration": iteration,
                "env_steps": round(self.env_steps[iteration]),
                "seconds": round(self.seconds[iteration], 2),
                **{
                    name: f"{values[iteration]:.6g}" if iteration in values else ""
                    for name, values in self.metrics.items()
                },
            }
            for iteration in iterations
        ]

    def until(self, iteration: int) -> Run:
        """The run without what came after an iteration."""

        def kept(values: dict[int, float]) -> dict[int, float]:
            return {i: value for i, value in values.items() if i <= iteration}

        metrics = {name: kept(values) for name, values in self.metrics.items()}
        return replace(self, env_steps=kept(self.env_steps), seconds=kept(self.seconds), metrics=metrics)

    def after(self, env_steps: float, seconds: float) -> Run:
        """The run, counted from as many control steps and seconds."""
        return replace(
            self,
            env_steps={i: env_steps + value for i, value in self.env_steps.items()},
            seconds={i: seconds + value for i, value in self.seconds.items()},
        )


Training = tuple[Run, ...]
"""Runs of which each went on from a checkpoint of the one before; mostly a single one."""


def one_training(runs: Sequence[Run]) -> Training:
    """Join runs of which each went on from a checkpoint of the one before.

    A resumed run begins with the number of the iteration that wrote its checkpoint, as rsl_rl counts.

    Raises:
        RunError: A run begins with an iteration that the one before does not have.
    """
    parts = [runs[0]]
    for run in runs[1:]:
        before, start = parts[-1], min(run.env_steps)
        if start not in before.env_steps:
            raise RunError(
                f"{str(run.directory)!r} begins with iteration {start}, which {str(before.directory)!r} does not have,"
                " so that it did not go on from there (--runs, +)."
            )
        parts[-1] = before.until(start)
        parts.append(run.after(before.env_steps[start], before.seconds[start]))
    return tuple(parts)


def curve(training: Training, metric: str, x: str) -> Curve:
    """One metric of a training over ``env_steps`` or ``minutes``."""
    points: list[tuple[int, float, float]] = []
    for resumed, run in enumerate(training):
        for iteration, value in sorted(run.metrics[metric].items()):
            at = run.env_steps[iteration] if x == "env_steps" else run.seconds[iteration] / 60.0
            # the iteration that wrote a checkpoint and the first one after it have the same number
            points.append((iteration + resumed, at, value))
    iterations, xs, ys = zip(*points, strict=True)
    return Curve(training[0].label, iterations, xs, ys)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs, say when they reached the goal, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs",
        nargs="+",
        required=True,
        metavar="LABEL=DIR[,DIR...]",
        help="Directories of runs by label; * stands for any text, + joins a run and the one that went on from it.",
    )
    parser.add_argument("--metric", nargs="+", required=True, help="The first is drawn.")
    parser.add_argument("--goal", type=float, default=None, help="Value of the first metric to reach.")
    parser.add_argument("--x", choices=list(X_AXES), default="env_steps")
    parser.add_argument("--csv", type=Path, default=None, help="Where the table goes.")
    parser.add_argument("--plot", type=Path, default=None, help="Where the picture goes.")
    parser.add_argument(
        "--evaluations", nargs="+", type=Path, default=[], metavar="JSON", help="Results of eval.py, for eval/ metrics."
    )
    parser.add_argument("--title", default="", help="Of the picture.")
    parser.add_argument("--ylabel", default=None, help="Of the picture; the name of the metric if not given.")
    args = parser.parse_args(arguments)
    try:
        metrics = list(dict.fromkeys(args.metric))
        evaluated = read_evaluations(args.evaluations)
        listed = parse_runs(args.runs)
        trainings = [
            one_training([read_run(label, path, metrics, evaluated) for path in paths])
            for label, of_label in listed.items()
            for paths in of_label
        ]
    except RunError as error:
        parser.error(str(error))
    curves = [curve(training, metrics[0], args.x) for training in trainings]
    percent = "success" in metrics[0]
    for label in labels(curves):
        of_label = [(runs, one) for runs, one in zip(trainings, curves, strict=True) if one.label == label]
        print(summary([one for _, one in of_label], args.goal, X_AXES[args.x], percent=percent))
        for runs, one in of_label:
            seeds = ", then ".join(str(run.seed) for run in runs)
            print(f"  seed {seeds}: {one_run(one, args.goal, X_AXES[args.x], percent=percent)}")
    if args.csv:
        write_csv(args.csv, [row for runs in trainings for run in runs for row in run.rows()])
    if args.plot:
        plot(
            args.plot,
            curves,
            xlabel=X_AXES[args.x],
            ylabel=args.ylabel or _YLABELS.get(metrics[0], metrics[0]),
            title=args.title,
            goal=args.goal,
            ylim=(0.0, 1.02) if percent else None,
        )


def parse_runs(items: Sequence[str]) -> dict[str, list[tuple[Path, ...]]]:
    """``LABEL=DIR[,DIR...]`` -> the directories of each label's trainings, each once and in order.

    A training is one directory, or several that are joined by ``+``.

    Raises:
        RunError: It reads otherwise, or a directory does not exist.
    """
    runs: dict[str, list[tuple[Path, ...]]] = {}
    for item in items:
        label, equals, listed = item.partition("=")
        patterns = [pattern for pattern in listed.split(",") if pattern]
        if not (label and equals and patterns):
            raise RunError(f"--runs has {item!r}; expected LABEL=DIR[,DIR...], such as 'PPO=logs/rsl_rl/ppo/RUN'.")
        for pattern in patterns:
            parts = [_directories(part, label) for part in pattern.split("+")]
            if len(parts) == 1:
                runs.setdefault(label, []).extend((path,) for path in parts[0])
                continue
            for part, found in zip(pattern.split("+"), parts, strict=True):
                if len(found) > 1:
                    raise RunError(
                        f"{part!r} is {len(found)} directories (--runs, {label!r}); before and after + stands one."
                    )
            runs.setdefault(label, []).append(tuple(found[0] for found in parts))
    return {label: list(dict.fromkeys(paths)) for label, paths in runs.items()}


def _directories(pattern: str, label: str) -> list[Path]:
    found = [Path(path) for path in sorted(glob.glob(pattern)) if Path(path).is_dir()]
    if not found:
        raise RunError(f"There is no directory {pattern!r} (--runs, {label!r}). Expected that of a run.")
    return found


def read_evaluations(files: Sequence[Path]) -> list[Any]:
    """The evaluations of several files.

    Raises:
        RunError: One cannot be read.
    """
    from gr00t_rl_ext.evaluation import report

    try:
        return [evaluation for file in files for evaluation in report.load(file)]
    except report.ReportError as error:
        raise RunError(f"--evaluations: {error}.") from error


def read_run(label: str, directory: Path, metrics: Sequence[str], evaluated: Sequence[Any] = ()) -> Run:
    """Read metrics of a run.

    Args:
        label: Its label.
        directory: With TensorBoard events, and ``params`` as training writes them.
        metrics: Tags, and names of :data:`_EVALUATED`.
        evaluated: Evaluations of checkpoints, of this run among others.

    Raises:
        RunError: Something of it is missing.
    """
    from gr00t_rl_ext.cli.summary import read_scalars

    tags = {tag: dict(values) for tag, values in read_scalars(directory).items()}
    if not tags.get("Perf/collection_time"):
        raise RunError(f"{str(directory)!r} has no TensorBoard events of a training run (tag Perf/collection_time).")
    durations = {
        iteration: seconds + tags["Perf/learning_time"][iteration]
        for iteration, seconds in tags["Perf/collection_time"].items()
    }
    seconds = _sums(durations)
    env_steps = _env_steps(directory, tags, durations)
    return Run(
        label=label,
        directory=directory.resolve(),
        seed=_params(directory, "agent").get("seed"),
        env_steps=env_steps,
        seconds=seconds,
        metrics={metric: _metric(directory.resolve(), tags, metric, evaluated) for metric in metrics},
    )


def _metric(
    directory: Path, tags: dict[str, dict[int, float]], metric: str, evaluated: Sequence[Any]
) -> dict[int, float]:
    """A metric's values by iteration."""
    if metric in _EVALUATED:
        return _means(directory, tags["Perf/collection_time"], metric, evaluated)
    if values := tags.get(metric):
        return values
    similar = difflib.get_close_matches(metric, [*tags, *_EVALUATED], n=3, cutoff=0.4)
    raise RunError(
        f"{str(directory)!r} has no metric {metric!r}. Similar: {', '.join(similar) or 'none'}. It has:"
        f" {', '.join(sorted(tags))}."
    )


def _means(directory: Path, iterations: Container[int], metric: str, evaluated: Sequence[Any]) -> dict[int, float]:
    """Means over the episodes of evaluations of a run, by iteration of the checkpoint."""
    means: dict[int, float] = {}
    for evaluation in evaluated:
        checkpoint = re.search(r"([^/]+)/model_(\d+)(\.pt)?$", evaluation.name)
        values = getattr(evaluation, _EVALUATED[metric])
        if checkpoint is None or checkpoint[1] != directory.name or values is None:
            continue
        iteration = int(checkpoint[2])
        if iteration not in iterations:
            raise RunError(
                f"--evaluations has a checkpoint of iteration {iteration} of {str(directory)!r}, whose events do not"
                " have that iteration."
            )
        means[iteration] = sum(values) / len(values)
    if not means:
        names = ", ".join(evaluation.name for evaluation in evaluated) or "nothing"
        raise RunError(
            f"{metric!r} of {str(directory)!r} needs --evaluations of its checkpoints, named"
            f" {directory.name}/model_<iteration>, with that metric. They have: {names}."
        )
    return means


def _env_steps(directory: Path, tags: dict[str, dict[int, float]], durations: dict[int, float]) -> dict[int, float]:
    """Control steps until the end of each iteration."""
    if counted := tags.get("charts/env_steps"):
        return dict(counted)
    if speeds := tags.get("charts/SPS"):
        # runs of ours before the count was written: accurate to about 1 %
        return _sums({iteration: speeds[iteration] * duration for iteration, duration in durations.items()})
    # rsl_rl's own algorithms: one control step per decision
    agent, env = _params(directory, "agent"), _params(directory, "env")
    num_envs = env.get("num_envs") or env.get("scene", {}).get("num_envs")
    if not (num_envs and agent.get("num_steps_per_env")):
        raise RunError(
            f"{str(directory)!r} does not tell its control steps: it has no charts/env_steps, and `num_envs` and"
            " `num_steps_per_env` are not in params/env.yaml and params/agent.yaml."
        )
    return _sums(dict.fromkeys(durations, float(num_envs * agent["num_steps_per_env"])))


def _sums(values: dict[int, float]) -> dict[int, float]:
    """Running sums over the iterations."""
    return dict(zip(values, itertools.accumulate(values.values()), strict=True))


class _PlainLoader(yaml.SafeLoader):
    """Reads YAML whose tags name classes of Python, without them."""


def _without_tag(loader: _PlainLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


_PlainLoader.add_multi_constructor("", _without_tag)


def _params(directory: Path, name: str) -> dict[str, Any]:
    """Settings of a run; empty if they are not there."""
    file = directory / "params" / f"{name}.yaml"
    if not file.exists():
        return {}
    return yaml.load(file.read_text(encoding="utf-8"), Loader=_PlainLoader) or {}


if __name__ == "__main__":
    sys.exit(main())
