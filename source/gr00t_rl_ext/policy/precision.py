# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which floating-point formats a device computes fast in."""

from __future__ import annotations

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Data types by their name in configs."""


def half_precision(device: str) -> torch.dtype:
    """The 16-bit format of a device: bfloat16, or float16 on a GPU whose hardware lacks it (before Ampere)."""
    if device.startswith("cuda") and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def dtype_of(name: str, device: str) -> torch.dtype:
    """Data type by name; ``auto`` is :func:`half_precision` on a GPU and float32 elsewhere.

    Raises:
        ValueError: If the name is not known.
    """
    if name == "auto":
        return half_precision(device) if device.startswith("cuda") else torch.float32
    if name not in DTYPES:
        raise ValueError(f"`gr00t.dtype` is {name!r}; expected 'auto', {', '.join(map(repr, DTYPES))}.")
    return DTYPES[name]
