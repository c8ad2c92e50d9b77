# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The scripted experts on a toy scene: a gripper that goes a fifth of each command, and cubes that stick to it."""

from __future__ import annotations

import math

import pytest
import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import (
    ABOVE,
    CUBE_HEIGHT,
    PATIENCE,
    REST_HEIGHT,
    CubeExpert,
    CubeScene,
    LiftExpert,
    Phase,
    StackExpert,
)
from gr00t_rl_ext.imitation.experts.motion import ServoLaw, nearest_square_turn, turn_to_yaw, yaw_of

CUBE_OPENING = 0.585


def quat_of_yaw(yaw: Tensor, roll: float = 0.0) -> Tensor:
    return math_utils.quat_from_euler_xyz(torch.full_like(yaw, roll), torch.zeros_like(yaw), yaw)


class ToyScene:
    """N tables with three cubes at least 10 cm apart. Cubes that nobody holds fall onto what is below them."""

    def __init__(self, num_envs: int = 32, seed: int = 0) -> None:
        random = torch.Generator().manual_seed(seed)
        self.rows = torch.arange(num_envs)
        places = torch.tensor([[0.45, -0.1], [0.45, 0.05], [0.58, -0.03]])
        jitter = 0.02 * torch.rand(num_envs, 3, 2, generator=random)
        self.position = torch.cat((places + jitter, torch.full((num_envs, 3, 1), REST_HEIGHT)), dim=-1)
        self.yaw = 2 * torch.rand(num_envs, 3, generator=random) - 1
        self.gripper = torch.tensor([0.45, -0.04, 0.25]) + 0.02 * torch.rand(num_envs, 3, generator=random)
        self.tool = quat_of_yaw(0.6 * torch.rand(num_envs, generator=random), roll=math.pi)
        self.opening = torch.ones(num_envs)
        self.held = torch.full((num_envs,), -1)

    def read(self) -> CubeScene:
        return CubeScene(self.gripper, self.tool, self.opening, self.position, quat_of_yaw(self.yaw))

    def step(self, action: Tensor) -> None:
        move, turn = 0.11 * action[:, :3], 0.11 * action[:, 3:6]
        self.gripper = self.gripper + move
        before = yaw_of(self.tool)
        self.tool = math_utils.quat_mul(math_utils.quat_from_angle_axis(turn.norm(dim=1), unit(turn)), self.tool)
        turned = yaw_of(self.tool) - before
        closing = action[:, 6] < 0
        distance = (self.position - self.gripper[:, None]).norm(dim=-1)
        grasped = closing & (self.held < 0) & (distance.min(dim=1).values < 0.02)
        self.held = torch.where(grasped, distance.argmin(dim=1), torch.where(closing, self.held, -1))
        floor = torch.where(self.held >= 0, CUBE_OPENING, 0.0)
        self.opening = torch.maximum((self.opening + torch.where(closing, -0.25, 0.25)).clamp(max=1.0), floor)
        has = self.held >= 0
        at = self.rows[has], self.held[has]
        self.position[at] = self.position[at] + move[has]
        self.yaw[at] = self.yaw[at] + turned[has]
        self._fall()

    def _fall(self) -> None:
        for cube in range(3):
            offset = self.position - self.position[:, cube : cube + 1]
            under = (offset[..., :2].norm(dim=-1) < 0.04) & (offset[..., 2] < -0.02)
            tops = torch.where(under, self.position[..., 2] + CUBE_HEIGHT, REST_HEIGHT)
            free = self.held != cube
            self.position[free, cube, 2] = tops.max(dim=1).values[free]


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=1, keepdim=True).clamp(min=1e-9)


def run(expert: CubeExpert, scene: ToyScene, steps: int) -> list[Tensor]:
    """Act for some steps; returns the phases before each, (steps, N)."""
    phases = []
    for _ in range(steps):
        phases.append(expert.phase.clone())
        action = expert.act(scene.read())
        assert action.shape == (len(scene.rows), 7)
        assert action.abs().max() <= 1.0
        assert set(action[:, 6].tolist()) <= {-1.0, 1.0}
        scene.step(action)
    return phases


