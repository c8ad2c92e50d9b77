# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors of randomisation in the real simulator: what each changes, and that nothing else does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from gr00t_rl_ext.randomisation import FACTORS, RANGES, describe, images, physics, signals

SEEN = ("camera_pose", "field_of_view", "lighting", "colours")
"""What changes pictures and nothing else."""

NUM_ENVS = 4


@pytest.fixture(scope="module")
def env(launch: Callable[..., Any]) -> Any:
    """Stacking with all factors, none of which has a strength."""
    import gymnasium as gym
    from isaaclab_tasks.utils import resolve_task_config

    import gr00t_rl_ext.tasks  # noqa: F401
    from gr00t_rl_ext.randomisation.terms import randomise

    task = "Isaac-Stack-Cube-Franka-v0"
    cfg: Any
    cfg, _ = resolve_task_config(task, None, overrides=["presets=small_cameras"])
    cfg.scene.num_envs = NUM_ENVS
    randomise(cfg, dict.fromkeys(FACTORS, 0.0))
    return launch(cfg, lambda: gym.make(task, cfg=cfg).unwrapped)


@contextmanager
def strength(env: Any, name: str, value: float) -> Iterator[Any]:
    factor = env.factors[name]
    factor.set_strength(value)
    try:
        yield factor
    finally:
        factor.set_strength(0.0)


def played(env: Any, steps: int = 5) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """First and last observations of the same actions from the same state, but for what factors draw."""
    first, _ = env.reset(seed=3)
    first, last = {name: values.clone() for name, values in first.items()}, first
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        last, *_ = env.step(torch.randn(NUM_ENVS, env.control_action_dim, generator=generator) / 2)
    return first, {name: values.clone() for name, values in last.items()}


def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """Groups that differ by more than rounding: resets leave 2e-7, which moves the edges of a picture by a pixel."""
    differences = {name: (values.float() - other[name].float()).abs() for name, values in one.items()}
    shares = {name: (values > (8.0 if name == "rgb" else 1e-5)).float().mean() for name, values in differences.items()}
    return {name for name, share in shares.items() if share > (0.005 if name == "rgb" else 0.0)}


@pytest.mark.parametrize("name", FACTORS)
def test_a_factor_changes_what_it_is_about_and_goes_back(env: Any, name: str) -> None:
    plain = played(env)
    with strength(env, name, 1.0):
        drawn = played(env)
        again = played(env)
    first, last = (differ(*pair) for pair in zip(plain, drawn, strict=True))
    if name in SEEN:
        assert (first, last) == ({"rgb"}, {"rgb"})
    elif name == "observation_noise":
        assert (first, last) == ({"state"}, {"state"})
    elif name in ("actuator_gains", "action_delay"):
        assert not first, "the episode begins in the same state"
        assert {"state", "privileged"} <= last
    else:
        # nothing touches the cubes
        assert not first
    for one, other in zip(drawn, again, strict=True):
        assert not differ(one, other), "a seed draws the same"
    for one, other in zip(plain, played(env), strict=True):
        assert not differ(one, other), "without a strength, the task is as it was"


def test_draws_differ_between_environments_episodes_and_seeds(env: Any) -> None:
    with strength(env, "lighting", 1.0) as factor:
        env.reset(seed=1)
        first = factor.amounts.clone()
        assert len(first.unique(dim=0)) == NUM_ENVS
        assert first.abs().max() <= 1.0
        env.reset()
        second = factor.amounts.clone()
        assert not torch.isclose(first, second).any()
        env.reset(seed=2)
        assert not torch.isclose(first, factor.amounts).any()
        env.reset(seed=1)
        assert torch.equal(first, factor.amounts)
        factor.set_strength(0.5)
        assert torch.equal(first / 2, factor.amounts), "the same draw at every strength"
        env._reset_idx(torch.tensor([2], dtype=torch.int32))
        assert (factor.amounts != first / 2).any(dim=1).tolist() == [False, False, True, False]


def test_draws_leave_the_generator_of_the_task_alone(env: Any) -> None:
    """Or an evaluation with a factor would begin in other states than one without."""
    env.reset(seed=5)
    plain = torch.rand(3)
    with strength(env, "camera_pose", 1.0), strength(env, "observation_noise", 1.0):
        env.reset(seed=5)
        assert torch.equal(torch.rand(3), plain)


