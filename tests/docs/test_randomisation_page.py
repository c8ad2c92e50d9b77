# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""docs/randomisation.md has the factors that there are, with their ranges."""

from __future__ import annotations

import re
from pathlib import Path

from gr00t_rl_ext.randomisation import RANGES

PAGE = (Path(__file__).parents[2] / "docs" / "randomisation.md").read_text()


def test_each_factor_has_its_row() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)) == RANGES
