# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl's PPO with an MLP: the baseline that every claim is compared with."""

from __future__ import annotations

from typing import Any

from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from tensordict import TensorDict


class RslRlPPO(PPO):
    """rsl_rl's PPO, unchanged, on an environment that computes only the observation groups in use.

    rsl_rl stores every group that the environment returns; without this, an agent without cameras would still render
    and store images.
    """

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> PPO:
        """Narrow the environment to ``agent.obs_groups`` and one control step per decision, then do as rsl_rl does."""
        unwrapped: Any = env.unwrapped  # type: ignore[attr-defined]
        used = list(dict.fromkeys(group for groups in cfg["obs_groups"].values() for group in groups))
        unwrapped.configure_decisions(1, observation_groups=used)
        return PPO.construct_algorithm(env.get_observations().to(device), env, cfg, device)


MlpPPO = RslRlPPO
"""What it was called in version 0.1: users' configs name it."""