def test_a_camera_is_moved_about_its_own_place(env: Any) -> None:
    cameras = env.scene.sensors["table_cam"], env.scene.sensors["wrist_cam"]
    env.reset(seed=3)
    before = [camera._view.get_local_poses() for camera in cameras]
    before = [(position.torch.clone(), rotation.torch.clone()) for position, rotation in before]
    with strength(env, "camera_pose", 1.0) as factor:
        env.reset(seed=3)
        amounts = factor.amounts.split(6, dim=1)
        for camera, (position, rotation), amount in zip(cameras, before, amounts, strict=True):
            moved, turned = camera._view.get_local_poses()
            torch.testing.assert_close(
                moved.torch - position,
                images.POSITION * amount[:, :3],
                atol=2e-6,
                rtol=0,
                msg="along the parent's axes",
            )
            # by hand: a rotation of three small angles turns by the root of their squares, nearly
            cosine = (turned.torch * rotation).sum(1).abs().clamp(max=1.0)
            expected = images.ANGLE * amount[:, 3:].norm(dim=1)
            torch.testing.assert_close(2 * cosine.double().acos().float(), expected, atol=2e-3, rtol=0.05)
        # a camera that does not move reads its pose once
        world = env.scene.sensors["table_cam"].data.pos_w.torch - env.scene.env_origins
        torch.testing.assert_close(world, before[0][0] + images.POSITION * amounts[0][:, :3], atol=1e-5, rtol=0)


def test_light_multiplies_channels(env: Any) -> None:
    plain, _ = played(env, 0)
    with strength(env, "lighting", 0.5) as factor:
        lit, _ = played(env, 0)
        gains = torch.exp(
            images.EXPOSURE * factor.amounts[:, :1] + images.WHITE_BALANCE * factor.amounts[:, 1:]
        ).repeat(1, 2)
    expected = (plain["rgb"].double() * gains[:, None, None].double()).clamp(max=255).round()
    assert (lit["rgb"].double() - expected).abs().max() <= 1


def test_each_shape_of_each_environment_has_colours_of_its_own(env: Any) -> None:
    factor = env.factors["colours"]
    env.reset(seed=3)
    nominal = factor._colours.clone()
    with strength(env, "colours", 1.0):
        env.reset(seed=3)
        gains = (factor._colours / nominal)[(nominal > 0.05).all(1) & (factor._colours < 0.999).all(1)]
        assert len(gains.unique(dim=0)) > 20
        assert (gains.log().abs() <= images.COLOUR + 1e-4).all()
        before = factor._colours.clone()
        env._reset_idx(torch.tensor([1], dtype=torch.int32))
        changed = (factor._colours != before).any(dim=1)
        assert set(factor._worlds[changed[factor._shapes]].tolist()) == {1}
    assert torch.equal(factor._colours, nominal)


def test_a_longer_lens_shows_the_middle(env: Any) -> None:
    """By hand: at z times the size, pixel i is at the centre + (i - centre) / z."""
    factor = env.factors["field_of_view"]
    with strength(env, "field_of_view", 1.0):
        factor._draws = torch.tensor([[-1.0], [0.0], [1.0], [1.0]])
        ramp = torch.arange(64.0).to(torch.uint8).view(1, 1, 64, 1).expand(NUM_ENVS, 64, 64, 3)
        seen = factor.observe("rgb", ramp).float()
        for row, zoom in enumerate((1.0, 1.1, 1.2, 1.2)):
            expected = 31.5 + (torch.arange(64) - 31.5) / zoom
            assert (seen[row, 30, :, 1] - expected).abs().max() <= 0.51
        assert torch.equal(factor.observe("state", torch.ones(NUM_ENVS, 3)), torch.ones(NUM_ENVS, 3))


