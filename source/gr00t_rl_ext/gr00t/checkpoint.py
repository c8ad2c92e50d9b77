# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Files of a GR00T checkpoint: where they are, reading its configs, writing a directory in one piece."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .hub import HubError, HubId

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PROCESSOR_FILE = "processor_config.json"
PROCESSOR_FOLDER = "processor"

COMPANION_PATTERNS = (
    "*.json",
    "*.txt",
    "*.md",
    "*.jinja",
    "*.model",
    "LICENSE*",
    "experiment_cfg/*",
    "backbone/*.json",
    f"{PROCESSOR_FOLDER}/*.json",
)
"""Files beside the weights that belong to a checkpoint: configs, statistics, tokenizer."""

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin", "adapter_config.json")
"""What PEFT writes of an adapter, such as a LoRA."""

NOT_COMPANIONS = ("trainer_state.json",)
"""State of the training run that wrote a checkpoint; not part of the model."""


class Gr00tCheckpointError(ValueError):
    """A checkpoint cannot be used; the message says what was given, what was expected and how to fix it."""


def resolve_checkpoint(path: str | Path, *, weights: bool = True) -> Path:
    """Directory of a checkpoint given as a local directory or a Hugging Face hub id.

    Args:
        path: The directory, or what :meth:`HubId.parse` takes.
        weights: Whether the weights are needed; without them, only the small files of a hub id are downloaded.

    Raises:
        Gr00tCheckpointError: Neither a directory nor a hub id that can be reached, or a directory without config.json,
            or with an adapter.
    """
    directory = Path(path).expanduser()
    if directory.is_dir():
        return _require_config(directory)
    if directory.exists():
        raise Gr00tCheckpointError(
            f"{str(path)!r} is a file; expected the directory of a GR00T checkpoint, which holds {CONFIG_FILE} and "
            f"{SINGLE_FILE} or its shards"
        )
    hub_id = None if isinstance(path, Path) else HubId.parse(path)
    if hub_id is None:
        raise Gr00tCheckpointError(
            f"no such directory: {str(path)!r}. Expected a local directory with a GR00T checkpoint or a hub id such as "
            "'nvidia/GR00T-N1.5-3B', with a folder and a revision where it needs them ('OWNER/NAME/FOLDER@REVISION'); "
            "check the spelling and, for a relative path, the working directory"
        )
    wanted = [*(["*.safetensors"] if weights else []), *COMPANION_PATTERNS]
    try:
        return _require_config(hub_id.download(wanted))
    except HubError as error:
        raise Gr00tCheckpointError(str(error)) from error


def processor_directory(directory: Path) -> Path:
    """Where a checkpoint of N1.6 or N1.7 keeps its processor's files, which fine-tuning puts into a folder."""
    folder = directory / PROCESSOR_FOLDER
    return folder if (folder / PROCESSOR_FILE).is_file() and not (directory / PROCESSOR_FILE).is_file() else directory


def _require_config(directory: Path) -> Path:
    if adapter := [name for name in ADAPTER_FILES if (directory / name).is_file()]:
        raise Gr00tCheckpointError(
            f"{str(directory)!r} holds an adapter ({', '.join(adapter)}), which is not read: without it, the policy "
            "would be another one than was trained. Merge it into the weights with the code that trained it (PEFT's "
            "merge_and_unload) and give the merged checkpoint. If the weights here are the merged ones, move the "
            "adapter's files out of the directory"
        )
    if not (directory / CONFIG_FILE).is_file():
        found = ", ".join(sorted(p.name for p in directory.iterdir())[:8]) or "nothing"
        raise Gr00tCheckpointError(
            f"{str(directory)!r} has no {CONFIG_FILE}; expected the directory of a GR00T checkpoint. It holds {found}. "
            "Training runs often keep checkpoints one level deeper, in 'checkpoint-<step>'"
        )
    _require_own_companions(directory)
    return directory


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object that a file holds; a :class:`Gr00tCheckpointError` where it holds none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Gr00tCheckpointError(
            f"{str(file)!r} is not valid JSON ({error}); copy it again from its source"
        ) from error
    if not isinstance(content, dict):
        raise Gr00tCheckpointError(f"{str(file)!r} holds a JSON {type(content).__name__}; expected an object")
    return content


