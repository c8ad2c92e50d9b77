# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the processor of Qwen3-VL is made from, where it is not fetched from the hub; also for ``../lerobot``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
)
"""What Qwen3-VL's template makes of a user's message, for a tokenizer that comes without a template."""

IMAGE_PROCESSOR: Mapping[str, Any] = {
    "size": {"shortest_edge": 65536, "longest_edge": 16777216},
    "patch_size": 16,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
"""Arguments of ``Qwen2VLImageProcessor``: the values of Qwen3-VL's published configuration."""
