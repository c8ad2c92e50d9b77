# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors as event terms of a task's config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isaaclab.managers import EventTermCfg
from isaaclab.utils import configclass
from isaaclab_tasks.utils import PresetCfg

from gr00t_rl_ext.randomisation import FACTORS, class_path, event_name


@configclass
class EventsCfg:
    """Events of a task that has no others."""


def randomise(cfg: Any, strengths: Mapping[str, float]) -> None:
    """Let an environment draw factors when an episode begins.

    Args:
        cfg: Its config. Factors that it has already get another strength.
        strengths: Name of a factor -> its strength.
    """
    for factor, strength in strengths.items():
        func: Any = class_path(factor)
        add_event(cfg, event_name(factor), EventTermCfg(func=func, mode="reset", params={"strength": strength}))


def strengths_of(cfg: Any) -> dict[str, float]:
    """Factor -> strength of those that an environment draws by its config, whose presets are chosen."""
    events = {} if cfg.events is None else vars(cfg.events)
    terms = {factor: events.get(event_name(factor)) for factor in FACTORS}
    drawn = {factor: float(term.params["strength"]) for factor, term in terms.items() if term is not None}
    return {factor: strength for factor, strength in drawn.items() if strength}


def add_event(cfg: Any, name: str, term: EventTermCfg) -> None:
    """Add an event to the config of an environment, after the others, which reset the scene."""
    if cfg.events is None:
        cfg.events = EventsCfg()
    # where a choice of presets is still to be made, in each of them
    all_events = vars(cfg.events).values() if isinstance(cfg.events, PresetCfg) else [cfg.events]
    for events in all_events:
        setattr(events, name, term)
