# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Estimate of the rollout storage, made before it is allocated."""

from __future__ import annotations

import math
from typing import Any

import psutil
import torch
from tensordict import TensorDict

_GIB = 2**30


def storage_bytes(example: TensorDict, num_steps: int, num_action_values: int) -> dict[str, int]:
    """Bytes that the rollout storage takes, by part.

    Args:
        example: One observation of all environments, as it will be stored.
        num_steps: Decisions per environment and iteration.
        num_action_values: Width of an action chunk, H * A.
    """
    num_envs = example.batch_size[0]
    tensors: dict[str, Any] = dict(example.items())
    parts = {name: num_steps * value.numel() * value.element_size() for name, value in tensors.items()}
    # action, mean and standard deviation of the chunk; rewards, returns, values, advantages, log-probs, and one byte
    # for whether an episode ended
    parts["actions and distribution"] = num_steps * num_envs * 3 * num_action_values * 4
    parts["rewards and values"] = num_steps * num_envs * (5 * 4 + 1)
    return parts


def available_bytes(device: str) -> int:
    """Free memory of a device."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def require_storage(example: TensorDict, num_steps: int, num_action_values: int, device: str) -> str:
    """Describe what the storage will take, or refuse.

    Raises:
        ValueError: If it does not fit into the free memory, with the settings that would.
    """
    parts = storage_bytes(example, num_steps, num_action_values)
    total, free = sum(parts.values()), available_bytes(device)
    listed = ", ".join(f"{name} {size / _GIB:.3f}" for name, size in sorted(parts.items(), key=lambda kv: -kv[1])[:3])
    num_envs = example.batch_size[0]
    summary = (
        f"rollout storage: {total / _GIB:.3f} GiB for {num_steps} decisions x {num_envs} environments on {device},"
        f" {free / _GIB:.1f} GiB free (largest: {listed} GiB)"
    )
    if total > free:
        fitting = math.floor(num_steps * free / total * 0.9)
        fewer_envs = math.floor(num_envs * free / total * 0.9)
        raise ValueError(
            f"The {summary} does not fit. Fitting would be `agent.num_steps_per_env={max(fitting, 1)}` or `--num_envs"
            f" {max(fewer_envs, 1)}`."
        )
    return summary
