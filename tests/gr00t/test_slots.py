# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Slots of embodiments in published checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gr00t_rl_ext.gr00t.slots import (
    EMBODIMENT_SLOTS,
    N1_6_SLOTS,
    N1_7_SLOTS,
    NVIDIA_N1_5_TAGS,
    published_slots,
    shown,
    slot_of,
)


def test_the_official_tags_of_n1_5():
    assert NVIDIA_N1_5_TAGS == {"new_embodiment": 31, "oxe_droid": 17, "agibot_genie1": 26, "gr1": 24}
    assert {tag: slot for tag, slot in EMBODIMENT_SLOTS.items() if tag not in NVIDIA_N1_5_TAGS} == {
        "isaaclab_franka": 31,
        "libero_franka": 31,
        "maniskill_widowx": 30,
    }


@pytest.mark.parametrize(
    ("file", "content", "slots"),
    [
        ("config.json", {"model_type": "gr00t_n1_5"}, EMBODIMENT_SLOTS),
        ("config.json", {"model_type": "Gr00tN1d6"}, N1_6_SLOTS),
        ("config.json", {"model_type": "Gr00tN1d7"}, N1_7_SLOTS),
        ("processor_config.json", {"processor_class": "Gr00tN1d6Processor"}, N1_6_SLOTS),
        ("processor_config.json", {"processor_class": "Gr00tN1d7Processor"}, N1_7_SLOTS),
        ("other.json", {}, EMBODIMENT_SLOTS),
    ],
)
def test_the_version_decides(tmp_path: Path, file: str, content: dict, slots: dict):
    (tmp_path / file).write_text(json.dumps(content))
    assert published_slots(tmp_path) == slots


def test_what_the_checkpoint_tells_comes_first(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "Gr00tN1d7"}))
    (tmp_path / "embodiment_id.json").write_text(json.dumps({"libero_sim": 9, "mine": 31}))
    slots = published_slots(tmp_path)
    assert slots == {**N1_7_SLOTS, "libero_sim": 9, "mine": 31}
    assert (slot_of("libero_sim", slots), slot_of("mine", slots), slot_of("gr1", slots)) == (9, 31, None)


def test_beginnings_of_tags():
    assert slot_of("real_r1_pro_sharpa_relative_eef", N1_7_SLOTS) == 26
    assert slot_of("robocasa_gr1_arms_only", N1_7_SLOTS) == 10
    assert slot_of("robocasa", N1_7_SLOTS) is None
    assert shown({"a": 1, "b_*": 2}) == "a: 1, b_*: 2"
    assert shown({}) == "none"
