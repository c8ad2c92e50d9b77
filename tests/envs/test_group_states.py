# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups on the real stack scene: common starts, shared states and parked members.

Two groups of four; the policy sees the last three states, and joint velocities a control step late.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

STACK = "Isaac-Stack-Cube-Franka-v0"
NUM_ENVS, GROUP = 8, 4
CHUNK = 4
OVERRIDES = (
    "env.observations.state.history_length=3",
    "env.observations.privileged.joint_velocity.delay_min_lag=1",
    "env.observations.privileged.joint_velocity.delay_max_lag=1",
)


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env(STACK, NUM_ENVS, overrides=OVERRIDES)


@pytest.fixture
def fresh(env: Any) -> Any:
    """The environment after a reset in which all eight differ."""
    env.configure_decisions(CHUNK)
    env.configure_groups(GROUP)
    env.reset(seed=5)
    return env


def random_chunk(seed: int) -> torch.Tensor:
    """Another action for every environment."""
    return torch.rand(NUM_ENVS, CHUNK * 8, generator=torch.Generator().manual_seed(seed)) - 0.5


def equal_chunk(seed: int) -> torch.Tensor:
    """The same action for all."""
    return random_chunk(seed)[:1].expand(NUM_ENVS, -1)


def flat_state(env: Any) -> dict[str, torch.Tensor]:
    """State of the scene relative to the origins, and joint targets."""
    flat = {
        f"{name}.{key}": value.clone()
        for kind in env.scene.get_state(is_relative=True).values()
        for name, entity in kind.items()
        for key, value in entity.items()
    }
    command = env.scene["robot"].actuators.target_command
    return flat | {"targets": torch.cat((command.position.torch, command.velocity.torch), dim=1)}


def observations(env: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in env.obs_buf.items()}


def buffers(env: Any) -> dict[str, torch.Tensor]:
    """What the managers keep for each environment."""
    history = env.observation_manager._group_obs_term_history_buffer["state"]
    delay = env.observation_manager._group_obs_term_delay_buffer["privileged"]["joint_velocity"]
    # a ring is compared from its newest sample on
    ring = delay._buffer.roll(-int(delay._write_index), dims=0)
    return {
        "episode length": env.episode_length_buf.clone(),
        "last action": torch.cat((env.action_manager.action, env.action_manager.prev_action), dim=1),
        "term action": torch.cat([term.raw_actions for term in env.action_manager._terms.values()], dim=1),
        "pushes": history["joint_position"]._num_pushes.clone(),
        "history": history["joint_position"].buffer.clone(),
        "delay": ring.transpose(0, 1).clone(),
        "delay pushes": delay._num_pushes.clone(),
        "lag": delay.time_lags.clone(),
    }


def spread(values: torch.Tensor, group: int) -> float:
    """Largest difference between the members of a group."""
    members = values[group * GROUP : (group + 1) * GROUP].double()
    return float((members - members[:1]).abs().max())


def rows(values: dict[str, torch.Tensor], members: slice) -> dict[str, torch.Tensor]:
    return {name: value[members] for name, value in values.items()}


def drop(env: Any, index: int) -> None:
    """Put a cube where the episode terminates."""
    pose = torch.tensor([[3.0, 0.0, -0.06, 0.0, 0.0, 0.0, 1.0]])
    pose[:, :3] += env.scene.env_origins[index]
    ids = torch.tensor([index], dtype=torch.int32)
    env.scene["cube_1"].write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)


