# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""States far outside of a checkpoint's statistics are reported, once per key, with the numbers and the likely cause."""

from __future__ import annotations

import math

import pytest
import torch

from gr00t_rl_ext.footprint.trace import MemoryTrace
from gr00t_rl_ext.gr00t.normalization import VectorNormalizer, VectorSpec
from gr00t_rl_ext.robot.state_check import WATCHED, StateCheck

STATISTICS = {
    "joints": {"min": [-0.5, -1.5, 0.0], "max": [0.5, 1.5, 3.0]},
    "rotation": {"min": [-0.1, -0.1, -0.1, 0.9], "max": [0.1, 0.1, 0.1, 1.0]},
    "finger": {"min": [0.04], "max": [0.04 + 1e-6]},
    "base": {"min": [0.0], "max": [0.0]},
}


def state_check() -> StateCheck:
    specs = [VectorSpec(key, len(entry["min"])) for key, entry in STATISTICS.items()]
    return StateCheck(VectorNormalizer(specs, STATISTICS))


def states(count: int = 1, **changes: float) -> torch.Tensor:
    """States like those of the data, the last of them with other values in columns c0, c1, ..."""
    result = torch.tensor([[0.1, -1.0, 1.0, 0.0, 0.05, 0.0, 0.99, 0.04, 0.0]]).repeat(count, 1)
    for name, value in changes.items():
        result[-1, int(name[1:])] = value
    return result


def test_states_of_the_data_are_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    check = state_check()
    # at first, nearly as far beyond the range as it is wide; later, where a policy wanders that is not trained yet
    for state in (states(c0=1.49, c3=0.29), states(c3=1.0, c6=-1.0, c8=5.0), states(c0=-3.1)):
        check.watch(state)
    assert check.notes() == ()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (
            {"c0": math.degrees(0.1), "c1": math.degrees(-1.0)},
            "state.joints, dimension 0, 1: saw -57.3 in dimension 1; the statistics have -1.5 to 1.5; normalised -38.2"
            " (usual: -1 to 1). Likely another unit (degrees for radians, mm for m), or another observation term.",
        ),
        (
            {"c3": 0.99, "c4": 0.0, "c5": 0.05, "c6": 0.0},
            "state.rotation, dimension 0, 3: saw 0 in dimension 3; the statistics have 0.9 to 1; normalised -19 (usual:"
            " -1 to 1). Likely a quaternion in another order (wxyz, xyzw), or another frame or observation term.",
        ),
        (
            {"c7": 0.3},
            "state.finger, dimension 0: saw 0.3 in dimension 0; the statistics have 0.04 to 0.04; normalised 5.189e+05"
            " (usual: -1 to 1). Likely it hardly moved in the data (by 1e-06): record data in which it does, or leave"
            " it out.",
        ),
    ],
)
def test_what_is_reported(changes: dict[str, float], note: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the worst environment, at the first observation, and not again."""
    check = state_check()
    for _ in range(8):
        check.watch(states(4, **changes))
    assert check.notes() == (note,)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("warning: the state is far outside of the data that the checkpoint's statistics are")
    assert "`agent.actor.gr00t.mapping`" in printed[2]
    assert printed[3:] == [f"  {note}"]


def test_keys_are_reported_as_they_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    check = state_check()
    check.watch(states(c0=57.0))
    check.watch(states(c3=0.99, c6=0.0))
    check.watch(states(c7=0.3))
    assert [note.partition(",")[0] for note in check.notes()] == ["state.joints", "state.finger"]
    assert capsys.readouterr().out.count("warning: ") == 1


def test_only_the_beginning_is_watched() -> None:
    check = state_check()
    for _ in range(WATCHED):
        check.watch(states())
    check.watch(states(c7=0.3))
    assert check.notes() == ()


def test_values_that_are_not_known_are_not_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """The estimate of memory runs the policy on fake tensors."""
    with MemoryTrace():
        check = state_check()
        check.watch(torch.full((2, 9), 1e6))
    assert capsys.readouterr().out == ""
