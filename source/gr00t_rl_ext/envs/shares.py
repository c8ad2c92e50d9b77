# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Alternatives, of which each environment has one in its episode, by shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

TIE = 1e-6
"""Rounding of shares."""


class Shares:
    """Names, and how the environments are shared between them.

    An environment that begins an episode takes the name of which there are fewest, compared with how many there should
    be. So the share of each in the control steps is its weight, however long its episodes are, and environments keep
    theirs where the numbers divide. Where they do not, how many there should be is rounded up or down at random, so
    that a small weight has its share as well. torch's generator, which the environment seeds, decides.

    Args:
        names: The alternatives, K.
        weights: Share of each; None: all alike.
    """

    def __init__(self, names: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        self.names = tuple(names)
        self._offset, self._chosen = 0.0, 0
        self.set_weights(dict.fromkeys(self.names, 1.0) if weights is None else weights)

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Change the shares, for episodes that begin from now on.

        Args:
            weights: Name -> weight, at least 0 and not all 0; they are divided by their sum.

        Raises:
            ValueError: A name or a weight is not possible.
        """
        if set(weights) != set(self.names):
            raise ValueError(f"Weights are of {', '.join(weights) or 'nothing'}; expected of {', '.join(self.names)}.")
        values = torch.tensor([float(weights[name]) for name in self.names])
        if not bool(torch.isfinite(values).all()) or bool((values < 0).any()) or float(values.sum()) <= 0:
            raise ValueError(f"The weights are {dict(weights)}; expected numbers of at least 0, not all of them 0.")
        self.weights = values / values.sum()
        """Share of each, (K,), sum 1. On the CPU."""

    def choose(self, current: torch.Tensor, env_ids: torch.Tensor, group_size: int = 1) -> dict[int, int]:
        """Choose for groups of environments that begin an episode.

        Args:
            current: Number of the alternative of each environment, (num_envs,).
            env_ids: Those that begin, (n,).
            group_size: Neighbours that get the same, as members of a group do.

        Returns:
            Group -> number of its alternative.
        """
        leaving = torch.unique(torch.div(env_ids, group_size, rounding_mode="floor")).tolist()
        of_group = current[::group_size].tolist()
        counts = torch.zeros(len(self.names))
        for group in set(range(len(of_group))).difference(leaving):
            counts[of_group[group]] += 1
        self._chosen += len(leaving)
        if self._chosen >= len(of_group):
            # kept for as many choices as there are groups: else small weights would be left less often than reached
            self._offset, self._chosen = float(torch.rand(())), 0
        wanted, chosen = self._rounded(len(of_group)), {}
        for group in leaving:
            missing = torch.where(self.weights > 0, wanted - counts, -torch.inf)
            number = at_random((missing == missing.max()).nonzero()[:, 0].tolist())
            counts[number] += 1
            chosen[group] = number
        return chosen

    def _rounded(self, count: int) -> torch.Tensor:
        """How many of ``count`` each should be, (K,), whole numbers that add up to it, the weights on average
        (systematic sampling)."""
        ends = (self.weights.double() * count).cumsum(0)
        ends[-1] = count
        reached = (ends + self._offset).floor()
        is_whole = (ends - ends.round()).abs() < TIE
        reached[is_whole] = ends.round()[is_whole]
        return reached.diff(prepend=reached.new_zeros(1)).float()


def at_random(choices: Sequence[int]) -> int:
    """One of some numbers, by torch's generator, which is not asked where there is one number."""
    return choices[0] if len(choices) == 1 else choices[int(torch.randint(len(choices), ()))]
