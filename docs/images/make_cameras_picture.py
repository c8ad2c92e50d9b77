# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Make ``cameras.png``: what the two cameras of the stack task see, at the start and with the hand lowered.

./isaaclab.sh -p docs/images/make_cameras_picture.py
"""

import argparse
from pathlib import Path

from gr00t_rl_ext.assets.root import apply_asset_root

apply_asset_root()

import gymnasium as gym  # noqa: E402
import torch  # noqa: E402
from isaaclab.app import launch_simulation  # noqa: E402
from isaaclab_tasks.utils import resolve_task_config  # noqa: E402
from PIL import Image  # noqa: E402

import gr00t_rl_ext.tasks  # noqa: E402, F401

TASK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"

cfg, _ = resolve_task_config(TASK, None, overrides=[])
cfg.scene.num_envs = 1
cfg.sim.device = "cpu"
cfg.seed = 3
with launch_simulation(cfg, argparse.Namespace(device="cpu", headless=True, visualizer=None)):
    env = gym.make(TASK, cfg=cfg).unwrapped
    obs, _ = env.reset()
    pictures = [obs["rgb"][0]]
    down = torch.zeros(1, 7)
    down[:, 2], down[:, 6] = -0.05, 1.0
    for _ in range(36):
        obs, *_ = env.step(down)
    pictures.append(obs["rgb"][0])
    views = [camera for picture in pictures for camera in picture.split(3, dim=-1)]
    Image.fromarray(torch.cat(views, dim=1).cpu().numpy()).save(Path(__file__).with_name("cameras.png"))
    env.close()
