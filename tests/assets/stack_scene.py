# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Run the stock stacking scene on the offline assets in a process of its own, and report what happened as JSON.

    python stack_scene.py --physics ovphysx --control ik_rel --num_envs 64 --random_steps 300 --lift --report out.json

A physics back end is chosen once per process and its native runtime cannot be started twice, so tests run this file
as a subprocess, one per back end.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

SEED = 7
_CONFIG_MODULES = {"joint_pos": "stack_joint_pos_env_cfg", "ik_rel": "stack_ik_rel_env_cfg"}


def stack_cfg(physics: str, control: str, num_envs: int) -> Any:
    """Stock Franka stacking configuration for a CPU and one kit-less physics back end.

    Args:
        physics: ``ovphysx`` or ``newton_mjwarp``.
        control: ``joint_pos`` or ``ik_rel``.
        num_envs: Number of environments.
    """
    import importlib

    from isaaclab_tasks.utils import resolve_presets

    module = importlib.import_module(f"isaaclab_tasks.contrib.stack.config.franka.{_CONFIG_MODULES[control]}")
    cfg = module.FrankaCubeStackEnvCfg()
    if physics == "newton_mjwarp":
        cfg = resolve_presets(cfg, ["newton_mjwarp"])
        # The stock settings are five times slower and grasp no better.
        cfg.sim.physics.num_substeps = 1
        solver = cfg.sim.physics.solver_cfg
        solver.njmax, solver.nconmax, solver.iterations, solver.ls_iterations = 120, 80, 10, 10
    else:
        from isaaclab_ov.physics import OvPhysxCfg

        cfg = resolve_presets(cfg)
        cfg.sim.physics = OvPhysxCfg()
    # Newton rejects the stock False; ovphysx then populates the first environment only.
    cfg.scene.replicate_physics = True
    cfg.scene.num_envs = num_envs
    cfg.sim.device = "cpu"
    cfg.seed = SEED
    return cfg


def random_actions(env: Any, steps: int) -> dict[str, Any]:
    """Step with uniform random actions; report non-finite observations and how far the base moved [m]."""
    import torch

    env.reset(seed=SEED)
    robot = env.scene["robot"]
    origin = robot.data.root_pos_w.torch.clone()
    shape = (env.num_envs, env.action_manager.total_action_dim)
    non_finite, drift, fastest = 0, 0.0, 0.0
    started = time.perf_counter()
    for _ in range(steps):
        observations, *_ = env.step(2 * torch.rand(shape) - 1)
        non_finite += sum(int((~torch.isfinite(value)).sum()) for value in observations["policy"].values())
        drift = max(drift, float((robot.data.root_pos_w.torch - origin).abs().max()))
        fastest = max(fastest, float(robot.data.joint_vel.torch.abs().max()))
    return {
        "non_finite": non_finite,
        "base_drift": drift,
        "largest_joint_speed": fastest,
        "steps_per_second": env.num_envs * steps / (time.perf_counter() - started),
    }


def lift(env: Any, cube: str = "cube_2") -> dict[str, list[float]]:
    """Run the scripted lift; report the height of the cube [m] in each environment after each phase."""
    import torch
    from scripted_lift import PHASES, ScriptedLift

    env.reset(seed=SEED)
    settle = torch.zeros(env.num_envs, 7)
    settle[:, 6] = 1.0
    for _ in range(5):
        env.step(settle)
    body = env.scene[cube].data
    controller = ScriptedLift(env, cube)
    heights = {"start": body.root_pos_w.torch[:, 2].tolist()}
    ends = {controller.end_of(phase.name): phase.name for phase in PHASES}
    for step in range(controller.num_steps):
        env.step(controller.action(step))
        if step + 1 in ends:
            heights[ends[step + 1]] = body.root_pos_w.torch[:, 2].tolist()
    return heights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--physics", choices=("ovphysx", "newton_mjwarp"), required=True)
    parser.add_argument("--control", choices=tuple(_CONFIG_MODULES), default="ik_rel")
    parser.add_argument("--num_envs", type=int, default=4)
    parser.add_argument("--random_steps", type=int, default=0)
    parser.add_argument("--lift", action="store_true")
    parser.add_argument("--report", type=Path, required=True)
    arguments = parser.parse_args()

    from gr00t_rl_ext.assets import apply_asset_root

    root = apply_asset_root("offline")
    from gr00t_rl_ext.envs import cuda_guard

    cuda_guard.install()
    from isaaclab.app import launch_simulation
    from isaaclab.envs import ManagerBasedRLEnv

    report: dict[str, Any] = {"asset_root": root.location, "asset_source": root.source}
    cfg = stack_cfg(arguments.physics, arguments.control, arguments.num_envs)
    with launch_simulation(cfg, argparse.Namespace(device="cpu", headless=True, visualizer=None)):
        env = ManagerBasedRLEnv(cfg)
        robot = env.scene["robot"]
        report["bodies"], report["joints"] = list(robot.body_names), list(robot.joint_names)
        report["fixed_base"] = bool(robot.is_fixed_base)
        env.reset(seed=SEED)
        report["stiffness"] = robot.data.joint_stiffness.torch[0].tolist()
        if arguments.lift:
            report["lift"] = lift(env)
        if arguments.random_steps:
            report["random"] = random_actions(env, arguments.random_steps)
        # Written before closing: a native runtime that dies on exit must not hide the result.
        arguments.report.write_text(json.dumps(report, indent=2))
        env.close()


if __name__ == "__main__":
    main()
