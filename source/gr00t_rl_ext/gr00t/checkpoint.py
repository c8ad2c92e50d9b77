# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Files of a GR00T checkpoint: where they are, reading single tensors, writing a directory in one piece."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch._guards import active_fake_mode

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
PROCESSOR_FILE = "processor_config.json"

COMPANION_PATTERNS = (
    "*.json",
    "*.txt",
    "*.md",
    "*.jinja",
    "*.model",
    "LICENSE*",
    "experiment_cfg/*",
    "backbone/*.json",
)
"""Files beside the weights that belong to a checkpoint: configs, statistics, tokenizer."""

NOT_COMPANIONS = ("trainer_state.json",)
"""State of the training run that wrote a checkpoint; not part of the model."""


class Gr00tCheckpointError(ValueError):
    """A checkpoint cannot be used; the message says what was given, what was expected and how to fix it."""


def resolve_checkpoint(path: str | Path) -> Path:
    """Directory of a checkpoint given as a local directory or a Hugging Face hub id.

    Hub access follows huggingface_hub's environment: ``HF_HOME``, ``HF_TOKEN``, and with ``HF_HUB_OFFLINE=1`` only the
    local cache is read.

    Raises:
        Gr00tCheckpointError: Neither a directory nor a hub id that can be reached, or a directory without config.json.
    """
    directory = Path(path).expanduser()
    if directory.is_dir():
        return _require_config(directory)
    if directory.exists():
        raise Gr00tCheckpointError(
            f"{str(path)!r} is a file; expected the directory of a GR00T checkpoint, which holds {CONFIG_FILE} and "
            f"{SINGLE_FILE} or its shards"
        )
    if isinstance(path, Path) or not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", path):
        raise Gr00tCheckpointError(
            f"no such directory: {str(path)!r}. Expected a local directory with a GR00T checkpoint or a hub id such as "
            "'nvidia/GR00T-N1.5-3B'; check the spelling and, for a relative path, the working directory"
        )
    return _require_config(_download(path))


