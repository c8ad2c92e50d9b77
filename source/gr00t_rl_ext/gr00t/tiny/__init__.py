# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Tiny random GR00T checkpoints in the published layouts, for tests, examples and machines without a GPU.

Run ``python -m gr00t_rl_ext.gr00t.tiny OUT [--version N1.6]``. The result goes through the same loader as the real one:
all published keys (the unused ones included), 32 embodiment slots, shards with an index, statistics, and a tokenizer.
Each has less than 2 M parameters and takes 6 to 7 MB. What it cannot do is act: its weights are noise.

``--size small`` makes an N1.5 that is wide enough to learn and small enough to do so on two CPU cores;
``scripts/sft.py --checkpoint small`` makes one for a dataset and trains it.

``build`` writes; ``n1_5``, ``n1_6`` and ``n1_7`` know the files of their version; ``spec`` is what they share.
The JSON files hold what does not depend on the shape.
"""

from .build import TINY_SHAPES, build_tiny_checkpoint
from .n1_5 import SMALL, TinyN15, small_image_size
from .n1_6 import TinyN16
from .n1_7 import TinyN17

__all__ = ["SMALL", "TINY_SHAPES", "TinyN15", "TinyN16", "TinyN17", "build_tiny_checkpoint", "small_image_size"]
