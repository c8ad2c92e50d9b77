# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Live tensor memory of a program, found by running it on fake tensors, which have a shape but no memory."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = ("weights", "gradients", "optimizer", "storage", "kept", "other")
"""What memory is used for. ``other`` is what nobody named: activations, copies, temporary results; ``kept`` is what was
left of that before the part of the program in question."""

_COMPUTED_TYPES = (torch.bool, torch.int16, torch.int32, torch.int64)
_MAX_COMPUTED_VALUES = 2**22

_ATEN: Any = torch.ops.aten
_READ_DEVICE = torch.ops.prim.device.default
_READ_VALUES = (_ATEN._local_scalar_dense.default, _ATEN.equal.default)
_INDEXING = (_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default)


@dataclass
class Timeline:
    """Bytes that are live after each operation of a program, by kind."""

    rows: list[tuple[int, ...]] = field(default_factory=list)
    """One per operation, one column per kind of :data:`KINDS`."""

    def peak(self) -> dict[str, int]:
        """Bytes by kind when their sum is largest."""
        return _at_peak(np.array(self.rows))


def extrapolate(first: Timeline, second: Timeline, sizes: tuple[int, int], size: int) -> dict[str, int]:
    """Bytes by kind at the peak of a program for a batch that it was not run on.

    What is live after an operation is affine in the batch size as long as the program does the same operations. The
    peak is not: it may move to another operation. So each operation is extrapolated, and the peak is taken then.

    Args:
        first: The program on a batch of ``sizes[0]``.
        second: The same program on a batch of ``sizes[1]``.
        sizes: Two different batch sizes.
        size: The batch size to answer for.
    """
    low, high = np.array(first.rows), np.array(second.rows)
    if low.shape != high.shape:
        # some kernels and formulas depend on the batch size; only the peaks can be compared then
        low, high = (np.array([list(timeline.peak().values())]) for timeline in (first, second))
    return _at_peak(low + (high - low) * ((size - sizes[0]) / (sizes[1] - sizes[0])))


def _at_peak(rows: np.ndarray) -> dict[str, int]:
    return {kind: int(value) for kind, value in zip(KINDS, rows[rows.sum(1).argmax()], strict=True)}


real_tensors = unset_fake_temporarily
"""Tensors made in this block are real, also inside a :class:`MemoryTrace`."""