def test_every_cube_is_lifted_and_held() -> None:
    scene = ToyScene()
    phases = run(LiftExpert(32), scene, 40)
    assert (scene.held == 1).all()
    assert ((scene.position[:, 1, 2] - REST_HEIGHT - 0.12).abs() < 0.003).all()
    assert (phases[-1] == Phase.LIFT).all()
    # holding for long is not being stuck
    assert (torch.stack(run(LiftExpert(32), ToyScene(), 40 + 2 * PATIENCE))[40:] == Phase.LIFT).all()


def test_every_tower_is_built_in_order() -> None:
    scene = ToyScene()
    expert = StackExpert(32)
    phases = torch.stack(run(expert, scene, 160))
    offset = scene.position[:, 1:] - scene.position[:, :-1]
    assert (offset[..., :2].norm(dim=-1) < 0.02).all()
    assert torch.allclose(offset[..., 2], torch.tensor(CUBE_HEIGHT), atol=1e-4)
    assert (scene.opening == 1.0).all()
    # their sides are parallel
    assert nearest_square_turn(scene.yaw[:, :-1], scene.yaw[:, 1:]).abs().max() < 0.16
    # environments are in different phases at the same time, and each goes through all of them twice
    assert max(len(row.unique()) for row in phases) >= 3
    for phase in Phase:
        entered = ((phases[1:] == phase) & (phases[:-1] != phase)).sum(dim=0)
        assert (entered >= (1 if phase == Phase.APPROACH else 2)).all(), phase


def test_a_finished_tower_is_left_alone() -> None:
    scene = ToyScene(2)
    run(expert := StackExpert(2), scene, 160)
    tower = scene.position.clone()
    scene.gripper[0] += torch.tensor([0.02, 0.0, -0.01])
    assert (torch.stack(run(expert, scene, 2 * PATIENCE)) == Phase.APPROACH).all()
    assert torch.equal(scene.position, tower)
    torch.testing.assert_close(scene.gripper - tower[:, 2], torch.tensor([[0.0, 0.0, ABOVE]] * 2), atol=1e-4, rtol=0)
    assert (scene.opening == 1.0).all()


def test_a_reset_begins_anew_where_asked() -> None:
    scene = ToyScene(3)
    expert = LiftExpert(3)
    run(expert, scene, 30)
    expert.reset(torch.tensor([False, True, False]))
    assert expert.phase.tolist() == [Phase.LIFT, Phase.APPROACH, Phase.LIFT]


def test_a_cube_that_slips_is_fetched_again() -> None:
    scene = ToyScene(2)
    expert = StackExpert(2)
    while not (expert.phase == Phase.CARRY).all():
        scene.step(expert.act(scene.read()))
    scene.held[0], scene.opening[0] = -1, 0.0
    scene._fall()
    expert.act(scene.read())
    assert expert.phase[0] == Phase.APPROACH
    assert expert.phase[1] in (Phase.CARRY, Phase.PLACE)
    run(expert, scene, 200)
    assert (scene.position[:, 2, 2] > REST_HEIGHT + 1.9 * CUBE_HEIGHT).all()


def test_an_expert_that_is_stuck_starts_again() -> None:
    scene = ToyScene(1)
    expert = LiftExpert(1)
    while expert.phase[0] != Phase.DESCEND:
        scene.step(expert.act(scene.read()))
    state = scene.read()
    for _ in range(PATIENCE):
        expert.act(state)
        assert expert.phase[0] == Phase.DESCEND
    expert.act(state)
    assert expert.phase[0] == Phase.APPROACH


def test_the_fingers_avoid_a_neighbour() -> None:
    """A cube 8 cm away in the direction in which the fingers open: the gripper turns by 90 degrees."""
    for neighbour, heading in (((0.0, 0.08), math.pi / 2), ((0.08, 0.0), 0.0), ((0.2, 0.2), 0.0)):
        scene = ToyScene(1)
        scene.position[0, 1] = torch.tensor([0.5, 0.0, REST_HEIGHT])
        scene.position[0, 0] = scene.position[0, 1] + torch.tensor([*neighbour, 0.0])
        scene.position[0, 2] = torch.tensor([0.3, -0.3, REST_HEIGHT])
        scene.yaw[0, 1] = 0.01
        run(LiftExpert(1), scene, 40)
        assert scene.held[0] == 1
        assert abs(abs(float(yaw_of(scene.tool)[0])) - heading) < 0.16, neighbour


