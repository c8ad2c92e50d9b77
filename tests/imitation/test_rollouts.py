# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a policy did becomes demonstrations: in a real environment, and through a mapping."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from tiny_policy import SPEC, load_encoder, observations

from gr00t_rl_ext.envs.episodes import Episodes, run_episodes
from gr00t_rl_ext.envs.gymnasium.tasks import make
from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.lerobot_dataset import LeRobotWriter
from gr00t_rl_ext.imitation.rollouts import Interface, RolloutError, Rollouts, record_successes
from gr00t_rl_ext.policy.actor_critic import ActorDefinition
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
from gr00t_rl_ext.robot.task_spec import TaskSpec

CHUNK, EPISODES, SEED = 4, 14, 5
DEGREES = "gr00t_rl_ext.tasks.stack.config.franka:mapping_degrees.yaml"


@pytest.fixture(scope="module")
def env() -> Iterator[GymnasiumVecEnv]:
    settings: dict[str, Any] = {"success_key": "is_success", "terminate_on_success": True}
    task = "gym:easy_reach:FetchReach-v0"
    with contextlib.closing(make(task, num_envs=4, num_workers=1, rgb=True, image_size=(32, 48), **settings)) as made:
        yield made


@pytest.fixture(scope="module")
def interface(env: GymnasiumVecEnv) -> Interface:
    env.configure_decisions(1)
    return Interface.of(definition(TaskSpec.from_env(env, env.get_observations(), ["rgb", "state"])))


def definition(spec: TaskSpec, **gr00t: Any) -> ActorDefinition:
    """A steering policy over a tiny GR00T made for the task."""
    return ActorDefinition.of(Gr00tSteeringActor, spec, {"gr00t": gr00t})


def wander(obs: TensorDict) -> torch.Tensor:
    """Actions that often leave the range of the environment."""
    return 2.0 * torch.randn(obs.batch_size[0], CHUNK * 4)


@pytest.fixture(scope="module")
def ran(env: GymnasiumVecEnv) -> Episodes:
    env.configure_decisions(CHUNK, observation_groups=["rgb", "state"])
    return run_episodes(env, wander, EPISODES, SEED)


def writer(env: GymnasiumVecEnv, interface: Interface, directory: Path) -> LeRobotWriter:
    env.configure_decisions(1)
    return LeRobotWriter(directory, interface.dataset_format(env.get_observations(), env.step_dt))


