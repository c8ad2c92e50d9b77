# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Balancing a pole on a cart by sight. Registered by strings: nothing is imported until a task is used."""

import gymnasium as gym

from gr00t_rl_ext.tasks.registration import agents

# Isaac Lab's own `Isaac-Cartpole-Camera` has no version: Gymnasium refuses a versioned id of the same name beside it
_TASKS = {
    "Isaac-Cartpole-Camera-Discrete-v0": (
        "CartpoleCameraDiscreteEnvCfg",
        {"gr00t_categorical_ppo": "Gr00tCategoricalPpoRunnerCfg"},
    ),
    "Isaac-Cartpole-Camera-Continuous-v0": ("CartpoleCameraEnvCfg", {"gr00t_ppo": "Gr00tPpoRunnerCfg"}),
}

for _task_id, (_env_cfg, _recipes) in _TASKS.items():
    gym.register(
        id=_task_id,
        entry_point=f"{__name__}.env:CartpoleCameraEnv",
        disable_env_checker=True,
        kwargs={
            "env_cfg_entry_point": f"{__name__}.env_cfg:{_env_cfg}",
            **agents(f"{__name__}.agents.rsl_rl_cfg", _recipes),
        },
    )
