# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Observation groups out of the flattened observations of the environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from gr00t_rl_ext.envs.gymnasium.configs import ELAPSED_TIME, IMAGES, ColumnsCfg, GymnasiumEnvCfg, TermCfg


class ActionTerms(NamedTuple):
    """What the action of a control step consists of, under the names of Isaac Lab's action manager."""

    active_terms: list[str]
    action_term_dim: list[int]


class ObservationGroups:
    """Observation groups of a task, with the names of Isaac Lab's observation manager.

    Args:
        cfg: The task.
        entries: Entry of the environment's observation -> its columns in the flattened observation.

    Raises:
        ValueError: If a term reads an entry or columns that the observation does not have.
    """

    active_terms: dict[str, list[str]]
    """Group -> names of its terms in order."""

    group_obs_term_dim: dict[str, list[tuple[int, ...]]]
    """Group -> shape of each term for one environment."""

    def __init__(self, cfg: GymnasiumEnvCfg, entries: Mapping[str, range]) -> None:
        columns = sum(len(entry) for entry in entries.values())
        self._entries = {**entries, ELAPSED_TIME: range(columns, columns + 1)}
        groups = cfg.groups or {"state": {name: TermCfg(key=name) for name in entries}}
        self.active_terms = {group: list(terms) for group, terms in groups.items()}
        self.group_obs_term_dim = {}
        self._columns: dict[str, np.ndarray] = {}
        self._units: dict[str, np.ndarray] = {}
        for group, terms in groups.items():
            taken, subtracted, shapes, units = [], [], [], []
            for name, term in terms.items():
                place = f"`groups.{group}.{name}`"
                own = self._select(place, term)
                nothing = [columns + 1] * len(own)
                minus = nothing if term.minus is None else self._select(f"{place}'s `minus`", term.minus)
                if len(minus) != len(own):
                    raise ValueError(
                        f"{place} has {len(own)} columns, but its `minus` has {len(minus)}. Expected as many."
                    )
                taken += own
                subtracted += minus
                shapes.append((len(own),))
                units += [(term.scale, term.offset)] * len(own)
            self.group_obs_term_dim[group] = shapes
            self._columns[group] = np.array([taken, subtracted], np.int64)
            self._units[group] = np.array(units).reshape(-1, 2).T
        if cfg.rgb:
            self.active_terms[IMAGES] = list(cfg.cameras)
            self.group_obs_term_dim[IMAGES] = [(*cfg.image_size, 3)] * len(cfg.cameras)

    def _select(self, place: str, term: ColumnsCfg) -> list[int]:
        if term.key not in self._entries:
            raise ValueError(
                f"{place} reads the entry {term.key!r}, which the environment's observation does not have. It has:"
                f" {', '.join(self._entries)}."
            )
        columns = self._entries[term.key]
        stop = len(columns) if term.stop is None else term.stop
        if not 0 <= term.start < stop <= len(columns):
            raise ValueError(
                f"{place} reads the columns {term.start} to {stop} of {term.key!r}, which has {len(columns)}."
            )
        return list(columns[term.start : stop])

    def vectors(self, group: str, flat: np.ndarray) -> torch.Tensor:
        """A group without images, float32 (num_envs, width).

        Args:
            group: Its name.
            flat: Flattened observations, the elapsed time and zeros as the last columns, float64
                (num_envs, columns + 2).
        """
        taken, subtracted = self._columns[group]
        scale, offset = self._units[group]
        return torch.from_numpy(((flat[:, taken] - flat[:, subtracted]) * scale + offset).astype(np.float32))
