# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a program really allocates, to hold an estimate against."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from typing import Any

import torch


def peak_allocated(run: Callable[[], Any], device: str = "cpu") -> int:
    """Most bytes of tensors that ``run`` holds at one time, beside those that exist before it.

    From the allocator of the device; on the CPU as the profiler records it. ``run`` must not free what it did not
    allocate.
    """
    gc.collect()
    if device.startswith("cuda"):
        _allocate_workspaces(device)
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        run()
    assert profile.kineto_results is not None
    changes = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate((event.nbytes() for event in changes), initial=0))


def _allocate_workspaces(device: str) -> None:
    """What cuBLAS allocates once per process, at the first products: tens of MiB, whatever the program."""
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(64, 64, device=device, dtype=dtype)
        torch.mm(x, x)
        torch.nn.functional.linear(x, x, x[0])
