# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A GR00T checkpoint as a policy: what GR00T's own inference does with it, without a network beside it."""

from __future__ import annotations

import dataclasses

from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import ActorDefinition, class_path
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.options import FrozenHeadOptions


def native_actor(definition: ActorDefinition, device: str) -> Actor:
    """GR00T's own inference in the place of a policy over it.

    The noise is ``N(0, I)``, the weights are frozen. Checkpoint, mapping, length of the chunk and number of Euler steps
    are those of the policy.

    Args:
        definition: The policy.
        device: Where it acts.

    Raises:
        ValueError: The checkpoint cannot be loaded, or does not fit the task.
    """
    settings = {
        "gr00t": definition.actor.get("gr00t", {}),
        "freezing": {"train": []},
        "chunk_length": definition.actor.get("chunk_length"),
        "flow": {"num_eval_steps": definition.actor.get("num_flow_steps", FrozenHeadOptions.num_flow_steps)},
        "noise_scale": 1.0,
    }
    native = dataclasses.replace(definition, class_name=class_path(Gr00tFlowActor), actor=settings)
    return native.make(device).eval()
