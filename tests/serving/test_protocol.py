# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""protocol: the three forms of requests, what they answer, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gr00t_rl_ext.serving.protocol import (
    FLAT,
    FORMS,
    N1_5,
    NESTED,
    Observation,
    PolicyKeys,
    RequestError,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from gr00t_rl_ext.serving.wire import ModalityConfig

KEYS = PolicyKeys(("front",), {"arm": 7, "gripper": 1}, {"arm": 7, "gripper": 1}, "annotation.task", 4)


def observation(batch: int = 2) -> Observation:
    generator = np.random.default_rng(0)
    return Observation(
        {"front": generator.integers(0, 256, (batch, 6, 8, 3), dtype=np.uint8)},
        {key: generator.normal(size=(batch, width)).astype(np.float32) for key, width in KEYS.state.items()},
        tuple(f"text {n}" for n in range(batch)),
    )


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_a_request_says_the_same_in_each_form(form: str, batch: int) -> None:
    given = observation(batch)
    request = read_request(write_request(given, KEYS, form, {"seed": 3}), KEYS)
    assert (request.form, request.is_batch) == (form, True)
    assert request.options == ({} if form == N1_5 else {"seed": 3})
    assert request.observation.instructions == given.instructions
    assert np.array_equal(request.observation.video["front"], given.video["front"])
    assert all(np.array_equal(request.observation.state[key], given.state[key]) for key in KEYS.state)
    actions = {"arm": np.ones((batch, 4, 7), np.float32), "gripper": np.zeros((batch, 4, 1), np.float32)}
    answer = write_answer(actions, request)
    found = read_answer(answer, KEYS, batch)
    assert all(np.array_equal(found[key], actions[key]) for key in actions)


def test_the_forms_look_as_gr00t_s_own_do() -> None:
    """Shapes and keys of ../shared/GR00T_FACTS.md, "Policy servers"."""
    given = observation(2)
    old = write_request(given, KEYS, N1_5, {})
    assert sorted(old) == ["annotation.task", "state.arm", "state.gripper", "video.front"]
    assert (old["video.front"].shape, old["state.arm"].shape) == ((2, 1, 6, 8, 3), (2, 1, 7))
    assert old["annotation.task"] == ["text 0", "text 1"]
    new = write_request(given, KEYS, NESTED, {})
    assert new["options"] == {}
    assert sorted(new["observation"]) == ["language", "state", "video"]
    assert new["observation"]["language"] == {"annotation.task": [["text 0"], ["text 1"]]}
    assert new["observation"]["state"]["gripper"].shape == (2, 1, 1)
    flat = write_request(given, KEYS, FLAT, {})["observation"]
    assert sorted(flat) == sorted(old)


def test_one_observation_of_n1_5_is_answered_without_a_batch() -> None:
    """As its clients on robots send it."""
    one = observation(1)
    data: dict[str, Any] = {
        "video.front": one.video["front"],
        "state.arm": one.state["arm"].astype(np.float64),
        "state.gripper": one.state["gripper"],
        "annotation.task": "text 0",
    }
    request = read_request(data, KEYS)
    assert not request.is_batch
    assert request.observation.state["arm"].dtype == np.float32
    assert np.array_equal(request.observation.state["arm"], one.state["arm"])
    actions = {"arm": np.ones((1, 4, 7), np.float32), "gripper": np.zeros((1, 4, 1), np.float32)}
    answer = write_answer(actions, request)
    assert {key: value.shape for key, value in answer.items()} == {"action.arm": (4, 7), "action.gripper": (4, 1)}


@pytest.mark.parametrize("texts", ["one for all", ["one for all"], np.array(["one for all"] * 2), ("one for all",) * 2])
def test_instructions_come_as_texts_lists_or_arrays(texts: Any) -> None:
    data = write_request(observation(2), KEYS, FLAT, {})
    data["observation"]["annotation.task"] = texts
    assert read_request(data, KEYS).observation.instructions == ("one for all", "one for all")


def test_an_instruction_under_another_name_is_found_where_it_is_the_only_one() -> None:
    data = write_request(observation(1), KEYS, N1_5, {})
    data["annotation.human.coarse_action"] = data.pop("annotation.task")
    assert read_request(data, KEYS).observation.instructions == ("text 0",)


