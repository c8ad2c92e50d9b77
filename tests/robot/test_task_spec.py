# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""task_spec: what is read from an environment, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
from tiny_policy import SPEC, observations, task_stand_in

from gr00t_rl_ext.robot.task_spec import DEFAULT_INSTRUCTION, TaskSpec


def test_the_spec_of_a_manager_based_task() -> None:
    spec = TaskSpec.from_env(task_stand_in(), observations(), ["rgb", "state"])
    assert spec == SPEC
    assert (spec.state_dim, spec.action_dim) == (16, 8)
    assert spec.action_choices == ()


def test_terms_of_equal_name_in_two_groups_stay_apart() -> None:
    spec = TaskSpec.from_env(
        task_stand_in(
            observation_manager=SimpleNamespace(
                active_terms={"rgb": ["views"], "state": ["joints", "object"], "privileged": ["joints"]},
                group_obs_term_dim={"rgb": [(64, 64, 6)], "state": [(9,), (7,)], "privileged": [(56,)]},
            )
        ),
        observations(),
        ["rgb", "state", "privileged"],
    )
    assert spec.state_terms == {"joints": 9, "object": 7, "privileged_joints": 56}
    assert spec.state_groups == ("state", "privileged")
    assert spec.cameras == ("views_0", "views_1"), "two images of one term"


def test_cameras_of_equal_name_in_two_groups_stay_apart() -> None:
    obs = observations()
    obs["far"] = obs["rgb"][..., :3]
    env = task_stand_in()
    env.observation_manager.active_terms["far"] = ["camera"]
    env.observation_manager.group_obs_term_dim["far"] = [(64, 64, 3)]
    assert TaskSpec.from_env(env, obs, ["rgb", "far", "state"]).cameras == ("camera", "wrist", "far_camera")


def test_the_spec_of_a_direct_task() -> None:
    env = SimpleNamespace(cfg=SimpleNamespace(), control_action_dim=5)
    spec = TaskSpec.from_env(env, observations(), ["state", "rgb"])
    assert spec.instruction == DEFAULT_INSTRUCTION
    assert spec.state_terms == {"state": 16}
    assert spec.action_terms == {"action": 5}


def test_the_spec_of_discrete_actions() -> None:
    env = SimpleNamespace(cfg=SimpleNamespace(), control_action_dim=2, action_choices=(3, 2))
    spec = TaskSpec.from_env(env, observations(), ["state", "rgb"])
    assert spec.action_choices == (3, 2)
    assert spec.action_dim == 2


def test_a_spec_survives_json() -> None:
    spec = dataclasses.replace(SPEC, action_terms={"action": 2}, action_choices=(3, 2))
    for original in (SPEC, spec):
        read = TaskSpec(**json.loads(json.dumps(dataclasses.asdict(original))))
        assert read == original
        assert read.digest() == original.digest()


def test_cameras_are_counted_over_all_image_groups() -> None:
    obs = observations()
    obs["wrist"] = obs["rgb"][..., :3]
    env = SimpleNamespace(cfg=SimpleNamespace(), control_action_dim=5)
    spec = TaskSpec.from_env(env, obs, ["wrist", "state", "rgb"])
    assert spec.image_groups == ("wrist", "rgb")
    assert spec.cameras == ("wrist", "rgb_0", "rgb_1")
    assert spec.num_cameras == 3


def test_a_group_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"group 'depth', which the task does not have.*rgb \(64, 64, 6\) torch.uint8"):
        TaskSpec.from_env(task_stand_in(), observations(), ["rgb", "depth"])


def test_no_camera_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs at least one camera.*\(state, privileged\) holds uint8 images"):
        TaskSpec.from_env(task_stand_in(), observations(), ["state", "privileged"])


def test_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs the robot's state, but the actor reads only images \(rgb\)"):
        TaskSpec.from_env(task_stand_in(), observations(), ["rgb"])


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (2, 64, 64, 3)])
def test_images_of_another_layout_are_refused(shape: tuple[int, ...]) -> None:
    obs = observations()
    obs["rgb"] = torch.zeros(4, *shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"image group 'rgb' has the shape .*expected \(height, width, 3 \* cameras\)"):
        TaskSpec.from_env(task_stand_in(), obs, ["rgb", "state"])


def test_a_state_of_several_dimensions_is_refused() -> None:
    obs = observations()
    obs["state"] = torch.zeros(4, 3, 16)
    with pytest.raises(ValueError, match=r"state group 'state' has the shape \(3, 16\).*concatenate_terms"):
        TaskSpec.from_env(task_stand_in(), obs, ["rgb", "state"])


def test_the_digest_tells_specs_apart_and_knows_the_order_of_terms() -> None:
    assert SPEC.digest() == dataclasses.replace(SPEC).digest()
    changed = [
        dataclasses.replace(SPEC, instruction="drop the cube"),
        dataclasses.replace(SPEC, state_terms={"object": 7, "joints": 9}),
        dataclasses.replace(SPEC, action_terms={"arm": 8}),
        dataclasses.replace(SPEC, action_choices=(2,) * 8),
    ]
    assert len({spec.digest() for spec in (SPEC, *changed)}) == 5


def test_several_instructions_and_one_that_nobody_would_be_told() -> None:
    told = SimpleNamespace(instructions=("lift", "stack"), tasks=("lift", "stack"))
    env = task_stand_in(task_set=told)
    env.cfg.instruction = None
    spec = TaskSpec.from_env(env, observations(), ["rgb", "state"])
    assert (spec.instruction, spec.instructions, spec.used_groups) == ("lift", ("lift", "stack"), ("task",))
    env.cfg.instruction = "pour"
    with pytest.raises(ValueError, match="`env.instruction` is 'pour', but .* different things here: 'lift', 'stack'"):
        TaskSpec.from_env(env, observations(), ["rgb", "state"])
