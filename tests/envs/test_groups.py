# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Sizes and members of groups, without a simulator."""

from __future__ import annotations

import pytest

from gr00t_rl_ext.envs.groups import check_group_size, followers_of_leaders, members_of_groups, state_only


def test_sizes_that_fit() -> None:
    check_group_size(8, 4)
    check_group_size(4, 4)


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"group size is 1; expected at least 2.*agent.algorithm.group_size"):
        check_group_size(8, 1)
    with pytest.raises(ValueError, match=r"10 environments do not divide into groups of 4. Use `--num_envs` 8 or 12"):
        check_group_size(10, 4)
    with pytest.raises(ValueError, match=r"Use `--num_envs` 8, or another `agent.algorithm.group_size`"):
        check_group_size(4, 8)


def test_members() -> None:
    assert members_of_groups([2, 0, 2], 12, 4) == [0, 1, 2, 3, 8, 9, 10, 11]
    assert members_of_groups([], 12, 4) == []
    with pytest.raises(ValueError, match="no group 3: 12 environments make groups 0 to 2"):
        members_of_groups([0, 3], 12, 4)
    with pytest.raises(ValueError, match="no group -1"):
        members_of_groups([-1], 12, 4)


def test_followers() -> None:
    assert followers_of_leaders([6, 1], 8, 4) == ([1, 1, 1, 6, 6, 6], [0, 2, 3, 4, 5, 7])
    assert followers_of_leaders([6, 6], 8, 4) == ([6, 6, 6], [4, 5, 7])
    with pytest.raises(ValueError, match="environments 4 and 6 are both of group 1"):
        followers_of_leaders([4, 6], 8, 4)
    with pytest.raises(ValueError, match="no environment 8 to lead: there are 8"):
        followers_of_leaders([8], 8, 4)


def test_vouching_keeps_the_function() -> None:
    @state_only
    def event() -> int:
        return 3

    assert event() == 3
    assert event.state_only
