# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The expert of the drawer: its phases on made-up scenes, and the drawer that it opens in the simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import CLOSE, OPEN
from gr00t_rl_ext.imitation.experts.drawer import BEFORE, PATIENCE, STRIDE, DrawerExpert, DrawerPhase, DrawerScene

TASK = "Gr00t-Open-Drawer-Franka"

HANDLE = torch.tensor([0.5, 0.0, 0.7])

INTO_THE_DRAWER = torch.tensor([0.5, 0.5, 0.5, 0.5])
"""A gripper whose z-axis points along the base frame's x-axis, (x, y, z, w)."""


def scene(from_handle: tuple[float, float, float] = (0.0, 0.0, 0.0), opening: float = 1.0) -> DrawerScene:
    """One environment, with the gripper's offset from the handle [m]."""
    return DrawerScene(
        gripper_position=(HANDLE + torch.tensor(from_handle))[None],
        gripper_quat=INTO_THE_DRAWER[None],
        opening=torch.tensor([opening]),
        handle_position=HANDLE[None],
        handle_quat=INTO_THE_DRAWER[None],
    )


def in_phase(phase: DrawerPhase) -> DrawerExpert:
    expert = DrawerExpert(1)
    expert.phase[:] = phase
    return expert


def displacement(action: Tensor) -> list[float]:
    """What an action of an expert asks for, before it is limited [m]."""
    law = DrawerExpert.law
    return (action[0, :3] * law.action_scale / law.gain).tolist()


def test_it_approaches_from_the_front_with_open_fingers() -> None:
    action = in_phase(DrawerPhase.APPROACH).act(scene((-BEFORE - 0.03, 0.01, 0.0)))
    assert displacement(action) == pytest.approx([0.03, -0.01, 0.0], abs=1e-6)
    assert action[0, 3:6].abs().max() < 1e-5
    assert action[0, 6] == OPEN


def test_it_turns_the_fingers_around_the_bar() -> None:
    # about the gripper's own z-axis, which is the base frame's x-axis
    quarter = math_utils.quat_from_angle_axis(torch.tensor([0.1]), torch.tensor([[1.0, 0.0, 0.0]]))
    turned = replace(scene((-BEFORE, 0.0, 0.0)), gripper_quat=math_utils.quat_mul(quarter, INTO_THE_DRAWER[None]))
    action = in_phase(DrawerPhase.APPROACH).act(turned)
    law = DrawerExpert.law
    assert (action[0, 3:6] * law.action_scale / law.gain).tolist() == pytest.approx([-0.1, 0.0, 0.0], abs=1e-5)


def test_it_pulls_with_closed_fingers() -> None:
    action = in_phase(DrawerPhase.PULL).act(scene(opening=0.25))
    assert displacement(action) == pytest.approx([-STRIDE, 0.0, 0.0], abs=1e-6)
    assert action[0, 6] == CLOSE


@pytest.mark.parametrize(
    ("phase", "seen", "following"),
    [
        (DrawerPhase.APPROACH, scene((-BEFORE, 0.0, 0.0)), DrawerPhase.REACH),
        (DrawerPhase.APPROACH, scene((-BEFORE, 0.05, 0.0)), DrawerPhase.APPROACH),
        (DrawerPhase.REACH, scene(), DrawerPhase.GRASP),
        (DrawerPhase.REACH, scene((-0.02, 0.0, 0.0)), DrawerPhase.REACH),
        (DrawerPhase.GRASP, scene(opening=0.5), DrawerPhase.GRASP),
        (DrawerPhase.PULL, scene(opening=0.25), DrawerPhase.PULL),
        (DrawerPhase.PULL, scene(opening=0.02), DrawerPhase.APPROACH),
        (DrawerPhase.PULL, scene((-0.05, 0.0, 0.0), opening=0.25), DrawerPhase.APPROACH),
    ],
)
def test_phases(phase: DrawerPhase, seen: DrawerScene, following: DrawerPhase) -> None:
    expert = in_phase(phase)
    expert.act(seen)
    assert expert.phase.item() == following


def test_it_pulls_when_the_fingers_hold_the_bar() -> None:
    expert = in_phase(DrawerPhase.GRASP)
    expert.act(scene(opening=0.25))
    assert expert.phase.item() == DrawerPhase.GRASP, "the opening is still that of before"
    expert.act(scene(opening=0.25))
    assert expert.phase.item() == DrawerPhase.PULL


def test_what_is_stuck_starts_again_and_a_reset_as_well() -> None:
    expert = in_phase(DrawerPhase.REACH)
    for _ in range(PATIENCE):
        expert.act(scene((-0.05, 0.0, 0.0)))
    assert expert.phase.item() == DrawerPhase.REACH
    expert.act(scene((-0.05, 0.0, 0.0)))
    assert expert.phase.item() == DrawerPhase.APPROACH
    expert = in_phase(DrawerPhase.PULL)
    expert.reset(torch.tensor([True]))
    assert expert.phase.item() == DrawerPhase.APPROACH


def test_it_opens_the_drawer(make_env: Callable[..., Any]) -> None:
    env = make_env(TASK, 4, has_cameras=False)
    env.configure_decisions(1, observation_groups=("state",))
    env.reset(seed=0)
    cabinet, expert = env.scene["cabinet"], DrawerExpert(4)
    handle = DrawerScene.read(env)
    torch.testing.assert_close(handle.handle_position, torch.tensor([[0.495, 0.0, 0.69]]).expand(4, 3))
    forward = math_utils.quat_apply(handle.handle_quat, torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3))
    torch.testing.assert_close(forward, torch.tensor([[1.0, 0.0, 0.0]]).expand(4, 3), atol=1e-5, rtol=0)
    (joint,), _ = cabinet.find_joints("drawer_top_joint")
    succeeded, opened = torch.zeros(4, dtype=torch.bool), torch.zeros(4)
    for _ in range(60):
        opened = torch.maximum(opened, cabinet.data.joint_pos.torch[:, joint])
        _, _, terminated, _, _ = env.step(expert.action(env))
        succeeded |= terminated.view(-1)
        expert.reset(terminated.view(-1))
    assert succeeded.all()
    # one step before the end, at the least
    assert opened.min() > 0.24
    others = [index for index in range(4) if index != joint]
    assert cabinet.data.joint_pos.torch[:, others].abs().max() < math.radians(1)