def _download(hub_id: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, allow_patterns=["*.safetensors", *COMPANION_PATTERNS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        offline = " HF_HUB_OFFLINE is set, so only the local cache was searched." if constants.HF_HUB_OFFLINE else ""
        raise Gr00tCheckpointError(
            f"{hub_id!r} is no local directory, and the hub repository of that name cannot be reached "
            f"({type(error).__name__}).{offline} Give a local directory, or download the checkpoint where there is a "
            f"network ('hf download {hub_id}'; for a gated repository log in with 'hf auth login' first)"
        ) from error


def _require_config(directory: Path) -> Path:
    if not (directory / CONFIG_FILE).is_file():
        found = ", ".join(sorted(p.name for p in directory.iterdir())[:8]) or "nothing"
        raise Gr00tCheckpointError(
            f"{str(directory)!r} has no {CONFIG_FILE}; expected the directory of a GR00T checkpoint. It holds {found}. "
            "Training runs often keep checkpoints one level deeper, in 'checkpoint-<step>'"
        )
    return directory


def read_json(file: Path) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        Gr00tCheckpointError: The file holds no JSON object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Gr00tCheckpointError(
            f"{str(file)!r} is not valid JSON ({error}); copy it again from its source"
        ) from error
    if not isinstance(content, dict):
        raise Gr00tCheckpointError(f"{str(file)!r} holds a JSON {type(content).__name__}; expected an object")
    return content


FLOAT_TYPES: Mapping[str, torch.dtype] = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Data types that weights may have, by the names that safetensors gives them."""


@dataclass(frozen=True)
class _StoredTensor:
    """Where a tensor stands and what it is."""

    file: Path
    handle: Any
    dtype: str
    shape: tuple[int, ...]
    start: int


class CheckpointWeights:
    """Tensors of a checkpoint by name, read one at a time from one file or from shards.

    They are copies: what happens to the files later does not reach them.

    Args:
        directory: The checkpoint.
        device: Where tensors are read to.

    Raises:
        Gr00tCheckpointError: No weights, a shard is missing, or a file is truncated.
    """

    def __init__(self, directory: Path, device: torch.device | str = "cpu") -> None:
        self.directory = directory
        self._device = device
        files = weight_files(directory)
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise Gr00tCheckpointError(
                f"{str(directory)!r} lacks {len(missing)} of the {len(files)} shards that {INDEX_FILE} names: "
                f"{', '.join(missing)}. Download or copy them again"
            )
        self._tensors: dict[str, _StoredTensor] = {}
        for file in files:
            handle = _open(file, device)
            header, data_start = _read_header(file)
            for key in handle.keys():
                entry = header[key]
                self._tensors[key] = _StoredTensor(
                    file, handle, entry["dtype"], tuple(entry["shape"]), data_start + entry["data_offsets"][0]
                )

    def keys(self) -> set[str]:
        return set(self._tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        return self._tensors[key].shape

    def dtype(self, key: str) -> str:
        """Data type, by the name that safetensors gives it."""
        return self._tensors[key].dtype

    def dtypes(self) -> set[str]:
        """Data types of the tensors, in safetensors' names: "F32", "BF16", ..."""
        return {tensor.dtype for tensor in self._tensors.values()}

    def read(self, key: str, index: int | None = None) -> Tensor:
        """The tensor ``key``, or its entry ``index`` along the first axis.

        Under fake tensors nothing is read: the result has the tensor's shape and data type.
        """
        if active_fake_mode() is not None:
            stored = self._tensors[key]
            shape = stored.shape if index is None else stored.shape[1:]
            return torch.empty(shape, dtype=FLOAT_TYPES[stored.dtype], device=self._device)
        handle = self._tensors[key].handle
        return handle.get_tensor(key) if index is None else handle.get_slice(key)[index : index + 1][0]

    def overwrite(self, key: str, value: Tensor, index: int | None = None) -> None:
        """Replace, in the file, the tensor ``key``, or its entry ``index`` along the first axis, by ``value``.

        It keeps its data type and its place, so that nothing else in the file changes.
        """
        stored = self._tensors[key]
        data = value.to("cpu", FLOAT_TYPES[stored.dtype]).contiguous()
        assert data.shape == (stored.shape if index is None else stored.shape[1:])
        with stored.file.open("r+b") as stream:
            stream.seek(stored.start + (index or 0) * data.nbytes)
            stream.write(data.flatten().view(torch.uint8).numpy().data)


def weight_files(directory: Path) -> list[Path]:
    """Weight files that a checkpoint should have; those that an index names may be missing.

    Raises:
        Gr00tCheckpointError: There is neither an index nor a single file.
    """
    index = directory / INDEX_FILE
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise Gr00tCheckpointError(
                f"{str(index)!r} names no shards: expected the field weight_map, tensor name -> file. Copy it again "
                "from its source"
            )
        return [directory / name for name in sorted(set(weight_map.values()))]
    if (directory / SINGLE_FILE).is_file():
        return [directory / SINGLE_FILE]
    raise Gr00tCheckpointError(
        f"{str(directory)!r} holds no weights; expected {SINGLE_FILE}, or {INDEX_FILE} with its shards. "
        "Weights in other formats (pytorch_model.bin) are not read: convert them with safetensors"
    )


def _open(file: Path, device: torch.device | str) -> Any:
    try:
        # Not the default, a memory map: its tensors change with the file, kill the process where the file is
        # truncated, and, converted to another type, leave both copies resident.
        return safe_open(file, framework="pt", device=str(device), backend="pread")
    except SafetensorError as error:
        raise Gr00tCheckpointError(
            f"{str(file)!r} is truncated or no safetensors file: it has {file.stat().st_size:,} bytes"
            f"{_expected_size(file)} ({error}). Download or copy it again"
        ) from error


def _read_header(file: Path) -> tuple[dict[str, Any], int]:
    """Header of a safetensors file, which safetensors itself does not show, and where the data starts in the file.

    Raises:
        ValueError: There is no complete header.
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        # the length of something that is no safetensors file may exceed the memory
        return json.loads(stream.read(min(length, file.stat().st_size))), 8 + length


def _expected_size(file: Path) -> str:
    """What the header says the file's size should be, as a clause; empty where the header itself is unreadable."""
    try:
        header, data_start = _read_header(file)
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        return f", expected {data_start + end:,}"
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def check_types(weights: CheckpointWeights, keys: set[str]) -> None:
    """Refuse weights that are no plain floating-point numbers.

    Raises:
        Gr00tCheckpointError: Some of ``keys`` have another data type.
    """
    others = [f"{key} ({weights.dtype(key)})" for key in sorted(keys) if weights.dtype(key) not in FLOAT_TYPES]
    if others:
        raise Gr00tCheckpointError(
            f"{len(others)} tensors in {str(weights.directory)!r} are not of type {', '.join(FLOAT_TYPES)}: "
            f"{_some(others)}. Quantised weights are not read: use the checkpoint that they were made from"
        )


def check_keys(expected: set[str], found: set[str], unused_prefixes: tuple[str, ...], source: str) -> None:
    """Compare tensor names.

    Raises:
        Gr00tCheckpointError: Names are missing, or present without being expected or explicitly unused.
    """
    missing = sorted(expected - found)
    unexpected = sorted(key for key in found - expected if not key.startswith(unused_prefixes))
    if missing or unexpected:
        parts = [f"the weights in {source!r} do not fit the model that its configs describe"]
        if missing:
            parts.append(f"{len(missing)} tensors are missing: {_some(missing)}")
        if unexpected:
            parts.append(f"{len(unexpected)} tensors are unexpected: {_some(unexpected)}")
        parts.append(
            f"known and unused are only {', '.join(prefix + '*' for prefix in unused_prefixes)}. Check that configs "
            "and weights come from the same checkpoint"
        )
        raise Gr00tCheckpointError("; ".join(parts))


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def file_states(directory: Path) -> dict[str, tuple[int, int]]:
    """Size in bytes and time of the last change in ns of a checkpoint's config and weights, as far as they exist."""
    states = {}
    for file in (directory / CONFIG_FILE, *weight_files(directory)):
        if file.is_file():
            stat = file.stat()
            states[file.name] = (stat.st_size, stat.st_mtime_ns)
    return states


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
    """Copy the weights and what belongs to them to the empty directory ``target``."""
    companions = {file for pattern in COMPANION_PATTERNS for file in source.glob(pattern) if file.is_file()}
    for file in {*weight_files(source), *companions}:
        if file.name not in NOT_COMPANIONS:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)


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