def changed(form: str, **changes: Any) -> Any:
    """A request with other values; None takes a key away."""
    data = write_request(observation(2), KEYS, form, {})
    place = data if form == N1_5 else data["observation"]
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del place[key]
        else:
            place[key] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "`data` is NoneType None; expected a map with the observation"),
        ({}, "the observation lacks video.front, state.arm, state.gripper; it has nothing, and the policy reads"),
        (changed(N1_5, state__arm=None), "the observation lacks state.arm; it has video.front, state.gripper"),
        (
            changed(N1_5, state__leg=np.zeros((2, 1, 7))),
            "the observation holds state.leg, which the policy does not read; it reads video.front, state.arm",
        ),
        (changed(NESTED, video=[1]), "the observation's 'video' is list [1]; expected a map of its keys"),
        (changed(FLAT, state__arm=[0.0] * 7), "state.arm is list [0.0, 0.0, "),
        (
            changed(FLAT, state__arm=np.zeros((2, 1, 6), np.float32)),
            "state.arm has type float32 and shape (2, 1, 6); expected numbers (B, 1, 7)",
        ),
        (
            changed(FLAT, state__arm=np.full((2, 1, 7), np.nan, np.float32)),
            "state.arm holds NaN or infinite numbers",
        ),
        (
            changed(FLAT, video__front=np.zeros((2, 1, 6, 8, 3), np.float32)),
            "video.front has type float32 and shape (2, 1, 6, 8, 3); expected uint8 (B, 1, H, W, 3)",
        ),
        (
            changed(FLAT, video__front=np.zeros((2, 2, 6, 8, 3), np.uint8)),
            "video.front has type uint8 and shape (2, 2, 6, 8, 3); expected uint8 (B, 1, H, W, 3)",
        ),
        (
            changed(FLAT, state__arm=np.zeros((3, 1, 7), np.float32)),
            "the arrays differ in their number of observations: {'front': 2, 'arm': 3, 'gripper': 2}",
        ),
        (changed(FLAT, annotation__task=None), "has no instruction under annotation.task; it has none"),
        (changed(FLAT, annotation__task=["a", "b", "c"]), "expected a text for each of 2 observations"),
        (changed(FLAT, annotation__task=[1, 2]), "annotation.task is list [1, 2]; expected a text for each"),
        (
            changed(FLAT, annotation__task=["a", "b" * 2001]),
            "annotation.task has an instruction of 2001 characters; expected at most 2000",
        ),
        (changed(FLAT) | {"options": [1]}, "`options` is list [1]; expected a map or nothing"),
    ],
)
def test_wrong_requests_are_told_what_is_expected(data: Any, message: str) -> None:
    with pytest.raises(RequestError) as error:
        read_request(data, KEYS)
    assert message in str(error.value)


@pytest.mark.parametrize("form", [N1_5, NESTED])
def test_modality_configs_name_the_keys(form: str) -> None:
    configs = KEYS.modality_configs(form)
    prefix = "state." if form == N1_5 else ""
    assert configs["state"] == ModalityConfig((f"{prefix}arm", f"{prefix}gripper"), (0,), form == N1_5)
    assert configs["action"].delta_indices == (0, 1, 2, 3)
    read, is_old = PolicyKeys.read(configs)
    assert is_old == (form == N1_5)
    assert (read.video, list(read.state), list(read.action)) == (("front",), ["arm", "gripper"], ["arm", "gripper"])
    assert (read.language, read.horizon) == ("annotation.task", 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": None}, "expected configs of video, state, action and language"),
        ({"state": ModalityConfig(("arm",), (-1, 0))}, "reads the time steps [-1, 0] of its state; only the current"),
        ({"language": ModalityConfig(("a", "b"), (0,))}, "the policy reads 2 instructions (a, b); expected one"),
    ],
)
def test_policies_that_cannot_be_asked_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as error:
        PolicyKeys.read(KEYS.modality_configs(NESTED) | changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("done", "the server answered str 'done'; expected a map of actions"),
        (
            [{"leg": np.zeros((2, 4, 7))}, {}],
            "answered the actions leg, but its modality config names arm, gripper: it",
        ),
        (
            [{"arm": np.zeros((2, 4, 6)), "gripper": np.zeros((2, 4, 1))}, {}],
            "action.arm of shape (2, 4, 6); expected (2, steps, 7)",
        ),
        (
            [{"arm": np.zeros((2, 4, 7)), "gripper": np.zeros((2, 3, 1))}, {}],
            "the server's actions differ in steps",
        ),
        (
            [{"arm": np.full((2, 4, 7), np.inf), "gripper": np.zeros((2, 4, 1))}, {}],
            "action.arm with NaN or infinite numbers",
        ),
    ],
)
def test_answers_of_another_robot_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(RequestError) as error:
        read_answer(answer, KEYS, 2)
    assert message in str(error.value)