def test_masses_and_inertias_are_scaled_together(env: Any) -> None:
    cube = env.scene.rigid_objects["cube_2"].data
    env.reset(seed=3)
    mass, inertia = cube.body_mass.torch.clone(), cube.body_inertia.torch.clone()
    with strength(env, "mass", 1.0) as factor:
        env.reset(seed=3)
        gains = torch.exp(math.log(2.0) * factor.amounts[:, 1])
        torch.testing.assert_close(cube.body_mass.torch, mass * gains[:, None])
        torch.testing.assert_close(cube.body_inertia.torch, inertia * gains[:, None, None])
        assert 0.5 <= gains.min() < gains.max() <= 2.0
    torch.testing.assert_close(cube.body_mass.torch, mass)


def test_a_cube_slides_further_where_friction_is_low(env: Any) -> None:
    """By hand: it stops after v^2 / (2 mu g), if both surfaces have the coefficient mu; the table's stays as it is."""

    def slid() -> Tensor:
        env.reset(seed=3)
        cube = env.scene.rigid_objects["cube_1"]
        start = cube.data.root_pos_w.torch.clone()
        velocity = torch.zeros(NUM_ENVS, 6)
        velocity[:, 1] = -0.6
        cube.write_root_velocity_to_sim_index(root_velocity=velocity)
        for _ in range(15):
            env.step(torch.zeros(NUM_ENVS, env.control_action_dim))
        return (cube.data.root_pos_w.torch - start)[:, :2].norm(dim=1)

    factor = env.factors["friction"]
    read, _ = factor._materials[0]
    nominal = slid()
    before = read().clone()
    with strength(env, "friction", 1.0):
        # the draws of a seed, with which the reset of `slid` begins
        moved = slid()
        gains = torch.exp(physics.FRICTION * (factor._draws[:, 0] * 16).round() / 16)
        torch.testing.assert_close(read(), before * gains[:, None, None])
    changed = (gains - 1).abs() > 0.1
    assert changed.any()
    assert ((moved > nominal) == (gains < 1))[changed].all(), (moved, nominal, gains)


def test_what_the_task_changes_at_startup_stays(env: Any) -> None:
    """Strengths are of what is there, and without one nothing is written any more."""
    read, write = env.factors["friction"]._materials[0]
    write(0.3 * torch.ones_like(read()), torch.arange(NUM_ENVS))
    env.reset(seed=3)
    torch.testing.assert_close(read(), torch.full_like(read(), 0.3))
    env.factors["friction"]._nominal = []
    with strength(env, "friction", 1.0) as factor:
        env.reset(seed=3)
        gains = torch.exp(physics.FRICTION * (factor._draws[:, 0] * 16).round() / 16)
        torch.testing.assert_close(read(), 0.3 * gains[:, None, None].expand_as(read()))
    torch.testing.assert_close(read(), torch.full_like(read(), 0.3))


def test_gains_of_actuators_are_scaled(env: Any) -> None:
    data = env.scene.articulations["robot"].data
    env.reset(seed=3)
    stiffness, damping = data.joint_stiffness.torch.clone(), data.joint_damping.torch.clone()
    with strength(env, "actuator_gains", 1.0) as factor:
        env.reset(seed=3)
        of_stiffness, of_damping = torch.exp(physics.GAINS * factor.amounts).split(1, dim=1)
        torch.testing.assert_close(data.joint_stiffness.torch, stiffness * of_stiffness)
        torch.testing.assert_close(data.joint_damping.torch, damping * of_damping)
    torch.testing.assert_close(data.joint_stiffness.torch, stiffness)


def test_actions_are_late_by_as_many_steps_as_were_drawn(env: Any) -> None:
    with strength(env, "action_delay", 1.0) as factor:
        factor._past = None
        factor._draws = torch.tensor([[-1.0], [-0.2], [0.2], [1.0]])
        assert factor.steps.tolist() == [0, 1, 1, 2]
        factor.strength = 0.1
        assert factor.steps.tolist() == [0, 0, 1, 1], "a little is not nothing"
        factor.strength = 1.0
        sent = torch.arange(1.0, 6.0)
        done = torch.stack([factor.act(torch.full((NUM_ENVS, 8), float(value)))[:, 0] for value in sent])
        assert done.T.tolist() == [[1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 0, 1, 2, 3]]
        factor._begin(torch.tensor([3]))
        after = [factor.act(torch.full((NUM_ENVS, 8), float(value)))[:, 0].tolist() for value in (6, 7, 8)]
        assert [row[3] for row in after] == [0, 0, 6], "an episode begins without what was sent before it"
        assert [row[2] for row in after] == [5, 6, 7]
    assert torch.equal(factor.act(torch.ones(NUM_ENVS, 8)), torch.ones(NUM_ENVS, 8))


