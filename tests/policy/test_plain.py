# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""plain: what stands in for GR00T hands observations on, and has all that an algorithm asks of an encoder."""

from __future__ import annotations

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from tiny_policy import observations, task_stand_in

from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.options import CriticOptions
from gr00t_rl_ext.policy.plain import NoGr00t, PlainEncoder
from gr00t_rl_ext.robot.task_spec import TaskSpec

SPEC = TaskSpec.from_env(task_stand_in(), observations(), ["state", "privileged"], over_gr00t=False)


def vectors(num_envs: int = 4) -> TensorDict:
    return observations(num_envs).select("state", "privileged")


def test_the_stand_in_has_the_methods_of_the_genuine_with_their_arguments() -> None:
    methods = {
        name: value for name, value in vars(PlainEncoder).items() if inspect.isfunction(value) and name[0] != "_"
    }
    assert len(methods) >= 5
    for name, method in methods.items():
        expected = inspect.signature(getattr(Gr00tEncoder, name)).parameters
        assert list(inspect.signature(method).parameters) == list(expected), name


def test_the_spec_of_a_task_without_cameras() -> None:
    assert SPEC.image_groups == SPEC.cameras == ()
    assert SPEC.state_groups == ("state", "privileged")
    assert SPEC.state_terms == {"joints": 9, "object": 7, "everything": 56}


def test_an_actor_of_vectors_refuses_images() -> None:
    text = r"reads vectors only, but `agent.obs_groups.actor` names 'rgb', which holds images.*: state, privileged. Or"
    with pytest.raises(ValueError, match=text):
        TaskSpec.from_env(task_stand_in(), observations(), ["state", "rgb"], over_gr00t=False)


def test_a_missing_group_is_refused_without_gr00t_as_well() -> None:
    with pytest.raises(ValueError, match="group 'depth', which the task does not have"):
        TaskSpec.from_env(task_stand_in(), observations(), ["depth"], over_gr00t=False)


def test_observations_are_handed_on_as_they_are() -> None:
    encoder, obs = PlainEncoder(SPEC, vectors()), vectors()
    for handed_on in (encoder.encode(obs), encoder.complete(obs), encoder.kept(obs)):
        assert handed_on is obs
    example = encoder.encoded_example(obs)
    example["executed"] = torch.zeros(4, 1)
    assert "executed" not in obs.keys(), "an algorithm may add to the example"
    assert example["state"] is obs["state"]
    assert encoder.calls == 0
    assert encoder.group_widths == {"state": 16, "privileged": 56}


def test_the_fingerprint_tells_what_is_read_and_decided_and_nothing_else() -> None:
    def fingerprint(**changes: Any) -> str:
        return PlainEncoder(dataclasses.replace(SPEC, **changes), vectors()).fingerprint

    assert fingerprint(instruction="drop the cube") == fingerprint()
    changed = [
        {"state_terms": {"joints": 16, "everything": 56}},
        {"action_terms": {"arm": 8}},
        {"action_choices": (2,)},
    ]
    assert len({fingerprint(**change) for change in changed} | {fingerprint()}) == 4


def test_nothing_trains() -> None:
    parts = NoGr00t()
    assert (parts.groups, parts.parameters(), parts.state_dict()) == ([], {}, {})
    assert parts.advance(1000, 1.0) == parts.restore(0) == []
    assert parts.stage == 0
    with parts.reference():
        pass
    parts.load_state_dict({})
    assert "frozen parameters have none" in parts.check_gradients().describe()


def test_the_critic_reads_vectors_over_it() -> None:
    obs = vectors()
    critic = Gr00tCritic(PlainEncoder(SPEC, obs), obs, ["state", "privileged"])
    assert critic(obs).shape == (4, 1)
    assert critic.mlp[0].in_features == 72
    for images in ("rgb", "nothing"):
        with pytest.raises(ValueError, match=f"reads the observation group '{images}', expected as a vector"):
            Gr00tCritic(PlainEncoder(SPEC, obs), observations(), ["state", images])
    with pytest.raises(ValueError, match="`agent.critic.detach` is false, but there is nothing that the value loss"):
        Gr00tCritic(PlainEncoder(SPEC, obs), obs, ["state"], CriticOptions(detach=False))


def test_there_is_nothing_to_compile() -> None:
    with pytest.raises(ValueError, match="`agent.torch_compile_mode` is 'default', which compiles GR00T's"):
        PlainEncoder(SPEC, vectors()).compile("default")


def test_a_direct_task_of_vectors() -> None:
    env = SimpleNamespace(cfg=SimpleNamespace(), control_action_dim=2, action_choices=(3, 4))
    spec = TaskSpec.from_env(env, observations(), ["privileged"], over_gr00t=False)
    assert (spec.state_terms, spec.action_choices) == ({"privileged": 56}, (3, 4))