def count_physics(env: Any, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    calls: list[None] = []
    original = env.sim.step
    monkeypatch.setattr(env.sim, "step", lambda *args, **kwargs: (calls.append(None), original(*args, **kwargs))[1])
    return calls


def test_members_start_equal(fresh: Any) -> None:
    """In state, observations and buffers at once and pixel by pixel; before, they were not."""
    fresh.step(random_chunk(0))
    different = observations(fresh)
    fresh.start_groups([0, 1])
    for group in (0, 1):
        for name, value in flat_state(fresh).items():
            assert spread(value, group) < 1e-6, name
        for name, value in observations(fresh).items():
            assert spread(different[name], group) > 1e-2, f"{name} would tell members apart"
            assert spread(value, group) < (1e-6 if name != "rgb" else 0.5), name
        for name, value in buffers(fresh).items():
            assert spread(value, group) < 1e-6, name
    images = fresh.obs_buf["rgb"]
    assert not torch.equal(images[0], images[GROUP]), "groups differ from each other"
    assert images[0, ..., :3].float().std() > 10, "the table camera shows something"
    assert images[0, ..., 3:].float().std() > 10, "and so does the wrist camera"


def test_a_start_is_a_new_episode_of_the_leader(fresh: Any) -> None:
    fresh.step(random_chunk(0))
    assert fresh.episode_length_buf.tolist() == [CHUNK] * NUM_ENVS
    fresh.start_groups([1])
    assert fresh.episode_length_buf.tolist() == [CHUNK] * GROUP + [0] * GROUP
    cube = flat_state(fresh)["cube_1.root_pose"][GROUP:, 2]
    assert (cube - 0.0203).abs().max() < 1e-4
    # one sample fills the whole history of a new episode
    history = fresh.obs_buf["state"][GROUP, :27].view(3, 9)
    assert torch.equal(history[0], history[2])


def test_members_stay_together(fresh: Any) -> None:
    """52 control steps of equal random actions; cubes settle on the table meanwhile."""
    fresh.start_groups([0, 1])
    for seed in range(13):
        fresh.step(equal_chunk(seed))
    for group in (0, 1):
        state = flat_state(fresh)
        assert spread(state["robot.joint_position"], group) < 1e-5
        assert spread(state["cube_1.root_pose"][:, :3], group) < 1e-5
        different = (fresh.obs_buf["rgb"][group * GROUP] != fresh.obs_buf["rgb"][group * GROUP + 1]).float().mean()
        assert different < 1e-3, "a rounding moves single pixels of an edge"


def test_other_groups_do_not_notice(fresh: Any) -> None:
    """Bit by bit, also in what they will observe of their past."""
    fresh.step(random_chunk(0))
    fresh.step(random_chunk(1))
    others = slice(0, GROUP)
    before = [rows(values, others) for values in (flat_state(fresh), observations(fresh), buffers(fresh))]
    fresh.start_groups([1])
    after = [rows(values, others) for values in (flat_state(fresh), observations(fresh), buffers(fresh))]
    for expected, actual in zip(before, after, strict=True):
        for name in expected:
            assert torch.equal(actual[name], expected[name]), name
    newest = buffers(fresh)["history"][others, -1]
    velocity = flat_state(fresh)["robot.joint_velocity"][others]
    fresh.configure_decisions(1)
    obs, *_ = fresh.step(random_chunk(2)[:, :8])
    assert torch.equal(buffers(fresh)["history"][others, -2], newest)
    columns = fresh.observation_manager.group_obs_term_dim["privileged"][0][0]
    assert torch.equal(obs["privileged"][others, columns : columns + 9], velocity), "a control step late"


def test_a_start_ends_no_episode(fresh: Any) -> None:
    """No log of it reaches the learner, and statistics begin anew."""
    *_, extras = fresh.step(random_chunk(0))
    assert "log" not in extras
    extras["log"] = {"kept": 1}
    fresh.start_groups([0])
    assert fresh.extras["log"] == {"kept": 1}
    assert not fresh.reward_manager._episode_sum_buf[:GROUP].any()
    assert fresh.reward_manager._episode_sum_buf[GROUP:].any()
    assert fresh._episode_steps.tolist() == [0] * GROUP + [CHUNK] * GROUP
    assert not fresh._episode_return[:GROUP].any()


def test_cameras_render_once(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("table_cam", "wrist_cam"):
        original = fresh.scene[name]._update_buffers_impl
        monkeypatch.setattr(
            fresh.scene[name],
            "_update_buffers_impl",
            lambda mask, name=name, original=original: (calls.append(name), original(mask))[1],
        )
    fresh.start_groups([0, 1])
    assert sorted(calls) == ["table_cam", "wrist_cam"]
    fresh.configure_decisions(CHUNK, observation_groups=["state"])
    calls.clear()
    fresh.start_groups([0, 1])
    assert calls == []
    assert list(fresh.obs_buf) == ["state"]


def test_followers_continue_from_the_leader(fresh: Any) -> None:
    """In the middle of a motion: velocities, targets and histories too; then they do what the leader does."""
    for seed in range(2):
        fresh.step(random_chunk(seed))
    before = [flat_state(fresh), observations(fresh), buffers(fresh)]
    assert before[0]["robot.joint_velocity"].abs().max() > 0.1
    assert (before[0]["targets"][:, :9] - before[0]["robot.joint_position"]).abs().max() > 1e-2
    fresh.share_states([2, 5])
    after = [flat_state(fresh), observations(fresh), buffers(fresh)]
    for group, leader in ((0, 2), (1, 5)):
        for expected, actual in zip(before, after, strict=True):
            for name in expected:
                assert torch.equal(actual[name][leader], expected[name][leader]), f"{name} of the leader"
                if name == "rgb":
                    assert (actual[name][group * GROUP] != actual[name][leader]).float().mean() < 1e-3
                else:
                    assert spread(actual[name], group) < 2e-6, name
        for name in ("robot.joint_position", "robot.joint_velocity", "cube_1.root_pose", "targets"):
            assert spread(before[0][name], group) > 1e-2, f"{name} would tell members apart"
        assert spread(before[2]["history"], group) > 1e-2
    for seed in range(2, 5):
        fresh.step(equal_chunk(seed))
    for group in (0, 1):
        assert spread(flat_state(fresh)["robot.joint_position"], group) < 1e-5
        assert spread(fresh.obs_buf["state"], group) < 1e-5


def test_statistics_continue_from_the_leader(fresh: Any) -> None:
    """An episode that was shared ends with the leader's return so far and its own rest."""
    fresh.step(random_chunk(0))
    fresh.episode_length_buf[1] = 40
    fresh.step(random_chunk(1))
    drop(fresh, 0)
    fresh.share_states([1])
    assert fresh.episode_length_buf.tolist() == [40 + CHUNK] * GROUP + [2 * CHUNK] * GROUP
    so_far = fresh._episode_return[:GROUP].clone()
    assert so_far.unique().numel() == 1
    assert torch.equal(fresh.reward_manager._episode_sum_buf[3], fresh.reward_manager._episode_sum_buf[1])
    fresh.episode_length_buf[:GROUP] = fresh.max_episode_length - 2
    _, reward, _, truncated, extras = fresh.step(random_chunk(2))
    assert truncated[:GROUP].all(), "the dropped cube of the follower is forgotten"
    torch.testing.assert_close(extras["episode_return"][:GROUP], so_far + reward[:GROUP])
    assert extras["episode_steps"][:GROUP].tolist() == [2 * CHUNK + 2] * GROUP


def test_parked_environments_count_for_nothing(fresh: Any) -> None:
    fresh.step(random_chunk(0))
    parked = torch.tensor([True, False, False, False, False, True, False, False])
    fresh.park(parked)
    drop(fresh, 0)
    fresh.episode_length_buf[5] = fresh.max_episode_length - 1
    drop(fresh, 1)
    sums = fresh.reward_manager._episode_sum_buf.clone()
    ends = fresh.termination_manager._last_episode_dones.clone()
    _, reward, terminated, truncated, extras = fresh.step(random_chunk(1))
    assert terminated.tolist() == [False, True, *[False] * 6]
    assert not truncated.any()
    assert extras["executed_steps"].tolist() == [0, 1, CHUNK, CHUNK, CHUNK, 0, CHUNK, CHUNK]
    for name in ("step_rewards", "episode_return", "episode_steps", "success"):
        assert not extras[name][parked].any(), name
    assert not reward[parked].any()
    assert reward[~parked].any()
    assert torch.equal(fresh.reward_manager._episode_sum_buf[parked], sums[parked])
    assert torch.equal(fresh.termination_manager._last_episode_dones[parked], ends[parked])
    # Isaac Lab's figure is the share of environments whose latest episode ended so: only the second one's
    assert extras["log"]["Episode_Termination/cube_1_dropping"] == pytest.approx(1 / NUM_ENVS)
    # they were not reset: the cube still falls, the clock stands still
    assert flat_state(fresh)["cube_1.root_pose"][0, 2] < -0.06
    assert fresh.episode_length_buf.tolist()[0] == CHUNK
    assert fresh.episode_length_buf.tolist()[5] == fresh.max_episode_length - 1
    assert torch.equal(fresh.action_manager.action[parked], torch.zeros(2, 8)), "the neutral action"
    fresh.park(torch.zeros(NUM_ENVS, dtype=torch.bool))
    _, _, terminated, truncated, _ = fresh.step(random_chunk(2))
    assert terminated[0]
    assert truncated[5]


def test_the_others_do_not_notice_who_is_parked(fresh: Any) -> None:
    rewards = []
    for parked in ((), (0, 6)):
        fresh.reset(seed=5)
        mask = torch.zeros(NUM_ENVS, dtype=torch.bool)
        mask[list(parked)] = True
        fresh.park(mask)
        rewards.append(fresh.step(random_chunk(0))[1].clone())
    active = [1, 2, 3, 4, 5, 7]
    torch.testing.assert_close(rewards[0][active], rewards[1][active])


def test_nobody_left_costs_nothing(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.step(random_chunk(0))
    before, state = observations(fresh), flat_state(fresh)
    fresh.extras["log"] = {"stale": 1}
    fresh.park(torch.ones(NUM_ENVS, dtype=torch.bool))
    physics = count_physics(fresh, monkeypatch)
    obs, reward, terminated, truncated, extras = fresh.step(random_chunk(1))
    assert not physics
    for name in before:
        assert torch.equal(obs[name], before[name])
    for name, value in flat_state(fresh).items():
        assert torch.equal(value, state[name]), name
    for nothing in (reward, terminated, truncated, extras["executed_steps"]):
        assert not nothing.any()
    assert extras["step_rewards"].shape == (NUM_ENVS, CHUNK)
    assert "log" not in extras
    fresh.start_groups([1])
    *_, extras = fresh.step(random_chunk(2))
    assert physics
    assert extras["executed_steps"].tolist() == [0] * GROUP + [CHUNK] * GROUP
    fresh.share_states([GROUP + 1, 0])
    *_, extras = fresh.step(random_chunk(3))
    assert extras["executed_steps"].tolist() == [CHUNK] * NUM_ENVS
    fresh.park(torch.ones(NUM_ENVS, dtype=torch.bool))
    fresh.reset(seed=5)
    assert fresh.step(random_chunk(0))[-1]["executed_steps"].all()


def test_rollouts_in_inference_mode(fresh: Any) -> None:
    with torch.inference_mode():
        fresh.step(random_chunk(0))
        fresh.start_groups([0])
        fresh.park(torch.arange(NUM_ENVS) < 2)
        fresh.step(random_chunk(1))
    fresh.share_states([3])
    fresh.start_groups([1])
    assert not fresh.obs_buf["state"].is_inference()
    fresh.step(random_chunk(2))


def test_wrong_calls(fresh: Any) -> None:
    with pytest.raises(ValueError, match="no group 2: 8 environments make groups 0 to 1"):
        fresh.start_groups([2])
    with pytest.raises(ValueError, match="environments 4 and 5 are both of group 1"):
        fresh.share_states([4, 5])
    with pytest.raises(ValueError, match=r"shape \(3,\) and type torch.bool; expected \(8,\) and torch.bool"):
        fresh.park(torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="8 environments do not divide into groups of 3. Use `--num_envs` 6 or 9"):
        fresh.configure_groups(3)


def test_observations_that_differ_are_refused(fresh: Any) -> None:
    """A term in world coordinates; and with noise, which differs by intention."""
    from isaaclab.utils.noise import UniformNoiseCfg

    terms = fresh.observation_manager._group_obs_term_cfgs["privileged"]
    term = terms[fresh.observation_manager.active_terms["privileged"].index("last_action")]
    kept = copy.copy(term.func), term.noise, dict(term.params)
    try:
        # eight columns, as the actions have
        term.func, term.params = lambda env: env.scene.env_origins.repeat(1, 3)[:, :8], {}
        with pytest.raises(ValueError, match=r"Environment 6 .* leader 5 .* group 'privileged' differs by up to 2.5"):
            fresh.share_states([5])
        term.noise = UniformNoiseCfg()
        fresh.share_states([5])
    finally:
        term.func, term.noise, term.params = kept
