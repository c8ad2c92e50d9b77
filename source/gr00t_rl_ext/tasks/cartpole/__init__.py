# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Balancing a pole on a cart, on its state or by sight. Registered by strings: nothing is imported until it is used."""

import gymnasium as gym

from gr00t_rl_ext.tasks.registration import agents

_AGENTS = f"{__name__}.agents.rsl_rl_cfg"

# Isaac Lab's own `Isaac-Cartpole-Camera` has no version: Gymnasium refuses a versioned id of the same name beside it
_TASKS = {
    "Isaac-Cartpole-State-v0": (
        "CartpoleStateEnv",
        agents(_AGENTS, "mlp_ppo") | {"rsl_rl_cfg_entry_point": f"{_AGENTS}:RslRlMlpPpoRunnerCfg"},
    ),
    "Isaac-Cartpole-Camera-Discrete-v0": ("CartpoleCameraDiscreteEnv", agents(_AGENTS, "gr00t_categorical_ppo")),
    "Isaac-Cartpole-Camera-Continuous-v0": ("CartpoleCameraEnv", agents(_AGENTS, "gr00t_adapter_ppo")),
}

for _task_id, (_env, _recipes) in _TASKS.items():
    gym.register(
        id=_task_id,
        entry_point=f"{__name__}.env:{_env.replace('Discrete', '')}",
        disable_env_checker=True,
        kwargs={"env_cfg_entry_point": f"{__name__}.env_cfg:{_env}Cfg", **_recipes},
    )
