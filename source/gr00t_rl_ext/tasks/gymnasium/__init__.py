# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which agents Gymnasium tasks have, and what their environments are like by default.

Isaac Lab's tasks carry their agents in Gymnasium's registry. Gymnasium's own environments are not ours to change there,
so that their agents are found here, by the id. Nothing heavy is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gr00t_rl_ext.tasks.registration import agents


@dataclass(frozen=True)
class Family:
    """Environments with the same agents."""

    ids: str
    """Regular expression of the ids, without versions."""

    agents: dict[str, str]
    """Name of an agent -> class of its recipe, ``module:name``."""

    num_envs: int
    """Environments to train in, unless the user says how many."""


_FETCH = f"{__name__}.agents.fetch_cfg"
_CLASSIC = f"{__name__}.agents.classic_cfg"


def _fetch(task: str) -> dict[str, str]:
    """Agents for Fetch tasks; ``Reach`` has some of its own."""
    return {
        **agents(_FETCH, "gr00t_adapter_ppo_small", "gr00t_residual_ppo_small", "gr00t_ppo_small"),
        **agents(_FETCH, "gr00t_flow_ppo_small", classes=f"{{}}{task}RunnerCfg"),
        **agents(_FETCH, "gr00t_lora_ppo_small"),
        **agents(_FETCH, "gr00t_adapter_grpo_small", "gr00t_flow_grpo_small", "gr00t_grpo_small"),
        **agents(_FETCH, "mlp_ppo", classes=f"{{}}{task}RunnerCfg"),
        "rsl_rl_cfg_entry_point": f"{_FETCH}:RslRl{task}RunnerCfg",
    }


def _classic(name: str) -> dict[str, str]:
    return {
        **agents(_CLASSIC, "mlp_ppo", classes=f"{name}{{}}RunnerCfg"),
        "rsl_rl_cfg_entry_point": f"{_CLASSIC}:{name}RslRlRunnerCfg",
    }


_OVER_GR00T = agents(
    f"{__name__}.agents.any_cfg",
    *(f"gr00t_{kind}ppo_small" for kind in ("", "flow_", "lora_", "residual_", "adapter_")),
)
"""Agents over GR00T for any environment with continuous actions and a picture."""

_FAMILIES = (
    # there is no object, so that no observation group tells of it
    Family("FetchReach(Dense)?", _fetch("Reach"), num_envs=32),
    Family("Fetch(Push|Slide|PickAndPlace)(Dense)?", _fetch(""), num_envs=32),
    Family("CartPole|MountainCar|Acrobot", _classic("Discrete"), num_envs=8),
    Family(".*", {**_classic("Continuous"), **_OVER_GR00T}, num_envs=16),
)

EXAMPLES = ("gym:FetchReach-v4", "gym:FetchPickAndPlace-v4", "gym:Pendulum-v1", "gym:CartPole-v1")
"""Tasks to name where a user asks for none, or for one that does not exist."""


DEFINED: dict[str, Family] = {}
"""Families of single tasks, by their names."""


def family_of(env_id: str) -> Family:
    """The family of an environment, such as ``FetchReach-v4``. Others than those known are taken for continuous."""
    if env_id in DEFINED:
        return DEFINED[env_id]
    name = re.sub(r"-v\d+$", "", env_id.rpartition(":")[2])
    return next(family for family in _FAMILIES if re.fullmatch(family.ids, name))
