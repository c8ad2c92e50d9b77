# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A GR00T N1.5 that learns on two CPU cores: the genuine architecture, made for a robot, with fresh weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL_PATCH = 16
"""Side of a patch of the small model's images in pixels."""

SMALL: Mapping[str, Any] = {
    "image_size": 64,
    "patch_size": SMALL_PATCH,
    "vision_layers": 2,
    "vision_width": 96,
    "text_layers": 1,
    "text_width": 64,
    "dit_layers": 4,
    "dit_width": 96,
    "num_future_tokens": 1,
}
"""Shape of the small model, see :class:`~.n1_5.TinyN15`: 0.99 M parameters.

Two SigLIP layers, 96 wide, over 16 patches of 16 px per 64 px image; one Qwen3 layer and one layer of VL
self-attention, 64 wide; four DiT blocks, 96 wide.
"""


def small_image_size(height: int, width: int) -> int:
    """Side of the small model's images for a camera: its shorter side down to whole patches, 32 to 128 px."""
    return min(max(min(height, width) // SMALL_PATCH * SMALL_PATCH, 2 * SMALL_PATCH), 8 * SMALL_PATCH)
