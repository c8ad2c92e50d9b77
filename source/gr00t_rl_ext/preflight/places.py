# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where a user wrote what a finding is about, as far as those who read it tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LOCATORS: dict[str, Callable[[Any, str], str]] = {}
"""By name: config of the environment, subject of a finding -> where it is written, or an empty text."""


def where(env_cfg: Any, subject: str) -> str:
    """Where the subject of a finding is written, such as ``'reach.yaml', line 5``; empty where nobody knows."""
    return next((found for locate in LOCATORS.values() if (found := locate(env_cfg, subject))), "")
