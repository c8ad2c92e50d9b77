# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What all factors of randomisation have in common: draws, their strength, and what is done with them."""

from __future__ import annotations

import math
import zlib
from typing import Any, ClassVar

import numpy as np
import torch
from isaaclab.managers import EventTermCfg, ManagerTermBase
from torch import Tensor

from gr00t_rl_ext.randomisation import name_of


class Factor(ManagerTermBase):
    """Something of an environment that is drawn when an episode begins: an event term of the mode ``reset``.

    Draws come from a generator of their own, so that initial states are those of the task without it. They depend on
    the seed of the environments' latest reset and on the factor alone, not on its strength nor on the device.

    Args:
        cfg: Its config. ``params`` has the ``strength``: 0 leaves the task as it is, 1 is the whole range of
            :data:`gr00t_rl_ext.randomisation.RANGES`.
        env: The environment.

    Raises:
        ValueError: The strength is none, or the scene has nothing that could be drawn.
    """

    state_only: ClassVar[bool] = True
    """For groups of GRPO: their environment copies draws with the state, see :meth:`copy`."""

    always_applied: ClassVar[bool] = False
    """Whether the scene is written without a strength as well."""

    name: str
    """Of the factor, as in :data:`gr00t_rl_ext.randomisation.FACTORS`."""

    width: int
    """Numbers that an environment draws. Set before :meth:`__init__` of this class."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        super().__init__(cfg, env)
        self.name = name_of(type(self))
        self.strength = _checked(self.name, cfg.params["strength"])
        self._generator = torch.Generator()
        self.seed(env.cfg.seed or 0)
        self._draws = torch.zeros(env.num_envs, self.width, device=env.device)
        self._applied = False
        self.affected = False
        """Whether it has changed anything."""

    def seed(self, seed: int) -> None:
        """Draw from here on what belongs to a seed."""
        mixed = np.random.SeedSequence((seed % 2**32, zlib.crc32(self.name.encode())))
        self._generator.manual_seed(int(mixed.generate_state(1)[0]))

    def __call__(self, env: Any, env_ids: Any, strength: float) -> None:
        """Draw for environments whose episodes begin. The ``strength`` is that of the config, see
        :meth:`set_strength`."""
        ids = self._ids(env_ids)
        drawn = 2.0 * torch.rand(self._draws.shape, generator=self._generator) - 1.0
        # not in place: what a rollout leaves here is an inference tensor, which later resets may not write to
        draws = self._draws.clone()
        draws[ids] = drawn.to(draws.device)[ids]
        self._draws = draws
        self._begin(ids)
        self._apply_if_needed(ids)

    def set_strength(self, strength: float) -> None:
        """Scale what all environments have drawn, and what they will draw.

        Raises:
            ValueError: It is no strength.
        """
        self.strength = _checked(self.name, strength)
        self._apply_if_needed(self._ids(None))

    def copy(self, sources: Tensor, targets: Tensor) -> None:
        """Give environments ``targets`` what ``sources`` have drawn, both (n,)."""
        draws = self._draws.clone()
        draws[targets.long()] = draws[sources.long()]
        self._draws = draws
        self._apply_if_needed(targets.long())

    @property
    def amounts(self) -> Tensor:
        """Uniform in [-strength, strength], (num_envs, width)."""
        return self.strength * self._draws

    def _ids(self, env_ids: Any) -> Tensor:
        return torch.arange(self.num_envs, device=self.device)[slice(None) if env_ids is None else env_ids]

    def _apply_if_needed(self, ids: Tensor) -> None:
        if not len(ids):
            return
        if self.strength or self.always_applied:
            self._apply(ids)
            self._applied, self.affected = True, self.affected or type(self)._apply is not Factor._apply
        elif self._applied:
            # back to what it was, once: what else the task changes is left alone from here on
            self._apply(self._ids(None))
            self._applied = False

    # What factors do differently.

    def _begin(self, ids: Tensor) -> None:
        """Episodes of environments, (n,) int64, begin."""

    def _apply(self, ids: Tensor) -> None:
        """Bring the scene of environments, (n,) int64, in line with :attr:`amounts`."""

    def observe(self, group: str, values: Tensor) -> Tensor:
        """What is observed of a group instead of ``values``, (num_envs, ...)."""
        return values

    def act(self, actions: Tensor) -> Tensor:
        """What is executed in a control step instead of ``actions``, (num_envs, width)."""
        return actions


def _checked(name: str, strength: Any) -> float:
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0.0 <= strength < math.inf:
        raise ValueError(
            f"The strength of the factor {name} is {strength!r}; expected a finite number of at least 0, such as 1."
        )
    return float(strength)
