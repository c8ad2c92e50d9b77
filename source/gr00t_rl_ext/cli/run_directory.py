# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Directories of runs: one for each training, and the checkpoints in it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.runs import kept
from gr00t_rl_ext.runs.resumption import COMMAND
from gr00t_rl_ext.runs.run_lock import RunLock

LOGS = Path("logs", "rsl_rl")


@contextmanager
def reserved(
    experiment: str, run_name: str, stamp: str | None, continued: Path | None = None
) -> Iterator[tuple[Path, str]]:
    """Make the directory of a run, that of no other one: trainings may start in the same second.

    It is removed afterwards if nothing was written into it.

    Args:
        experiment: ``agent.experiment_name``.
        run_name: ``agent.run_name``.
        stamp: Its time, where the user gives one (``--run_timestamp``).
        continued: The directory of the run that goes on, which is there.

    Yields:
        The directory, and the stamp that its name begins with.

    Raises:
        UsageError: A name would leave the folder of logs, or the user's stamp belongs to another run.
        ValueError: The run that goes on has not ended.
    """
    for option, name in (("experiment_name", experiment), ("run_name", run_name), ("run_timestamp", stamp or "")):
        if Path(name).name != name:
            raise UsageError(f"{option} is {name!r}; expected a plain name, which stays below {LOGS}.")
    if continued is not None:
        assert stamp is not None
        # refused before the simulator starts; the training itself keeps it
        RunLock(continued)
        yield continued, stamp
        return
    try:
        directory, tried = _make(LOGS.absolute() / experiment, run_name, stamp)
    except OSError as error:
        raise UsageError(f"The directory of the run cannot be made below {str(LOGS.absolute())!r}: {error}") from error
    try:
        yield directory, tried
    finally:
        # what it was to be started by is of no use where it was not
        if {path.relative_to(directory) for path in directory.rglob("*")} <= {COMMAND, COMMAND.parent}:
            shutil.rmtree(directory)


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
        if kept.is_whole(found[iteration]):
            if torn:
                print(f"{', '.join(torn)} in {str(run_dir)!r} is not whole: {found[iteration].name} is taken instead.")
            return found[iteration]
        torn.append(found[iteration].name)
    # whoever reads it tells what is wrong with it
    return found[max(found)] if found else None


def best_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint of a run that ``checkpoints.json`` tells is the best; the last one where it tells nothing."""
    index = {name: entry for name, entry in kept.read_index(run_dir).items() if kept.is_whole(run_dir / name)}
    best = kept.best_of(index)
    if best is None:
        print(f"Nothing tells which checkpoint of {str(run_dir)!r} is the best: the last one is taken.")
        return latest_checkpoint(run_dir)
    measure = "in evaluations" if "evaluated" in index[best] else "while training"
    print(f"{best} is the best checkpoint of {str(run_dir)!r} {measure}.")
    return run_dir / best


_CHOICES = {"latest": latest_checkpoint, "best": best_checkpoint}
"""Words for a checkpoint of a run."""


def model_file(path: Path, task: str | None = None, agent: str | None = None) -> Path:
    """A training checkpoint, by any of its names.

    Args:
        path: A ``model_*.pt``; the directory of a run, for its last one; that directory and ``latest`` or ``best``;
            or one of these words alone, for the newest run.
        task: Whose runs are meant by a word alone; None: of any task.
        agent: Likewise.

    Raises:
        UsageError: There is none.
    """
    if path.exists():
        run, choose = path, latest_checkpoint
        if not path.is_dir():
            return path.resolve()
    elif path.name in _CHOICES:
        of_run = path.parent != Path()
        run = path.parent if of_run else newest_run("model_*.pt", task, agent)
        choose = _CHOICES[path.name]
    else:
        raise UsageError(_missing(str(path)))
    found = choose(run) if run.is_dir() else None
    if found is None:
        inside = ", ".join(sorted(file.name for file in run.iterdir())[:8]) if run.is_dir() else ""
        raise UsageError(
            f"The directory {str(run)!r} has no model_<iteration>.pt; it holds {inside or 'nothing'}. Give the"
            " directory of a run, as train.py prints it, or a model_*.pt."
        )
    return found.resolve()


def names_checkpoint(path: Path) -> bool:
    """Whether a path is one of the names of a training checkpoint, as :func:`model_file` knows them."""
    if path.exists():
        return path.is_file() or latest_checkpoint(path) is not None
    return path.name in _CHOICES


def newest_run(holding: str, task: str | None = None, agent: str | None = None) -> Path:
    """The newest run below the working directory.

    Args:
        holding: Pattern of a file that it must hold.
        task: Its task; None: any.
        agent: Its agent; None: any.

    Raises:
        UsageError: There is none.
    """
    manifests = sorted(LOGS.glob("*/*/run.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    wanted = None if task is None else task.rpartition(":")[2], agent
    for manifest in manifests:
        try:
            content = json.loads(manifest.read_text(encoding="utf-8"))
            found = content["task"], content["metadata"]["agent"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        fits = all(asked in (None, name) for asked, name in zip(wanted, found, strict=True))
        if fits and any(manifest.parent.glob(holding)):
            return manifest.parent
    of = "".join(f" of {name} {value}" for name, value in (("task", task), ("agent", agent)) if value)
    raise UsageError(
        f"There is no run{of} with a {Path(holding).name} below {str(LOGS)!r} of the working directory, {Path.cwd()}."
    )


def find_checkpoint(name: str, task: str | None = None, agent: str | None = None) -> Path | None:
    """The file of a checkpoint that ``--checkpoint`` of training and playing names, as in :func:`model_file` or in
    W&B; None where Isaac Lab fetches it: ``pretrained``, or by a web address.

    Raises:
        UsageError: There is none.
    """
    if name.startswith(("wandb:", "http://", "https://")):
        from isaaclab_rl.utils.wandb import is_wandb_checkpoint, resolve_wandb_checkpoint

        try:
            return Path(resolve_wandb_checkpoint(name)) if is_wandb_checkpoint(name) else None
        except ValueError as error:
            # Isaac Lab's, which is meant for users
            raise UsageError(str(error)) from error
    return None if name == "pretrained" else model_file(Path(name), task, agent)


def _missing(name: str) -> str:
    runs = sorted((path for path in LOGS.glob("*/*") if path.is_dir()), key=lambda p: p.stat().st_mtime)
    found = ", ".join(str(run) for run in runs[:-4:-1]) or f"none below {LOGS} of the working directory"
    return (
        f"There is no checkpoint {name!r}. Expected a model_*.pt, the directory of a run, latest or best. Newest runs:"
        f" {found}."
    )
