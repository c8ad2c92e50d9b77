# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Tasks of this package that are task files. Nothing is read here: a file is when its task is used."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent / "examples"
_PPO = ("gr00t_ppo", "gr00t_ppo_small", "gr00t_flow_ppo", "gr00t_flow_ppo_small")

SHIPPED = {
    "Gr00t-Cubes-Franka": (_FOLDER / "cubes_franka.yaml", (*_PPO, "gr00t_grpo", "mlp_ppo")),
    "Gr00t-Open-Drawer-Franka": (_FOLDER / "open_drawer.yaml", (*_PPO, "gr00t_grpo", "mlp_ppo")),
    "Gr00t-Reach-Goal-Franka": (_FOLDER / "reach_franka.yaml", (*_PPO, "gr00t_flow_grpo", "mlp_ppo")),
    "Gr00t-Reach-Goal-SO101": (_FOLDER / "reach_so101.yaml", (*_PPO, "mlp_ppo")),
}
"""Task -> its file, and the agents that the file names."""
