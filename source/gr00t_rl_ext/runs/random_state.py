# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""States of the random number generators of a process, as checkpoints hold them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def rng_state(device: str) -> dict[str, Any]:
    """States of the generators of torch, numpy and Python, as tensors and numbers on the CPU.

    Args:
        device: Where a run computes: of several GPUs, that one's.
    """
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    state: dict[str, Any] = {
        "cpu": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state(_gpu(device))
    return state


def restore_rng_state(state: dict[str, Any], device: str) -> None:
    """Set the generators. One that does not exist here, or that the state does not have, is left alone."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu(), _gpu(device))
    # checkpoints of version 0.1 have torch's alone
    if "numpy" in state:
        keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    if "python" in state:
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words.tolist()), gauss))


def _gpu(device: str) -> torch.device:
    """The GPU of a device, the current one for a CPU."""
    return torch.device(device if torch.device(device).type == "cuda" else "cuda")