def test_successes_are_recorded_at_every_control_step(
    env: GymnasiumVecEnv, interface: Interface, ran: Episodes, tmp_path: Path
) -> None:
    assert ran.successes is not None
    found = record_successes(env, interface, ran, SEED, writer(env, interface, tmp_path / "set"), "test")
    succeeded = [number for number, success in enumerate(ran.successes) if success]
    assert 2 < len(succeeded) < EPISODES, "both kinds are there"
    frames = sum(ran.lengths[number] for number in succeeded)
    assert found == Rollouts(EPISODES, len(succeeded), len(succeeded), frames)
    dataset = DemonstrationDataset(tmp_path / "set")
    assert (len(dataset), dataset.fps) == (len(succeeded), 25)
    assert {key: part.width for key, part in dataset.modality.state.items()} == interface.spec.state_terms
    # episodes of a batch stand in the order in which they ended
    initial = {tuple(ran.initial[number].tolist()): number for number in succeeded}
    assert len(initial) == len(succeeded)
    moved, told, longest = [], [], 0
    for one in dataset:
        states = np.concatenate(list(one.state.values()), axis=1)
        number = initial.pop(tuple(states[0].tolist()))
        assert len(one) == ran.lengths[number]
        done = ran.actions[number // 4][: len(one), number % 4]
        assert np.array_equal(one.action["action"], done.clamp(-1.0, 1.0).numpy()), "what was executed"
        images = one.images("view")
        assert images.shape == (len(one), 32, 48, 3)
        longest = max(longest, len(one))
        # the state is that before the action of its row: the gripper then moves as the action says
        moved.append(np.diff(one.state["achieved_goal"], axis=0))
        told.append(one.action["action"][:-1, :3])
    assert not initial
    assert longest > CHUNK, "more than one decision"
    assert np.corrcoef(np.concatenate(moved).ravel(), np.concatenate(told).ravel())[0, 1] > 0.6


def test_what_ends_otherwise_is_left_out(
    env: GymnasiumVecEnv, interface: Interface, ran: Episodes, tmp_path: Path
) -> None:
    """As where the physics is not deterministic."""
    assert ran.successes is not None
    first = ran.successes.index(True)
    failed = ran.successes.index(False)
    lengths = [length + (number == first) for number, length in enumerate(ran.lengths)]
    successes = [success or number == failed for number, success in enumerate(ran.successes)]
    other = dataclasses.replace(ran, lengths=lengths, successes=successes)
    found = record_successes(env, interface, other, SEED, writer(env, interface, tmp_path / "set"), "test")
    assert found.succeeded == sum(ran.successes) + 1
    assert found.kept == sum(ran.successes) - 1 == len(DemonstrationDataset(tmp_path / "set"))


def test_without_success_nothing_is_written(
    env: GymnasiumVecEnv, interface: Interface, ran: Episodes, tmp_path: Path
) -> None:
    none = dataclasses.replace(ran, successes=[False] * EPISODES)
    target = writer(env, interface, tmp_path / "set")
    assert record_successes(env, interface, none, SEED, target, "test") == Rollouts(EPISODES, 0, 0, 0)
    with pytest.raises(RolloutError, match="no success term, so nothing tells which episodes"):
        record_successes(env, interface, dataclasses.replace(ran, successes=None), SEED, target, "test")
    assert not (tmp_path / "set").exists()


def test_through_a_mapping_the_keys_and_units_are_the_checkpoints() -> None:
    spec = dataclasses.replace(
        SPEC,
        cameras=("table_cam", "wrist_cam"),
        state_terms={"joint_position": 9, "eef_pose": 7},
        action_terms={"arm_action": 7, "gripper_action": 1},
    )
    interface, encoder = Interface.of(definition(spec, mapping=DEGREES)), load_encoder(spec, mapping=DEGREES)
    embodiment, obs = encoder.inputs.embodiment, observations(3)
    assert interface.cameras == embodiment.video_keys
    recorded = interface.dataset_format(obs, 0.05)
    assert list(recorded.state.items()) == [(one.key, one.dim) for one in embodiment.state.specs]
    assert list(recorded.action.items()) == [(one.key, one.dim) for one in embodiment.action.specs]
    assert recorded.state != spec.state_terms
    assert np.allclose(interface.state(obs), encoder.raw_state(obs).numpy())
    executed = torch.randn(5, 8)
    assert torch.allclose(encoder.mapping.action(torch.from_numpy(interface.action(executed))), executed, atol=1e-5)
    assert not np.allclose(interface.action(executed), executed.numpy(), atol=1.0), "degrees"
    shown = [obs["rgb"][..., :3].numpy(), obs["rgb"][..., 3:].numpy()]
    for name, at in zip(interface.cameras, encoder.mapping.camera_order, strict=True):
        assert np.array_equal(interface.images(obs)[name], shown[at])


def test_what_fine_tuning_could_not_learn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RolloutError, match="embodiment_slot` of the run is 3, but fine-tuning finds the slot by"):
        Interface.of(definition(SPEC, embodiment_slot=3))
    file = tmp_path / "mapping.yaml"
    file.write_text("action: {arm: arm, gripper: gripper}\nunused: {action: [base]}\n")
    with pytest.raises(RolloutError, match=r"leaves out the checkpoint's actions base \(`unused.action`\). No rollout"):
        Interface.of(definition(SPEC, mapping=str(file)))
