# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Directories of runs: one for each training, and the checkpoints in it."""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from gr00t_rl_ext.cli.handler import UsageError

LOGS = Path("logs", "rsl_rl")


@contextmanager
def reserved(experiment: str, run_name: str, stamp: str | None) -> Iterator[tuple[Path, str]]:
    """Make the directory of a run, that of no other one: trainings may start in the same second.

    It is removed afterwards if nothing was written into it.

    Args:
        experiment: ``agent.experiment_name``.
        run_name: ``agent.run_name``.
        stamp: Its time, where the user gives one (``--run_timestamp``).

    Yields:
        The directory, and the stamp that its name begins with.

    Raises:
        UsageError: A name would leave the folder of logs, or the user's stamp belongs to another run.
    """
    for option, name in (("experiment_name", experiment), ("run_name", run_name), ("run_timestamp", stamp or "")):
        if Path(name).name != name:
            raise UsageError(f"{option} is {name!r}; expected a plain name, which stays below {LOGS}.")
    directory, tried = _make(LOGS.absolute() / experiment, run_name, stamp)
    try:
        yield directory, tried
    finally:
        if not any(directory.iterdir()):
            directory.rmdir()


def _make(folder: Path, run_name: str, stamp: str | None) -> tuple[Path, str]:
    folder.mkdir(parents=True, exist_ok=True)
    now = stamp or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        tried = now if number == 1 else f"{now}-{number}"
        directory = folder / "_".join(filter(None, (tried, run_name)))
        try:
            directory.mkdir()
        except FileExistsError:
            if stamp is None:
                continue
            if any(directory.iterdir()):
                raise UsageError(
                    f"--run_timestamp is {stamp!r}, but {str(directory)!r} holds another run. Leave it away, or give"
                    " another one."
                ) from None
        return directory, tried
    raise AssertionError("counting does not end")


def latest_checkpoint(run_dir: Path) -> Path | None:
    """The ``model_<iteration>.pt`` with the highest iteration that is whole.

    Files that a kill or a full disk left half written, as earlier versions and rsl_rl itself can, are passed over, and
    named.
    """
    matches = ((re.fullmatch(r"model_(\d+)\.pt", file.name), file) for file in run_dir.glob("model_*.pt"))
    found = {int(match[1]): file for match, file in matches if match is not None}
    torn = []
    for iteration in sorted(found, reverse=True):
        if zipfile.is_zipfile(found[iteration]):
            if torn:
                print(f"{', '.join(torn)} in {str(run_dir)!r} is not whole: {found[iteration].name} is taken instead.")
            return found[iteration]
        torn.append(found[iteration].name)
    # whoever reads it tells what is wrong with it
    return found[max(found)] if found else None


def model_file(path: Path) -> Path:
    """A training checkpoint: a ``model_*.pt`` that exists, or the last one of the directory of a run.

    Raises:
        UsageError: The directory has none.
    """
    found = latest_checkpoint(path) if path.is_dir() else path
    if found is None:
        inside = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
        raise UsageError(
            f"The directory {str(path)!r} has no model_<iteration>.pt; it holds {inside}. Give the directory of a run,"
            " as train.py prints it, or a model_*.pt."
        )
    return found.resolve()


def check_checkpoint(checkpoint: str | None) -> None:
    """Check that a training checkpoint to play or resume exists.

    Raises:
        UsageError: It does not; the message names the newest runs.
    """
    if checkpoint is None or checkpoint.startswith(("wandb:", "http://", "https://")) or Path(checkpoint).exists():
        return
    runs = sorted((path for path in LOGS.glob("*/*") if path.is_dir()), key=lambda p: p.stat().st_mtime)
    if checkpoint in ("latest", "best", "pretrained") and runs:
        return
    found = ", ".join(str(run) for run in runs[:-4:-1]) or "none below logs/rsl_rl of the working directory"
    raise UsageError(
        f"There is no checkpoint {checkpoint!r}. Expected a model_*.pt, the directory of a run, latest or best. Newest"
        f" runs: {found}."
    )
