# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Weights of a GR00T checkpoint: single tensors by name, read and overwritten in place, and their checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .checkpoint import INDEX_FILE, Gr00tCheckpointError, weight_files

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
        self.directory, self.device = directory, device
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

    def file(self, key: str) -> Path:
        return self._tensors[key].file

    def dtypes(self) -> set[str]:
        """Data types of the tensors, in safetensors' names: "F32", "BF16", ..."""
        return {tensor.dtype for tensor in self._tensors.values()}

    def read(self, key: str, index: int | None = None) -> Tensor:
        """The tensor ``key``, or its entry ``index`` along the first axis."""
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


@dataclass(frozen=True)
class CheckpointEntry:
    """Where one of our parameters stands in a checkpoint."""

    key: str
    """Name of the tensor."""

    shape: tuple[int, ...]
    """Its shape in the checkpoint."""

    slot: int | None = None
    """Entry along its first axis; None: all of it."""

    transpose: bool = False
    """Whether it is stored the other way round."""

    def read(self, weights: CheckpointWeights) -> Tensor:
        """The parameter's value in a checkpoint, in its data type there."""
        tensor = weights.read(self.key, self.slot)
        return tensor.T.contiguous() if self.transpose else tensor

    def overwrite(self, weights: CheckpointWeights, ours: Tensor) -> None:
        """Put our value in the place of the checkpoint's, in its data type there.

        Where ours is the checkpoint's rounded to our data type, the parameter was not trained, and the checkpoint's
        stays: loading in bfloat16 and saving loses nothing.
        """
        ours = ours.detach().cpu()
        if not torch.equal(self.read(weights).to(ours.dtype), ours):
            weights.overwrite(self.key, ours.T if self.transpose else ours, self.slot)


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
    """Header of a safetensors file, which safetensors itself does not show, and where the data starts in the file."""
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
    """Refuse, with a :class:`Gr00tCheckpointError`, weights under ``keys`` that are no plain floating-point numbers."""
    others = [f"{key} ({weights.dtype(key)})" for key in sorted(keys) if weights.dtype(key) not in FLOAT_TYPES]
    if others:
        raise Gr00tCheckpointError(
            f"{len(others)} tensors in {str(weights.directory)!r} are not of type {', '.join(FLOAT_TYPES)}: "
            f"{_some(others)}. Quantised weights are not read: use the checkpoint that they were made from"
        )


def check_finite(
    weights: CheckpointWeights, entries: Mapping[str, CheckpointEntry], state: Mapping[str, Tensor]
) -> None:
    """Refuse weights that are NaN or infinite, with one pass over each tensor and no copy of it.

    Args:
        weights: The checkpoint.
        entries: Our parameter name -> its place there.
        state: Our parameter name -> its value, in the data type that it is to be used in.

    Raises:
        Gr00tCheckpointError: Some are not finite, or do not fit into that data type.
    """
    finite = {name: torch.stack(tensor.aminmax()).isfinite().all() for name, tensor in state.items()}
    # one look at the device for all of them
    if torch.stack(list(finite.values())).all():
        return
    listed, is_stored_so = [], False
    for name in [name for name, is_finite in finite.items() if not is_finite]:
        key, tensor = entries[name].key, entries[name].read(weights)
        counts = {"NaN": int(tensor.isnan().sum()), "infinite": int(tensor.isinf().sum())}
        found = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        is_stored_so |= bool(found)
        found = f"{found} of {tensor.numel():,}" if found else f"up to {tensor.abs().max():.3g}"
        listed.append(f"{key} ({found}, in {weights.file(key).name})")
    what, fix = f"do not fit into {next(iter(state.values())).dtype}", "Load the checkpoint in bfloat16 or float32"
    if is_stored_so:
        what, fix = (
            "hold numbers that are not finite",
            "Every action would be NaN. Download or copy the files again; if they are like this where they come from, "
            "their training had diverged: use an earlier checkpoint of it",
        )
    raise Gr00tCheckpointError(f"{len(listed)} tensors in {str(weights.directory)!r} {what}: {_some(listed)}. {fix}")


def check_keys(expected: set[str], found: set[str], unused_prefixes: tuple[str, ...], source: str) -> None:
    """Refuse tensor names that are missing, or present without being expected or explicitly unused."""
    missing = sorted(expected - found)
    unexpected = sorted(key for key in found - expected if not key.startswith(unused_prefixes))
    if missing or unexpected:
        parts = [
            f"{len(keys)} tensors are {what}: {_some(keys)}; "
            for what, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise Gr00tCheckpointError(
            f"the weights in {source!r} do not fit the model that its configs describe; {''.join(parts)}known and "
            f"unused are only {', '.join(prefix + '*' for prefix in unused_prefixes)}. Check that configs and weights "
            "come from the same checkpoint"
        )


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
