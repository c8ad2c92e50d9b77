# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""served_policy: requests in the checkpoint's keys give what the policy does in its task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from policies import DISCRETE_SPEC, POLICIES
from tiny_policy import SPEC, observations

from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.base_checkpoint import tiny_checkpoint
from gr00t_rl_ext.serving.protocol import Observation
from gr00t_rl_ext.serving.served_policy import ServedPolicy, load_native

MAPPING = """
state:
  arm_joints: {term: joints, slice: [0, 7], from: rad, to: deg}
  fingers: {term: joints, slice: [7, 9]}
  cube: {term: object}
video: {second: camera, first: wrist}
action:
  arm: {key: arm_targets, slice: [0, 7], from: deg, to: rad, scale: 0.5}
  gripper: grip
"""


def as_requested(actor: Actor, batch: int) -> Observation:
    """Observations of the task, as a client that knows the checkpoint alone would send them."""
    encoder, obs = actor.encoder, observations(batch)
    robot = encoder.inputs.embodiment
    cameras = [obs["rgb"][..., :3], obs["rgb"][..., 3:]]
    order = encoder.mapping.camera_order
    names = robot.video_keys if len(robot.video_keys) == len(order) else [encoder.spec.cameras[at] for at in order]
    video = {name: cameras[at].numpy() for name, at in zip(names, order, strict=True)}
    raw = encoder.raw_state(obs)
    state = {key: raw[:, at].numpy() for key, at in robot.state.slices().items()}
    return Observation(video, state, (SPEC.instruction,) * batch)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", [name for name in POLICIES if name != "categorical"])
def test_it_decides_as_in_its_task(name: str, mapped: bool, tmp_path: Path) -> None:
    options = {}
    if mapped:
        options["mapping"] = str(tmp_path / "mapping.yaml")
        (tmp_path / "mapping.yaml").write_text(MAPPING)
    actor = POLICIES[name].build(**options).actor.eval()
    request, mapping = as_requested(actor, 3), actor.encoder.mapping
    torch.manual_seed(5)
    with torch.no_grad():
        expected = actor(observations(3)).view(3, actor.chunk_length, -1)
    served = ServedPolicy(actor)
    assert served.undecided == ()
    answer = served.act(request, seed=5)
    widths = {"arm_targets": 7, "grip": 1} if mapped else {"arm": 7, "gripper": 1}
    assert {key: value.shape for key, value in answer.items()} == {
        key: (3, actor.chunk_length, width) for key, width in widths.items()
    }
    assert all(value.dtype == np.float32 for value in answer.values())
    raw = torch.from_numpy(np.concatenate(list(answer.values()), axis=-1))
    torch.testing.assert_close(mapping.action(raw), expected.float(), rtol=1e-5, atol=1e-5)


def test_each_observation_is_told_its_own_instruction() -> None:
    served = ServedPolicy(POLICIES["gaussian"].build().actor.eval())
    both = as_requested(POLICIES["gaussian"].build().actor, 2)
    texts = ("stack the cubes", "put the red cube away")
    together = served.act(dataclasses.replace(both, instructions=texts))
    for n, text in enumerate(texts):
        alone = served.act(
            Observation(
                {key: value[[n]] for key, value in both.video.items()},
                {key: value[[n]] for key, value in both.state.items()},
                (text,),
            )
        )
        for key in alone:
            assert np.allclose(together[key][n], alone[key][0], atol=1e-6)
    other = served.act(both)
    assert not np.allclose(together["arm"], other["arm"])


def test_each_observation_draws_the_noise_of_its_row() -> None:
    """As where the environments are simulated here, whatever the others are told."""
    served = ServedPolicy(POLICIES["flow, lora"].build().actor.eval())
    request = as_requested(POLICIES["flow, lora"].build().actor, 4)
    told = ("stack the cubes", "put the red cube away")
    mixed = served.act(dataclasses.replace(request, instructions=(*told, *told)), 1)
    same = [served.act(dataclasses.replace(request, instructions=(text,) * 4), 1) for text in told]
    for key, rows in mixed.items():
        for number, row in enumerate(rows):
            assert np.allclose(row, same[number % 2][key][number], atol=1e-5)
            assert not np.allclose(row, same[1 - number % 2][key][number], atol=1e-5)


