# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The command: run LeRobot's GR00T N1.7 and ours on the same checkpoints and inputs, and print the differences."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.layered_environment import OracleError, oracle_python, run_in_environment

from gr00t_rl_ext.gr00t import Gr00tCheckpointError
from gr00t_rl_ext.gr00t.checkpoint import resolve_checkpoint
from gr00t_rl_ext.gr00t.model import checkpoint_version

from . import LOCK, observations
from .models import STAGES, ModelCase, checkpoint_cases, tiny_cases, trained_case
from .observations import ObservationCase, checkpoint_observations, tiny_observations
from .table import Row, table

REFERENCE = Path(__file__).with_name("reference.py")
TOLERANCE = 1e-5


def run_reference(python: Path, jobs: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path) -> dict[str, str]:
    """Let LeRobot do the jobs; returns the versions of its packages.

    Raises:
        OracleError: Its process failed.
    """
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs), encoding="utf-8")
    return run_in_environment(python, REFERENCE, file)


def compare(
    python: Path, models: Sequence[ModelCase], observed: Sequence[ObservationCase], folder: Path
) -> tuple[list[Row], list[Row], dict[str, str]]:
    """Rows of the models, rows of the observations, and the versions of LeRobot's packages."""
    jobs = {
        "models": [case.job(folder / f"model-{index}") for index, case in enumerate(models)],
        "observations": [case.job(folder / f"observation-{index}") for index, case in enumerate(observed)],
    }
    versions = run_reference(python, jobs, folder)
    model_rows = [row for case, job in zip(models, jobs["models"], strict=True) for row in case.rows(job)]
    pairs = zip(observed, jobs["observations"], strict=True)
    return model_rows, [row for case, job in pairs for row in case.rows(job)], versions


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if all differences are within their bounds, 1 if not, 2 if nothing could be compared.
    """
    parser = argparse.ArgumentParser(
        prog="lerobot_oracle.py",
        description="Compare our GR00T N1.7 with LeRobot's, in float32, on the same weights, inputs and noise. Without "
        "arguments: tiny random checkpoints of several sizes, and one with changed weights that we saved.",
    )
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="compare on this GR00T N1.7 checkpoint instead")
    parser.add_argument("--embodiment-tag", metavar="TAG", help="its embodiment (default: the only one it has)")
    parser.add_argument("--embodiment-slot", type=int, metavar="N", help="its slot (default: the embodiment's)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest absolute difference of features, actions and loss; rounding in float32 grows with the values, so "
        "that a large model needs more (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    try:
        if args.checkpoint is not None:
            version = checkpoint_version(resolve_checkpoint(args.checkpoint))
            if version != "N1.7":
                raise OracleError(f"{str(args.checkpoint)!r} holds a GR00T {version}; LeRobot has GR00T N1.7 only")
        python = oracle_python(LOCK, "lerobot-oracle")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if args.checkpoint is None:
                models, observed = tiny_cases(folder), tiny_observations(folder)
                models.append(trained_case(models[0], folder / "trained"))
            else:
                tag, slot = args.embodiment_tag, args.embodiment_slot
                models = checkpoint_cases(args.checkpoint, embodiment_tag=tag, embodiment_slot=slot)
                observed = checkpoint_observations(args.checkpoint, tag, slot)
            model_rows, observation_rows, versions = compare(python, models, observed, folder)
    except (OracleError, Gr00tCheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("Largest absolute differences to " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    bounds: dict[str, float] = dict.fromkeys(STAGES, args.tolerance)
    print(table(model_rows, bounds))
    good = all(row.within(bounds) for row in model_rows)
    if observation_rows:
        print("\n" + table(observation_rows, observations.BOUNDS))
        good = good and all(row.within(observations.BOUNDS) for row in observation_rows)
    return 0 if good else 1
