# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a program really allocates, to hold an estimate against."""

from __future__ import annotations

import gc
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def peak_allocated(run: Callable[[], Any], device: str = "cpu") -> int:
    """Most bytes of tensors that ``run`` holds at one time, beside those that exist before it.

    From the allocator of the device: on the CPU as the profiler records it, which costs time per allocation. ``run``
    must not free what it did not allocate.
    """
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profile:
        run()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "trace.json"
        profile.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    if not changes:
        return 0
    # the allocator goes on counting what earlier profiles saw allocated and not freed
    before = changes[0]["args"]["Total Allocated"] - changes[0]["args"]["Bytes"]
    return max(event["args"]["Total Allocated"] for event in changes) - before