class MemoryTrace:
    """Counts the live tensor memory of what runs inside its ``with`` block, on fake tensors.

    Every tensor that is made inside the block is fake: it has a shape, a data type and a device, but no memory and no
    values. Storages count from the operation that allocates them until the last tensor, autograd node or cache lets
    go of them, as for the real program. So saved activations, recomputed blocks, casts of autocast and states that an
    optimizer creates in its first step need no formulas.

    Programs branch on values. Small integer and boolean tensors (token ids, masks, positions) that come from
    constants are therefore computed for real; a value of any other tensor reads as 1, or True.

    Not seen is what a kernel allocates and frees inside, and what an allocator rounds up or keeps.

    With fake tensors of a CUDA device, that device must exist: autograd asks for its stream.

    Args:
        device: Whose memory is counted.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._mode = _FakeMode(allow_non_fake_inputs=True)
        self._tracker = _Tracker(self._mode, torch.device(device).type)
        self._contexts = ExitStack()

    def __enter__(self) -> MemoryTrace:
        self._contexts.enter_context(warnings.catch_warnings())
        # copy.deepcopy() asks for it before it takes another way
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        # what the trace draws must not change later random numbers
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        self._contexts.enter_context(torch.random.fork_rng(devices))
        self._contexts.enter_context(self._mode)
        self._contexts.enter_context(self._tracker)
        self._contexts.enter_context(_DeepCopies())
        return self

    def __exit__(self, *error: Any) -> None:
        self._contexts.close()
        FakeTensorMode.cache_clear()

    def live(self) -> dict[str, int]:
        """Bytes that are live now, by kind."""
        return dict(self._tracker.live)

    def label(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Count the memory of tensors as ``kind`` from now on."""
        for tensor in tensors:
            self._tracker.account(tensor, kind)

    def label_rest(self, kind: str) -> None:
        """Count all memory that is live and not labelled as ``kind`` from now on."""
        self._tracker.label_rest(kind)

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """Count the gradients of the optimizer's parameters, and what it allocates in its steps, under their names.

        It makes a step, so that there is its state, as there is in the course of training. No gradients are left.
        """
        tracker = self._tracker

        def label_gradient(parameter: Tensor) -> None:
            if parameter.grad is not None:
                tracker.account(parameter.grad, "gradients")

        optimizer.register_step_pre_hook(lambda *_: setattr(tracker, "kind", "optimizer"))
        optimizer.register_step_post_hook(lambda *_: setattr(tracker, "kind", "other"))
        for parameter in [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]:
            parameter.register_post_accumulate_grad_hook(label_gradient)
            parameter.grad = torch.zeros_like(parameter)
            label_gradient(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    @contextmanager
    def record(self) -> Iterator[Timeline]:
        """The timeline of what runs in the block."""
        timeline = Timeline([tuple(self._tracker.live.values())])
        self._tracker.timelines.append(timeline)
        try:
            yield timeline
        finally:
            self._tracker.timelines.pop()


class _FakeMode(FakeTensorMode):
    def __deepcopy__(self, memo: Any) -> _FakeMode:
        """The copy of a fake tensor belongs to the same mode; a copied mode would crash the process."""
        return self


class _DeepCopies(TorchFunctionMode):
    """Deep copies copy bytes as uint8: fake ones where values are known, and fake tensors have none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__:
            if not isinstance(args[0], FakeTensor):
                with real_tensors():
                    return func(*args, **(kwargs or {}))
            if not args[0].requires_grad:
                return args[1].setdefault(id(args[0]), args[0].clone())
        return func(*args, **(kwargs or {}))


class _Tracker(TorchDispatchMode):
    """Sees every operation before :class:`FakeTensorMode` does, and keeps the books."""

    def __init__(self, mode: FakeTensorMode, device_type: str) -> None:
        super().__init__()
        self._mode = mode
        self._device_type = device_type
        self.live: dict[str, int] = dict.fromkeys(KINDS, 0)
        self.kind = "other"
        self.timelines: list[Timeline] = []
        # by the storage's address, which is its own while it lives
        self._storages: dict[int, _Storage] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _READ_DEVICE and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # asked for most often, and more slowly answered by the mode
        kwargs = kwargs or {}
        given = list(_tensors((*args, *kwargs.values())))
        known = not any(isinstance(tensor, FakeTensor) for tensor in given)
        if func in _READ_VALUES:
            return _run(func, args, kwargs) if known else _one(func, given[0].dtype)
        if func in _INDEXING:
            args = (args[0], _positions(args[1]), *args[2:])
        result, made = None, []
        if given and known and all(map(_is_computed, given)):
            result = _run(func, args, kwargs)
            made = list(_tensors((result,)))
        if not made or not all(map(_is_computed, made)):
            result = func(*args, **kwargs)
            made = list(_tensors((result,)))
            if made and not given and all(map(_is_computed, made)):
                # small constants, which a look at fake ones found to be small
                result = _run(func, args, kwargs)
                made = list(_tensors((result,)))
        # weak references to parameters, which keep Module.to() from replacing them
        self._mode.fake_tensor_converter.tensor_memo.clear()
        for tensor in made:
            self.account(tensor)
        if not _adds_gradients(func):
            for timeline in self.timelines:
                timeline.rows.append(tuple(self.live.values()))
        return result

    def account(self, tensor: Tensor, kind: str | None = None) -> None:
        """Count a tensor's storage, unless it is counted; with a ``kind``, as that from now on."""
        if tensor.device.type != self._device_type:
            return
        storage = tensor.untyped_storage()
        address = storage._cdata
        known = self._storages.get(address)
        if known is None:
            known = self._storages[address] = _Storage(0, self.kind)
            weakref.finalize(storage, self._free, address).atexit = False
        self._count(known, storage.nbytes(), kind or known.kind)

    def label_rest(self, kind: str) -> None:
        for storage in self._storages.values():
            if storage.kind == "other":
                self._count(storage, storage.size, kind)

    def _count(self, storage: _Storage, size: int, kind: str) -> None:
        self.live[storage.kind] -= storage.size
        self.live[kind] += size
        storage.size, storage.kind = size, kind

    def _free(self, address: int) -> None:
        self._count(self._storages.pop(address), 0, "other")


@dataclass
class _Storage:
    """An entry of the books."""

    size: int
    """Bytes."""

    kind: str
    """One of :data:`KINDS`."""


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Tensors among arguments or results of an operation, whose lists may hold some."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _adds_gradients(func: Any) -> bool:
    """Whether the autograd engine adds up gradients, which of real tensors it does in place."""
    return func is _ATEN.add.Tensor and torch._C._current_graph_task_id() != -1 and not torch.is_grad_enabled()


def _is_computed(tensor: Tensor) -> bool:
    return tensor.dtype in _COMPUTED_TYPES and tensor.numel() <= _MAX_COMPUTED_VALUES


def _positions(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Indices with masks of known values replaced by the positions they stand for, whose number a fake mask hides."""
    positions: list[Tensor | None] = []
    for index in indices:
        if index is not None and index.dtype == torch.bool and not isinstance(index, FakeTensor):
            with real_tensors():
                positions += index.nonzero().unbind(1)
        else:
            positions.append(index)
    return positions


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    with real_tensors():
        return func(*args, **kwargs)


def _one(func: Any, dtype: torch.dtype) -> bool | float | int:
    if func is _ATEN.equal.default or dtype == torch.bool:
        return True
    return 1.0 if dtype.is_floating_point else 1
