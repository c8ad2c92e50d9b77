# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/export_gr00t.py``: a training run becomes a checkpoint that GR00T's inference loads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cli import summary
from gr00t_rl_ext.cli.handler import UsageError, guarded
from gr00t_rl_ext.cli.run_directory import model_file

TOLERANCES = {"F32": 1e-4, "F16": 5e-3, "BF16": 4e-2}
"""Largest accepted difference of an action in [-1, 1], by the data type of the base weights (in safetensors): what
was trained is rounded to it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Export. Returns the exit code: 0, 1 if the exported model acts otherwise, 2 if the command line cannot work."""
    parser = argparse.ArgumentParser(
        prog="export_gr00t.py",
        description="Write a GR00T checkpoint with what a training run learnt, and prove that it acts like the trained"
        " policy.",
    )
    parser.add_argument("run", metavar="RUN_DIR", type=Path, help="directory of a run, or one of its model_*.pt")
    parser.add_argument("out", metavar="OUT", type=Path, help="directory to write; must not exist or be empty")
    parser.add_argument("--base", help="the GR00T that was trained, where it moved (default: as in the run)")
    parser.add_argument("--tokenizer", help="tokenizer, where it moved (default: as in the run)")
    parser.add_argument("--device", default="cpu", help="where both are compared (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", help="data type of what is frozen (default: %(default)s)")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="largest accepted difference of an action (default: "
        + ", ".join(f"{value:g} for {name}" for name, value in TOLERANCES.items())
        + " weights)",
    )
    arguments = parser.parse_args(argv)
    return guarded(lambda: _export(arguments))


def _export(arguments: argparse.Namespace) -> int:
    from tensordict import TensorDict

    from gr00t_rl_ext.algorithms.checkpoint import check_format, check_header
    from gr00t_rl_ext.gr00t.checkpoint import new_directory
    from gr00t_rl_ext.gr00t.weights import CheckpointWeights
    from gr00t_rl_ext.policy import export

    file = model_file(arguments.run)
    saved = read_model(file)
    check_format(saved)
    if saved["base_name"] is None:
        raise UsageError(f"{str(file)!r} is of a policy without GR00T: there is no GR00T checkpoint to export.")
    changes = {"checkpoint": arguments.base, "tokenizer": arguments.tokenizer, "dtype": arguments.dtype}
    changes = {name: value for name, value in changes.items() if value is not None}
    definition = export.definition_of(saved).with_gr00t(**changes)
    base, fingerprint = definition.base()
    check_header(saved, fingerprint, str(base))
    recorded = saved["recorded_observations"]
    if not recorded:
        raise UsageError(f"{str(file)!r} holds no recorded observations, on which the export could be proved.")
    obs = TensorDict(recorded, batch_size=[len(next(iter(recorded.values())))])
    dtypes = CheckpointWeights(base).dtypes()
    tolerance = arguments.tolerance
    if tolerance is None:
        tolerance = max(TOLERANCES.get(dtype, 0.0) for dtype in dtypes)

    # first of all, because it refuses a directory that holds something
    with new_directory(arguments.out) as directory:
        actor = export.load_trained(saved, arguments.device, **changes)
        parts = ", ".join(export.gr00t_of(actor).freezing.parts)
        notes = [*export.for_gr00t(actor), *filter(None, [export.lost_in_gr00t(actor)])]
        expected = export.actions(actor, obs)
        export.write(actor, definition, directory)
        del actor  # two models at once may be more than the memory holds
        place = {name: value for name, value in changes.items() if name != "checkpoint"}
        found = export.actions(export.load_exported(directory, arguments.device, **place), obs)
        differences = {name: float((found[name] - expected[name]).abs().max()) for name in expected}
        summary.print_table(
            "Export",
            {
                "run": str(file.resolve()),
                "base": f"{base} ({', '.join(sorted(dtypes))})",
                "trained of GR00T": parts or "nothing: its weights are those of the base",
                "compared on": f"{obs.batch_size[0]} recorded observations, {arguments.dtype} on {arguments.device}",
            },
        )
        for name, difference in differences.items():
            scale = float(expected[name].abs().max())
            print(f"parity of {name:<7} max difference {difference:.2e}, actions up to {scale:.2f}")
        if not max(differences.values()) <= tolerance:
            # leaves the directory's context, which removes what was written
            raise FloatingPointError(
                f"The exported model acts otherwise than the trained policy (tolerance {tolerance:g}); nothing was"
                " written."
            )
    print(f"wrote {arguments.out.resolve()}")
    print(f"the actor's own networks, which GR00T's format has no place for: {export.POLICY_DIRECTORY}/")
    if notes:
        print("\n".join(notes))
    return 0


def read_model(file: Path) -> dict[str, Any]:
    """A training checkpoint; a :class:`UsageError` if it is none."""
    from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint

    try:
        return read_checkpoint(file)
    except (CheckpointFileError, OSError) as error:
        raise UsageError(str(error)) from error