def test_prompts_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gr00t_rl_ext.gr00t.inputs.MAX_PROMPTS", 3)
    served = ServedPolicy(POLICIES["gaussian"].build().actor.eval())
    request = as_requested(POLICIES["gaussian"].build().actor, 1)
    first = served.act(dataclasses.replace(request, instructions=("text 0",)))
    for number in range(8):
        served.act(dataclasses.replace(request, instructions=(f"text {number}",)))
        assert len(served.encoder.inputs._prompts) <= 3
    again = served.act(dataclasses.replace(request, instructions=("text 0",)))
    assert all(np.array_equal(first[key], again[key]) for key in first)


def test_a_seed_decides_the_noise_and_leaves_the_generator_alone() -> None:
    served = ServedPolicy(POLICIES["flow, lora"].build().actor.eval())
    request = as_requested(POLICIES["flow, lora"].build().actor, 2)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again, other = (served.act(request, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(first["arm"], again["arm"])
    assert not np.array_equal(first["arm"], other["arm"])


@pytest.mark.parametrize("version", ["N1.5", "N1.6", "N1.7"])
def test_gr00t_s_own_inference_is_served_whole(version: str, tmp_path: Path) -> None:
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms, "video_keys": SPEC.cameras}
    base = build_tiny_checkpoint(tmp_path / "base", version=version, **keys)
    served = load_native(str(base), "cpu", {})
    assert served.keys.video == SPEC.cameras
    assert (served.keys.state, served.keys.action) == (SPEC.state_terms, SPEC.action_terms)
    assert served.keys.horizon == served.encoder.action_horizon
    actor = POLICIES["flow, lora"].build(checkpoint=str(base), chunk_length=None).actor.eval()
    request = as_requested(actor, 2)
    torch.manual_seed(3)
    with torch.no_grad():
        expected = actor(observations(2)).view(2, actor.chunk_length, -1)
    answer = served.act(request, seed=3)
    assert np.allclose(np.concatenate(list(answer.values()), axis=-1), expected.numpy(), atol=1e-6)


def test_the_task_names_cameras_where_the_checkpoint_names_others(tmp_path: Path) -> None:
    base = build_tiny_checkpoint(
        tmp_path / "base", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms, video_keys=("front",)
    )
    assert ServedPolicy(POLICIES["gaussian"].build(checkpoint=str(base)).actor).keys.video == SPEC.cameras


def test_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="The task's actions are discrete"):
        ServedPolicy(POLICIES["categorical"].build().actor)
    assert DISCRETE_SPEC.action_choices


def test_keys_that_a_policy_does_not_decide_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text("action: {arm: arm, gripper: gripper}\nunused: {action: [base]}\n")
    base = build_tiny_checkpoint(
        tmp_path / "base", state_keys=SPEC.state_terms, action_keys={**SPEC.action_terms, "base": 3}
    )
    options = {"checkpoint": str(base), "mapping": str(file)}
    gaussian = ServedPolicy(POLICIES["gaussian"].build(**options).actor.eval())
    assert gaussian.undecided == ("base",)
    assert not gaussian.act(as_requested(POLICIES["gaussian"].build(**options).actor, 1))["base"].any()
    # GR00T's head decides all keys
    assert ServedPolicy(POLICIES["steering"].build(**options).actor).undecided == ()


def test_a_checkpoint_that_names_no_cameras_cannot_be_served_alone(tmp_path: Path) -> None:
    base = tiny_checkpoint(SPEC)
    assert load_native(str(base), "cpu", {}).keys.video == SPEC.cameras
    nameless = build_tiny_checkpoint(tmp_path / "x", state_keys={"a": 2}, action_keys={"b": 2}, video_keys=())
    with pytest.raises(ValueError, match="does not name its cameras, in whose order images are given"):
        load_native(str(nameless), "cpu", {})
