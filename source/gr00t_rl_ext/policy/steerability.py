# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How much of what a GR00T does its initial noise decides: what a steering policy can reach, before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from tensordict import TensorDict

from gr00t_rl_ext.policy.actor import FrozenHeadActor

NOISES = 16
"""Noises that each state is decided with."""

STATES = 16
"""States to measure in, at most."""

LOW = 0.1
"""Standard deviation below which noise hardly changes what a policy does. Demonstrations span [-1, 1].

Measured: a policy whose largest was 0.090 gained nothing by steering, one with 0.152 did (docs/results/
fetch_pick_and_place.md)."""


class PartSteerability(NamedTuple):
    """Of one part of the action, a key of the checkpoint."""

    std: float
    """Standard deviation of its normalised entries over the noises, root mean square over states and control steps."""

    flips: float
    """Share of its signs that are not those of most noises, in [0, 1/2]. It matters where an action acts by its sign,
    as grippers do."""


@torch.no_grad()
def measure(actor: FrozenHeadActor, obs: TensorDict) -> dict[str, PartSteerability]:
    """Decide with many noises as GR00T draws them, N(0, I). torch's generators are left as they were.

    Args:
        actor: Its GR00T is asked, not the network beside it.
        obs: Encoded observations (B); the first :data:`STATES` are taken.

    Returns:
        Key of the action -> what noise does to it, over the control steps of a decision.
    """
    obs = obs[:STATES]
    device = actor.action_dims.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        noises = torch.randn(NOISES, obs.batch_size[0], *actor.noise_shape, device=device)
    chunks = torch.stack([actor.run_flow(obs, noise) for noise in noises])
    measured = {}
    for key, part in actor.encoder.inputs.embodiment.action.slices().items():
        entries = chunks[..., part]
        positive = (entries > 0.0).float().mean(0)
        measured[key] = PartSteerability(
            float(entries.var(0, unbiased=False).mean().sqrt()), float(torch.minimum(positive, 1.0 - positive).mean())
        )
    return measured


def describe(parts: Mapping[str, PartSteerability]) -> str:
    """A table of what :func:`measure` found, and what to do where noise decides next to nothing."""
    width = max(len("part"), *map(len, parts))
    lines = [
        f"Steerability: what {NOISES} noises make of one state. Actions of the demonstrations span [-1, 1].",
        f"  {'part':<{width}}  {'std':>5}  signs flipped",
        *(f"  {key:<{width}}  {part.std:5.3f}  {part.flips:.1%}" for key, part in parts.items()),
    ]
    if all(part.std < LOW for part in parts.values()):
        lines.append(
            f"Warning: noise hardly changes what this GR00T does (std below {LOW} in every part). Steering can only"
            " choose among what it does, and gained nothing with such a policy. Train GR00T itself, with the agent"
            " gr00t_flow_ppo; or correct what it does, with gr00t_residual_ppo."
        )
    return "\n".join(lines)
