# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""No recipe and no task changes unnoticed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import golden_configs


def test_resolved_configs_are_the_golden_ones() -> None:
    expected = json.loads(golden_configs.FILE.read_text(encoding="utf-8"))
    found = json.loads(json.dumps(golden_configs.resolved()))
    assert found.keys() == expected.keys()
    differences = {
        f"{name} {field}": (expected[name].get(field, "absent"), found[name].get(field, "absent"))
        for name in found
        for field in found[name].keys() | expected[name].keys()
        if found[name].get(field, "absent") != expected[name].get(field, "absent")
    }
    assert differences == {}, "if that is meant: ./isaaclab.sh -p tests/tasks/golden_configs.py"
