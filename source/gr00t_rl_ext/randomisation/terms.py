# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors as event terms of a task's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isaaclab.managers import EventTermCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from gr00t_rl_ext.randomisation import class_path, event_name


@configclass
class FactorsCfg:
    """Events of a task that has no others."""


def randomise(cfg: Any, strengths: Mapping[str, float]) -> None:
    """Let an environment draw factors when an episode begins.

    Args:
        cfg: Its config. Factors that it has already get another strength.
        strengths: Name of a factor -> its strength.
    """
    if strengths and cfg.events is None:
        cfg.events = FactorsCfg()
    # where a choice of presets is still to be made, in each of them
    all_events = vars(cfg.events).values() if isinstance(cfg.events, PresetCfg) else [cfg.events]
    for events in all_events:
        for factor, strength in strengths.items():
            # last, after what resets the scene
            func: Any = class_path(factor)
            term = EventTermCfg(func=func, mode="reset", params={"strength": strength})
            setattr(events, event_name(factor), term)
