# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config classes of the algorithms (``agent.algorithm``): Isaac Lab's, with the fields and checks of our options."""

from __future__ import annotations

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlPpoAlgorithmCfg

from gr00t_rl_ext.algorithms.options import GrpoOptions, PpoOptions


@configclass
class Gr00tPpoAlgorithmCfg(PpoOptions, RslRlPpoAlgorithmCfg):
    """PPO; see :class:`~.options.PpoOptions`."""

    class_name: str = "gr00t_rl_ext.algorithms.ppo:Gr00tPPO"


@configclass
class Gr00tGrpoAlgorithmCfg(GrpoOptions):
    """GRPO; see :class:`~.options.GrpoOptions`."""

    class_name: str = "gr00t_rl_ext.algorithms.grpo:Gr00tGRPO"
