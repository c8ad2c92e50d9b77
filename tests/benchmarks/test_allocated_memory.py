# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""allocated_memory: the peak of allocations that are known."""

from __future__ import annotations

import torch
from allocated_memory import peak_allocated


def allocate() -> list[torch.Tensor]:
    first = torch.empty(1000, 1000)  # 4 MB
    second = torch.empty(500, 1000)  # 6 MB in all, the peak
    del first
    kept = [torch.empty(1000) for _ in range(100)]  # 2.4 MB
    third = torch.empty(750, 1000)  # 5.4 MB
    del second
    return [*kept, third]


def test_peak() -> None:
    assert peak_allocated(allocate) == 6_000_000


def test_what_exists_before_does_not_count() -> None:
    before = torch.empty(3000, 1000)
    kept = []
    # what earlier measurements left behind neither
    assert peak_allocated(lambda: kept.append(torch.empty(1000))) == 4000
    assert peak_allocated(allocate) == 6_000_000
    del before


def test_nothing() -> None:
    assert peak_allocated(lambda: None) == 0