@contextmanager
def required_fields(file: str, subject: str) -> Iterator[None]:
    """A block that reads what a config must have of a subject, from a mapping or with pydantic.

    Raises:
        Gr00tCheckpointError: A field is missing or is of another type.
    """
    try:
        yield
    except (KeyError, ValidationError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else {"type": "missing", "loc": error.args}
        if problem["type"] != "missing":
            place = f"the field {'.'.join(map(str, problem['loc']))} = " if problem["loc"] else ""
            expected = problem["msg"].removeprefix("Input should be ").partition(" or instance of ")[0]
            raise Gr00tCheckpointError(
                f"{file} has {place}{problem['input']!r:.60} for {subject}; expected {expected}. Copy the file again "
                "from the checkpoint it came from"
            ) from error
        raise Gr00tCheckpointError(
            f"{file} has no field {problem['loc'][-1]!r} for {subject}. The file is incomplete: copy it again from the "
            "checkpoint it came from"
        ) from error


def require_supported(*fields: tuple[str, Any, Any]) -> None:
    """Refuse a checkpoint that asks for what this package does not do.

    Args:
        *fields: Name of a field of its configs, its value, and the only one that is supported.
    """
    for name, value, supported in fields:
        if value != supported:
            raise Gr00tCheckpointError(
                f"the checkpoint's {name} is {value!r}; only {supported!r} is supported, as in every published GR00T "
                "N1.5, N1.6 and N1.7 checkpoint"
            )


def weight_files(directory: Path) -> list[Path]:
    """Weight files that a checkpoint should have; those that an index names may be missing.

    Raises:
        Gr00tCheckpointError: There is neither an index nor a single file, or the index names files elsewhere.
    """
    index = directory / INDEX_FILE
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise Gr00tCheckpointError(
                f"{str(index)!r} names no shards: expected the field weight_map, tensor name -> file. Copy it again "
                "from its source"
            )
        names = set(map(str, weight_map.values()))
        if foreign := sorted(name for name in names if not _is_shard(name)):
            raise Gr00tCheckpointError(
                f"{str(index)!r} names the shard {foreign[0]!r}; expected names of .safetensors files beside it, such"
                " as model-00001-of-00002.safetensors. Nothing outside of a checkpoint's directory is read or written"
            )
        return [directory / name for name in sorted(names)]
    if (directory / SINGLE_FILE).is_file():
        return [directory / SINGLE_FILE]
    raise Gr00tCheckpointError(
        f"{str(directory)!r} holds no weights; expected {SINGLE_FILE}, or {INDEX_FILE} with its shards. "
        "Weights in other formats (pytorch_model.bin) are not read: convert them with safetensors"
    )


def _is_shard(name: str) -> bool:
    return name.endswith(".safetensors") and "\\" not in name and Path(name).name == name and not name.startswith(".")


def file_states(directory: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of the last change in ns of a checkpoint's config and weights, as far as they exist."""
    files = [file for file in (directory / CONFIG_FILE, *weight_files(directory)) if file.is_file()]
    return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in files}


def require_unchanged(source: Path, states: Mapping[str, tuple[int, int]]) -> None:
    """Check that a checkpoint is what it was when it was loaded.

    Args:
        source: The checkpoint.
        states: Its :func:`file_states` then.

    Raises:
        Gr00tCheckpointError: It is gone or has changed.
    """
    taken = (
        "Saving takes from it what the loaded model does not hold: other embodiment slots, unused layers, statistics, "
        "tokenizer"
    )
    loaded_from = f"the checkpoint that this model was loaded from, {str(source)!r},"
    gone = [name for name in states if not (source / name).is_file()]
    if gone:
        raise Gr00tCheckpointError(f"{loaded_from} no longer has {', '.join(gone)}. {taken}. Put it back where it was")
    now = file_states(source)
    changed = [name for name in now if now[name] != states.get(name)]
    if changed:
        raise Gr00tCheckpointError(
            f"{loaded_from} has changed since then: {', '.join(changed)}. {taken}. Put the former files back, with "
            "their time of change, or load the model anew"
        )


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy the weights and what belongs to them to the empty directory ``target``.

    Raises:
        Gr00tCheckpointError: A companion is a link to somewhere else.
    """
    _require_own_companions(source)
    for file in {*weight_files(source), *_companions(source)}:
        if file.name not in NOT_COMPANIONS:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)


def _companions(directory: Path) -> set[Path]:
    return {file for pattern in COMPANION_PATTERNS for file in directory.glob(pattern) if file.is_file()}


def _require_own_companions(directory: Path) -> None:
    """Refuse companions that are links out of a checkpoint: an export would copy what they point at, whatever that is.

    Those of the hub's cache lead to its ``blobs``. Weights may be links to anywhere, since they are parsed.
    """
    root = directory.resolve()
    cache = next((parent for parent in root.parents if parent.name.startswith("models--")), None)
    for file in sorted(_companions(directory)):
        found = file.resolve()
        if not found.is_relative_to(root) and not (cache is not None and found.is_relative_to(cache / "blobs")):
            raise Gr00tCheckpointError(
                f"{str(file)!r} is a link to {str(found)!r}, outside of the checkpoint. Put the file itself there, or"
                " remove the link: what belongs to a checkpoint is copied by an export"
            )


@contextmanager
def new_directory(target: Path, may_replace: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """A temporary directory that becomes ``target`` when the block ends without an error, and vanishes otherwise.

    Args:
        target: Must not exist, be empty, or satisfy ``may_replace``.
        may_replace: Whether a non-empty ``target`` may be replaced.

    Raises:
        FileExistsError: ``target`` holds something else.
    """
    target = target.expanduser().absolute()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{str(target)!r} is a file; give a directory that does not exist yet")
    if target.is_dir() and any(target.iterdir()) and not may_replace(target):
        raise FileExistsError(
            f"{str(target)!r} is not empty and was not written by this function, so it is left as it is; give another "
            "directory or remove it first"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # beside the target, so that the final rename stays within one file system
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        (scratch / "new").mkdir()
        yield scratch / "new"
        if target.exists():
            target.rename(scratch / "old")
        (scratch / "new").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
