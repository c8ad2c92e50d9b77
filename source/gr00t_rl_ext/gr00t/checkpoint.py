# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Files of a GR00T checkpoint: where they are, reading single tensors, writing a directory in one piece."""

from __future__ import annotations

import json
import re
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

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


class CheckpointWeights:
    """Tensors of a checkpoint by name, read one at a time from one file or from shards.

    Args:
        directory: The checkpoint.
        device: Where tensors are read to.

    Raises:
        Gr00tCheckpointError: No weights, a shard is missing, or a file is truncated.
    """

    def __init__(self, directory: Path, device: torch.device | str = "cpu") -> None:
        self.directory = directory
        index = directory / INDEX_FILE
        if index.is_file():
            self.files = sorted(set(read_json(index)["weight_map"].values()))
        elif (directory / SINGLE_FILE).is_file():
            self.files = [SINGLE_FILE]
        else:
            raise Gr00tCheckpointError(
                f"{str(directory)!r} holds no weights; expected {SINGLE_FILE}, or {INDEX_FILE} with its shards. "
                "Weights in other formats (pytorch_model.bin) are not read: convert them with safetensors"
            )
        missing = [name for name in self.files if not (directory / name).is_file()]
        if missing:
            raise Gr00tCheckpointError(
                f"{str(directory)!r} lacks {len(missing)} of the {len(self.files)} shards that {INDEX_FILE} names: "
                f"{', '.join(missing)}. Download or copy them again"
            )
        self._handles = {name: _open(directory / name, device) for name in self.files}
        self._file_of = {key: name for name, handle in self._handles.items() for key in handle.keys()}

    def keys(self) -> set[str]:
        return set(self._file_of)

    def keys_of(self, file: str) -> list[str]:
        """Names of the tensors in one shard, in file order."""
        return [key for key, name in self._file_of.items() if name == file]

    def metadata(self, file: str) -> dict[str, str] | None:
        return self._handles[file].metadata()

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._handles[self._file_of[key]].get_slice(key).get_shape())

    def dtypes(self) -> set[str]:
        """Data types of the tensors, in safetensors' names: "F32", "BF16", ..."""
        return {self._handles[name].get_slice(key).get_dtype() for key, name in self._file_of.items()}

    def read(self, key: str, index: int | None = None) -> Tensor:
        """The tensor ``key``, or its entry ``index`` along the first axis, which then is all that is read."""
        handle = self._handles[self._file_of[key]]
        if index is None:
            return handle.get_tensor(key)
        return handle.get_slice(key)[index : index + 1][0]


def _open(file: Path, device: torch.device | str) -> Any:
    try:
        return safe_open(file, framework="pt", device=str(device))
    except SafetensorError as error:
        raise Gr00tCheckpointError(
            f"{str(file)!r} is truncated or no safetensors file: it has {file.stat().st_size:,} bytes"
            f"{_expected_size(file)} ({error}). Download or copy it again"
        ) from error


def _expected_size(file: Path) -> str:
    """What the header says the file's size should be, as a clause; empty where the header itself is unreadable."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length < file.stat().st_size else {}
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        return f", expected {8 + length + end:,}"
    except (struct.error, ValueError, KeyError, TypeError):
        return ""


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


def rewrite_weights(source: Path, target: Path, updates: Mapping[str, Callable[[Tensor], Tensor]]) -> None:
    """Write ``source``'s checkpoint to the directory ``target`` with some of its tensors updated.

    Names, shapes, dtypes, shards and companion files stay as they are. One shard is in memory at a time.
    """
    weights = CheckpointWeights(source)
    for file in weights.files:
        tensors = {}
        for key in weights.keys_of(file):
            tensor = weights.read(key)
            tensors[key] = updates[key](tensor).contiguous() if key in updates else tensor
        save_file(tensors, target / file, metadata=weights.metadata(file))
    for pattern in COMPANION_PATTERNS:
        for companion in source.glob(pattern):
            if companion.is_file() and companion.name not in NOT_COMPANIONS:
                copy = target / companion.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                shutil.copyfile(companion, copy)


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
