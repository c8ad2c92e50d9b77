# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Registers the tasks. Isaac Lab imports this module through the entry-point group ``isaaclab.tasks``.

It must stay cheap: it runs before every ``isaaclab`` command, ``list_envs`` included.
"""

import os
import sys

import gymnasium as gym

from gr00t_rl_ext.assets.root import apply_on_import
from gr00t_rl_ext.tasks import cartpole as _cartpole  # noqa: F401
from gr00t_rl_ext.tasks.files import registered as _registered
from gr00t_rl_ext.tasks.lift.config import franka as _franka_lift  # noqa: F401
from gr00t_rl_ext.tasks.shipped import SHIPPED as _SHIPPED
from gr00t_rl_ext.tasks.stack.config import franka as _franka  # noqa: F401
from gr00t_rl_ext.tasks.stock_ids import of_isaaclab as _of_isaaclab

apply_on_import()

for _task, (_file, _agents) in _SHIPPED.items():
    gym.register(**_registered.entry(_task, _file, _agents))

if os.environ.get("GR00T_RL_TASKS"):
    # read only where somebody has some
    from gr00t_rl_ext.tasks.files.registration import register_named

    register_named()

# Isaac Lab's command imports this module before it reads its arguments
sys.argv[:] = _of_isaaclab(sys.argv)
