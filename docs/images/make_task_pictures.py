# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Make ``task_*.png``: what the cameras of each task see at the start of an episode, by the preflight's own pictures.

./isaaclab.sh -p docs/images/make_task_pictures.py [NAME ...]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LARGE = [f"env.scene.{camera}.{side}=224" for camera in ("table_cam", "wrist_cam") for side in ("height", "width")]
FETCH = ("--agent", "gr00t_flow_ppo_small", "env.image_size=[224,224]", "env.num_workers=1")
TASKS = {
    "stack": ("--task", "Isaac-Stack-Cube-Franka-IK-Rel-v0", "--agent", "gr00t_ppo", "presets=default"),
    "lift": ("--task", "Isaac-Lift-Cube-Franka-IK-Rel-v0", "--agent", "gr00t_ppo", "presets=default"),
    "cartpole": ("--task", "Isaac-Cartpole-Camera-Continuous-v0", "--agent", "gr00t_adapter_ppo", "presets=default"),
    "reach": (*("--task", "Gr00t-Reach-Goal-Franka", "--agent", "gr00t_ppo"), *LARGE),
    "reach_so101": (
        *("--task", "Gr00t-Reach-Goal-SO101", "--agent", "gr00t_ppo"),
        *(f"env.scene.{camera}.{side}=224" for camera in ("front_cam", "wrist_cam") for side in ("height", "width")),
    ),
    "drawer": (
        *("--task", "Gr00t-Open-Drawer-Franka", "--agent", "gr00t_ppo"),
        *(f"env.scene.{camera}.{side}=224" for camera in ("side_cam", "wrist_cam") for side in ("height", "width")),
    ),
    **{f"fetch_{name.lower()}": ("--task", f"gym:Fetch{name}-v4", *FETCH) for name in ("Reach", "Push", "Slide")},
    "fetch_pick_and_place": ("--task", "gym:FetchPickAndPlace-v4", *FETCH),
}
SHORT = ("--device", "cpu", "--num_envs", "2", "--preflight", "agent.preflight.episodes=1", "--run_timestamp", "run")

for name in sys.argv[1:] or TASKS:
    with tempfile.TemporaryDirectory() as folder:
        script = str(ROOT / "scripts" / "rsl_rl" / "train.py")
        command = [sys.executable, script, *TASKS[name], *SHORT, "agent.actor.gr00t.checkpoint=tiny"]
        # a tiny GR00T solves nothing, which the preflight may call an error; the pictures are there then as well
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        files = sorted(Path(folder).glob("logs/rsl_rl/*/run/params/camera_*.png"))
        if not files:
            raise SystemExit(f"{name}: no pictures.\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        views = [Image.open(file).convert("RGB") for file in files]
        strip = Image.new("RGB", (sum(view.width for view in views), views[0].height))
        for index, view in enumerate(views):
            strip.paste(view, (index * view.width, 0))
        strip.save(HERE / f"task_{name}.png", optimize=True)
        print(f"{name}: {', '.join(file.stem.removeprefix('camera_') for file in files)}", flush=True)