def test_noise_has_its_deviation_and_initial_states_stay_comparable(env: Any) -> None:
    plain, _ = played(env, 0)
    with strength(env, "observation_noise", 2.0):
        noisy, _ = played(env, 0)
        added = noisy["state"] - plain["state"]
        assert added.std().item() == pytest.approx(2 * signals.NOISE, rel=0.4)
        assert torch.equal(env.as_simulated["state"], plain["state"])
    played(env, 0)
    assert "state" not in env.as_simulated


def test_groups_share_what_their_leader_has_drawn(env: Any) -> None:
    """Also in mid-episode, and with the delayed actions."""
    names = ("camera_pose", "lighting", "mass", "action_delay")
    for name in names:
        env.factors[name].set_strength(1.0)
    try:
        env.configure_groups(2)
        env.reset(seed=4)
        env.start_groups([0, 1])
        for name in names:
            draws = env.factors[name]._draws
            assert torch.equal(draws[::2], draws[1::2])
            assert not torch.equal(draws[0], draws[2])
        masses = env.scene.rigid_objects["cube_1"].data.body_mass.torch
        assert torch.equal(masses[::2], masses[1::2])
        # the cameras render; what they show may differ in a pixel of an edge
        images = env.obs_buf["rgb"].float()
        assert ((images[0] - images[1]).abs() > 8).float().mean() < 0.01
        assert ((images[0] - images[2]).abs() > 8).float().mean() > 0.1
        for value in (0.1, 0.2, 0.3):
            env.step(torch.full((NUM_ENVS, env.control_action_dim), value) * torch.arange(1, NUM_ENVS + 1)[:, None])
        env._reset_idx(torch.tensor([1], dtype=torch.int32))
        assert not torch.equal(*env.factors["lighting"]._draws[:2])
        env.share_states([0])
        for name in names:
            assert torch.equal(*env.factors[name]._draws[:2])
        assert torch.equal(*env.factors["action_delay"]._past[:2])
        assert torch.equal(*masses[:2])
    finally:
        for name in names:
            env.factors[name].set_strength(0.0)


@pytest.mark.parametrize("wrong", [-0.1, math.inf, math.nan, "1", True])
def test_what_is_no_strength_is_refused(env: Any, wrong: Any) -> None:
    factor = env.factors["mass"]
    with pytest.raises(
        ValueError, match=r"The strength of the factor mass is .*; expected a finite number of at least"
    ):
        factor.set_strength(wrong)
    assert factor.strength == 0.0


def test_every_factor_tells_its_range() -> None:
    assert list(RANGES) == list(FACTORS)
    assert describe({"mass": 0.5, "lighting": 0.0}) == (
        f"drawn anew in each episode:\n  mass, strength 0.5 of: {RANGES['mass']}"
    )
    assert describe({"mass": 0.0}) == ""
    # figures of the texts
    for name, low, high, largest in (
        ("lighting", "0.67", "1.49", images.EXPOSURE),
        ("lighting", "0.9", "1.1", images.WHITE_BALANCE),
        ("colours", "0.74", "1.35", images.COLOUR),
        ("friction", "0.5", "2", physics.FRICTION),
        ("mass", "0.5", "2", physics.MASS),
        ("actuator_gains", "0.74", "1.35", physics.GAINS),
    ):
        assert f"x {low} to {high}" in RANGES[name]
        assert math.exp(-largest) == pytest.approx(float(low), abs=0.006)
        assert math.exp(largest) == pytest.approx(float(high), abs=0.006)
    assert f"{images.POSITION:g} m" in RANGES["camera_pose"]
    assert f"{math.degrees(images.ANGLE):g} degrees" in RANGES["camera_pose"]
    assert f"up to {images.ZOOM:.0%} larger".replace("%", " %") in RANGES["field_of_view"]
    assert f"0 to {signals.DELAY} " in RANGES["action_delay"]
    assert f"{signals.NOISE:g} " in RANGES["observation_noise"]
