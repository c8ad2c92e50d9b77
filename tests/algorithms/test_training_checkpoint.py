# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""checkpoint: the header that tells our checkpoints from others, and random states."""

from __future__ import annotations

import pytest
import torch

from gr00t_rl_ext.algorithms import checkpoint

HEADER = {"format": checkpoint.FORMAT, "base_fingerprint": "abc", "base_name": "/models/base"}


def test_the_own_header_is_accepted() -> None:
    checkpoint.check_header(HEADER, "abc", "/elsewhere/base")


def test_a_checkpoint_of_another_program_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not written by gr00t_rl_ext \(it has the keys actor_state_dict, iter\)"):
        checkpoint.check_header({"iter": 3, "actor_state_dict": {}}, "abc", "base")


@pytest.mark.parametrize("version", [checkpoint.FORMAT - 1, checkpoint.FORMAT + 1])
def test_another_format_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match=rf"has format {version}; this version .* reads format {checkpoint.FORMAT}"):
        checkpoint.check_header(HEADER | {"format": version}, "abc", "base")


def test_a_checkpoint_of_another_base_is_refused_with_both_names() -> None:
    with pytest.raises(ValueError, match=r"trained on the GR00T in '/models/base', but '/models/new' is loaded"):
        checkpoint.check_header(HEADER, "def", "/models/new")


def test_random_numbers_continue_after_restoring() -> None:
    torch.manual_seed(3)
    state = checkpoint.rng_state()
    expected = torch.randn(5)
    torch.manual_seed(4)
    checkpoint.restore_rng_state(state)
    assert torch.equal(torch.randn(5), expected)
