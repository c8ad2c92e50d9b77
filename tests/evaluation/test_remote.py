# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""remote: how a task's numbers are matched to a server's keys, and what it executes of the answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from tiny_policy import SPEC, observations

from gr00t_rl_ext.envs.episodes import EvaluationError
from gr00t_rl_ext.evaluation.remote import RemotePolicy, check_mapping, completed
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping, EmbodimentMappingError
from gr00t_rl_ext.serving.protocol import Observation, PolicyKeys

SAME = PolicyKeys(SPEC.cameras, dict.fromkeys(SPEC.state_terms), dict.fromkeys(SPEC.action_terms), horizon=5)
OTHERS = PolicyKeys(("first", "second"), {"q": None, "cube": None}, {"hand": None, "grip": None}, horizon=5)


class Answers:
    """A client of a server whose actions count: number n of step t of observation b is 100 b + 10 t + n."""

    address = "somewhere:1"

    def __init__(self, keys: PolicyKeys, widths: dict[str, int]) -> None:
        self._keys, self._widths = keys, widths
        self.asked: list[tuple[Observation, Any]] = []

    def keys(self) -> PolicyKeys:
        return self._keys

    def act(self, observation: Observation, options: Any = None) -> dict[str, np.ndarray]:
        self.asked.append((observation, options))
        batch, total = len(observation.instructions), sum(self._widths.values())
        b, t, n = np.indices((batch, 5, total))
        parts = np.split((100 * b + 10 * t + n).astype(np.float32), np.cumsum([*self._widths.values()])[:-1], axis=2)
        return dict(zip(self._widths, parts, strict=True))


def test_same_names_are_matched_in_whatever_order() -> None:
    keys = dataclasses.replace(SAME, state={"object": None, "joints": None}, video=("wrist", "camera"))
    client, obs = Answers(keys, {"gripper": 1, "arm": 7}), observations(2)
    remote = RemotePolicy(client, SPEC, EmbodimentMapping(), obs, None)  # type: ignore[arg-type]
    assert remote.origins == dict.fromkeys(("state", "video", "action"), "same names")
    torch.manual_seed(11)
    actions = remote(obs).view(2, 5, 8)
    seen, options = client.asked[-1]
    assert options == {"seed": 11}
    assert seen.instructions == (SPEC.instruction,) * 2
    assert np.array_equal(seen.video["camera"], obs["rgb"][..., :3].numpy())
    assert np.array_equal(seen.video["wrist"], obs["rgb"][..., 3:].numpy())
    assert np.array_equal(seen.state["object"], obs["state"][:, 9:].numpy())
    # the server's vector is gripper, arm, the task's arm, gripper; its keys stand in the modality config's order
    assert actions[1, 2].tolist() == [121, 122, 123, 124, 125, 126, 127, 120]


def test_as_many_names_are_matched_by_position_which_is_called_a_guess() -> None:
    client = Answers(OTHERS, {"hand": 7, "grip": 1})
    remote = RemotePolicy(client, SPEC, EmbodimentMapping(), observations(1), 3)  # type: ignore[arg-type]
    assert remote.origins == dict.fromkeys(("state", "video", "action"), "position, a guess")
    assert (remote.chunk_length, remote.steps) == (3, 5)
    assert remote(observations(1)).tolist() == [[10.0 * t + n for t in range(3) for n in range(8)]]
    rows = [cell for column in remote.table().columns for cell in column.cells]
    assert "position, a guess" in rows
    assert "3 of them are executed" in rows


def test_a_mapping_decides() -> None:
    mapping = EmbodimentMapping.model_validate(
        {
            "state": {"q": {"term": "joints", "from": "rad", "to": "deg"}, "cube": {"term": "object", "slice": [0, 3]}},
            "video": {"first": "wrist", "second": "camera"},
            "action": {"arm": {"key": "hand", "scale": 2.0}, "gripper": "grip"},
        }
    )
    client, obs = Answers(OTHERS, {"hand": 7, "grip": 1}), observations(2)
    remote = RemotePolicy(client, SPEC, mapping, obs, 1)  # type: ignore[arg-type]
    assert remote.origins == dict.fromkeys(("state", "video", "action"), "mapping")
    assert remote(obs)[0].tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0]
    seen, _ = client.asked[-1]
    assert np.allclose(seen.state["q"], np.rad2deg(obs["state"][:, :9].numpy()), atol=1e-4)
    assert seen.state["cube"].shape == (2, 3)
    assert np.array_equal(seen.video["first"], obs["rgb"][..., 3:].numpy())


def test_all_keys_go_into_the_only_action_of_a_task() -> None:
    spec = dataclasses.replace(SPEC, action_terms={"action": 8})
    client = Answers(OTHERS, {"hand": 7, "grip": 1})
    remote = RemotePolicy(client, spec, EmbodimentMapping(), observations(1), 1)  # type: ignore[arg-type]
    assert remote(observations(1)).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]


def test_what_cannot_be_matched_asks_for_a_mapping() -> None:
    keys = dataclasses.replace(SAME, state=dict.fromkeys(("a", "b", "c")))
    with pytest.raises(
        EvaluationError,
        match=r"has the state keys a, b, c, the task joints, object: they cannot be matched\. Write a mapping",
    ):
        completed(EmbodimentMapping(), keys, SPEC)


def test_widths_that_differ_are_refused() -> None:
    client = Answers(SAME, {"arm": 6, "gripper": 1})
    with pytest.raises(EmbodimentMappingError, match=r"action.arm: arm gives 6 numbers, but the task's term has 7"):
        RemotePolicy(client, SPEC, EmbodimentMapping(), observations(1), None)  # type: ignore[arg-type]


def test_more_steps_than_there_are_cannot_be_executed() -> None:
    client = Answers(SAME, {"arm": 7, "gripper": 1})
    with pytest.raises(
        EvaluationError, match=r"`agent.actor.chunk_length` is 6, but the server's policy gives 5 control steps"
    ):
        RemotePolicy(client, SPEC, EmbodimentMapping(), observations(1), 6)  # type: ignore[arg-type]


def test_a_mapping_of_another_embodiment_is_refused_before_there_is_a_task() -> None:
    mapping = EmbodimentMapping.model_validate({"state": {"leg": "joints"}})
    with pytest.raises(
        EmbodimentMappingError, match=r"state: the server's policy has no state key 'leg'; available are q, cube$"
    ):
        check_mapping(OTHERS, mapping)
