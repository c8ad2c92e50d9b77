# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Lists of names on a command line."""

from __future__ import annotations

import pytest

from gr00t_rl_ext.cli import arguments


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("agent.obs_groups.actor=[rgb,state]", "agent.obs_groups.actor=['rgb','state']"),
        ("+env.x=[ a , b_2 ]", "+env.x=['a','b_2']"),
        ("env.cameras=[front]", "env.cameras=['front']"),
        ("env.x=[true,name]", "env.x=[true,'name']"),
        ("env.image_size=[64,64]", "env.image_size=[64,64]"),
        ("env.x=['a','b']", "env.x=['a','b']"),
        ("env.x=name", "env.x=name"),
        ("env.x=[a,{b:1}]", "env.x=[a,{b:1}]"),
        ("--option", "--option"),
    ],
)
def test_names_in_lists_need_no_quotes(typed: str, read: str) -> None:
    assert arguments.with_quoted_names(typed) == read


@pytest.mark.parametrize("typed", ["agent.obs_groups.actor=[rgb,state]", "env.image_size=[64,64]", "env.x=it's"])
def test_what_is_shown_is_what_was_typed(typed: str) -> None:
    assert arguments.as_typed(arguments.with_quoted_names(typed)) == typed


def test_quotes_reach_isaac_labs_command_as_well() -> None:
    known = arguments.parse(["--task", "x", "agent.obs_groups.actor=[rgb,state]"], "train.py", "")
    assert known.overrides == ["agent.obs_groups.actor=['rgb','state']"]
    assert known.overrides[0] in known.forwarded
