# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a distillation makes of its evaluations; tests/cli/test_distil_cli.py runs a whole one."""

from __future__ import annotations

from typing import Any

import pytest

from gr00t_rl_ext.evaluation.report import Evaluation
from gr00t_rl_ext.imitation.distillation import BASE, DISTILLED, TRAINED, Distillation

UNUSED: Any = None


def evaluated(name: str, successes: int) -> Evaluation:
    """Of ten episodes."""
    return Evaluation(
        name=name,
        fingerprint="f",
        task="t",
        agent="a",
        seed=0,
        initial_states=tuple(map(str, range(10))),
        successes=tuple(number < successes for number in range(10)),
        returns=(0.0,) * 10,
        lengths=(1,) * 10,
    )


def distillation(seed: int = 0, **successes: int) -> Distillation:
    work = Distillation(UNUSED, UNUSED, UNUSED, UNUSED, [], {}, seed)
    work.evaluations = {name: evaluated(name, count) for name, count in successes.items()}
    return work


@pytest.mark.parametrize(
    ("successes", "share"),
    [
        ({BASE: 5, TRAINED: 10, DISTILLED: 9}, 0.8),
        ({BASE: 5, TRAINED: 7, DISTILLED: 9}, 2.0),
        ({BASE: 5, TRAINED: 10, DISTILLED: 4}, -0.2),
        ({BASE: 5, TRAINED: 5, DISTILLED: 9}, None),
        ({BASE: 5, TRAINED: 4, DISTILLED: 9}, None),
        ({BASE: 5, DISTILLED: 9}, None),
        ({BASE: 5, TRAINED: 10}, None),
    ],
)
def test_the_share_of_the_gain_that_is_kept(successes: dict[str, int], share: float | None) -> None:
    work = distillation(**successes)
    assert work.success == {name: count / 10 for name, count in successes.items()}
    assert work.share_kept == (None if share is None else pytest.approx(share))


def test_episodes_to_learn_from_have_seeds_of_their_own() -> None:
    seeds = [distillation(seed).rollout_seed(name) for seed in (0, 1) for name in (TRAINED, BASE)]
    assert len({0, 1, *seeds}) == 6
    assert seeds[:2] == [distillation(0).rollout_seed(name) for name in (TRAINED, BASE)]
