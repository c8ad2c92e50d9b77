# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gradient checkpointing: a block's activations are recomputed in the backward pass instead of kept.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputing(nn.Module):
    """Module with a stack of blocks, each of which may be recomputed in the backward pass."""

    gradient_checkpointing = False
    """Keep only the blocks' inputs for the backward pass."""

    def run_block(self, block: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """``block(*args, **kwargs)``, recomputed in the backward pass where that is asked for."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            # the model has no dropout, and fine-tuning, which adds some, recomputes nothing: there is no random state
            out = checkpoint(block, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
            assert isinstance(out, Tensor)
            return out
        return block(*args, **kwargs)
