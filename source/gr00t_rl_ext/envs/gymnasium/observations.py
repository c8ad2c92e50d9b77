# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Observation groups out of the flattened observations of the environments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gr00t_rl_ext.envs.gymnasium.configs import ELAPSED_TIME, IMAGES, ColumnsCfg, GymnasiumEnvCfg, TermCfg


@dataclass(frozen=True)
class ObservationTerms:
    """What the groups consist of, under the names of Isaac Lab's observation manager."""

    active_terms: dict[str, list[str]]
    """Group -> names of its terms in order."""

    group_obs_term_dim: dict[str, list[tuple[int, ...]]]
    """Group -> shape of each term for one environment."""


@dataclass(frozen=True)
class ActionTerms:
    """What the action of a control step consists of, under the names of Isaac Lab's action manager."""

    active_terms: list[str]
    """Names of the terms in order."""

    action_term_dim: list[int]
    """Their widths."""


class ObservationGroups:
    """Observation groups of a task.

    Args:
        cfg: The task.
        entries: Entry of the environment's observation -> its columns in the flattened observation.

    Raises:
        ValueError: If a term reads an entry or columns that the observation does not have.
    """

    def __init__(self, cfg: GymnasiumEnvCfg, entries: Mapping[str, range]) -> None:
        columns = sum(len(entry) for entry in entries.values())
        self._entries = {**entries, ELAPSED_TIME: range(columns, columns + 1)}
        groups = cfg.groups or {"state": {name: TermCfg(key=name) for name in entries}}
        names: dict[str, list[str]] = {}
        shapes: dict[str, list[tuple[int, ...]]] = {}
        self._columns: dict[str, np.ndarray] = {}
        self._minus: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for group, terms in groups.items():
            columns, subtracted, names[group], shapes[group] = [], [], list(terms), []
            for name, term in terms.items():
                place = f"`groups.{group}.{name}`"
                taken = self._select(place, term)
                minus = [-1] * len(taken) if term.minus is None else self._select(f"{place}'s `minus`", term.minus)
                if len(minus) != len(taken):
                    raise ValueError(
                        f"{place} has {len(taken)} columns, but its `minus` has {len(minus)}. Expected as many."
                    )
                columns += taken
                subtracted += minus
                shapes[group].append((len(taken),))
            self._columns[group] = np.array(columns)
            differences = np.flatnonzero(np.array(subtracted) >= 0)
            self._minus[group] = differences, np.array(subtracted)[differences]
        if cfg.rgb:
            names[IMAGES] = list(cfg.cameras)
            shapes[IMAGES] = [(*cfg.image_size, 3)] * len(cfg.cameras)
        self.terms = ObservationTerms(names, shapes)

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
            flat: Flattened observations, and as the last column the elapsed time, float64 (num_envs, columns + 1).
        """
        values = flat[:, self._columns[group]]
        differences, minus = self._minus[group]
        if differences.size:
            values[:, differences] -= flat[:, minus]
        return torch.from_numpy(values.astype(np.float32))
