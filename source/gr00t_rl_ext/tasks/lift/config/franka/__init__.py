# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The Franka Panda lifts a cube. Registered by strings: nothing is imported until a task is used."""

import gymnasium as gym

from gr00t_rl_ext.tasks.registration import agents

_AGENTS = f"{__name__}.agents.rsl_rl_cfg"

gym.register(
    id="Isaac-Lift-Cube-Franka-IK-Rel-v0",
    entry_point="gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv",
    disable_env_checker=True,
    kwargs={
        "env_cfg_entry_point": f"{__name__}.env_cfg:FrankaLiftCubeIkRelEnvCfg",
        "rsl_rl_cfg_entry_point": f"{_AGENTS}:RslRlMlpPpoRunnerCfg",
        **agents(_AGENTS, "gr00t_ppo", "gr00t_ppo_small", "gr00t_grpo", "gr00t_grpo_small"),
        **agents(
            _AGENTS,
            "gr00t_adapter_ppo",
            "gr00t_adapter_grpo",
            "gr00t_flow_ppo",
            "gr00t_flow_ppo_small",
            "gr00t_flow_grpo",
        ),
        **agents(_AGENTS, "gr00t_lora_ppo", "gr00t_residual_ppo", "gr00t_residual_ppo_small", "mlp_ppo"),
    },
)