@pytest.mark.parametrize(("storeys", "heading"), [(1, 0.0), (2, math.pi / 2)])
def test_the_hand_avoids_a_tower(storeys: int, heading: float) -> None:
    """12 cm away there is room for the fingers, but not for the hand, which reaches to the second storey."""
    scene = ToyScene(1)
    far, beside = torch.tensor([0.3, -0.3, REST_HEIGHT]), torch.tensor([0.5, 0.12, REST_HEIGHT])
    above = beside + torch.tensor([0.0, 0.0, CUBE_HEIGHT])
    scene.position[0] = torch.stack((beside, torch.tensor([0.5, 0.0, REST_HEIGHT]), above if storeys == 2 else far))
    scene.yaw[0, 1] = 0.01
    run(LiftExpert(1), scene, 40)
    assert scene.held[0] == 1
    assert abs(abs(float(yaw_of(scene.tool)[0])) - heading) < 0.16


def test_a_cube_counts_as_placed_only_if_everything_below_is() -> None:
    scene = ToyScene(3)
    tower = scene.position[:, :1] + torch.tensor(
        [[0.0, 0.0, 0.0], [0.0, 0.0, CUBE_HEIGHT], [0.0, 0.0, 2 * CUBE_HEIGHT]]
    )
    scene.position[1, 1], scene.position[2] = tower[1, 1], tower[2]
    # the green cube hangs in its place, but the red one below is elsewhere
    scene.position[0, 2] = tower[0, 2]
    cube, finished = StackExpert(3).choose(scene.read())
    assert cube.tolist() == [1, 2, 2]
    assert finished.tolist() == [False, False, True]


def test_the_servo_law_by_hand() -> None:
    law = ServoLaw(gain=2.0, max_move=0.1, max_turn=0.4, action_scale=0.5)
    move = torch.tensor([[0.01, 0.0, 0.0], [0.3, 0.0, 0.4]])
    turn = torch.tensor([[0.0, 0.0, 0.1], [0.0, -2.0, 0.0]])
    expected = [[0.04, 0.0, 0.0, 0.0, 0.0, 0.4], [0.12, 0.0, 0.16, 0.0, -0.8, 0.0]]
    torch.testing.assert_close(law.arm_action(move, turn), torch.tensor(expected))
    assert ServoLaw(max_move=2.0).arm_action(move * 100, turn).abs().max() == 1.0


@pytest.mark.parametrize(
    ("start", "end", "turn"), [(0, 30, 30), (0, 60, -30), (10, -170, 0), (0, 135, 45), (80, 0, 10), (5, 365, 0)]
)
def test_the_nearest_square_turn(start: float, end: float, turn: float) -> None:
    found = nearest_square_turn(torch.tensor(math.radians(start)), torch.tensor(math.radians(end)))
    assert math.degrees(float(found)) % 90 == pytest.approx(turn % 90, abs=1e-3)
    assert abs(float(found)) <= math.pi / 4 + 1e-6


def test_turning_to_a_yaw_points_the_gripper_down() -> None:
    tilted = math_utils.quat_from_euler_xyz(torch.tensor([3.0]), torch.tensor([0.1]), torch.tensor([0.2]))
    turn = turn_to_yaw(tilted, torch.tensor([0.7]))
    after = math_utils.quat_mul(math_utils.quat_from_angle_axis(turn.norm(dim=1), unit(turn)), tilted)
    torch.testing.assert_close(yaw_of(after), torch.tensor([0.7]), atol=1e-5, rtol=0)
    down = math_utils.quat_apply(after, torch.tensor([[0.0, 0.0, 1.0]]))
    torch.testing.assert_close(down, torch.tensor([[0.0, 0.0, -1.0]]), atol=1e-5, rtol=0)
