# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options that every algorithm has, and checks of options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gr00t_rl_ext.algorithms.schedules import check_schedules

WHERE = "agent.algorithm"
"""The section of the agent's config."""

_OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")


@dataclass(frozen=True)
class OptimizationOptions:
    """Fields of ``agent.algorithm`` that do not depend on the algorithm; :mod:`~.configs` documents them.

    Raises:
        ValueError: An option has an impossible value, or two contradict each other.
    """

    learning_rate: float = 1.0e-5
    schedule: str = "fixed"
    gr00t_schedule: str | None = None
    desired_kl: float | None = None
    optimizer: str = "adam"
    adam_epsilon: float = 1.0e-5
    num_learning_epochs: int = 3
    num_mini_batches: int = 4
    gradient_accumulation_steps: int = 1
    use_mixed_precision: bool = False
    max_grad_norm: float = 1.0
    max_skipped_steps: int = 10
    clip_param: float = 0.1
    target_kl: float | None = 0.015
    kl_to_base_coef: float = 0.01
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm", "clip_param", "target_kl", "desired_kl"):
            self.require_positive(name)
        for name in ("num_learning_epochs", "num_mini_batches", "gradient_accumulation_steps", "max_skipped_steps"):
            self.require_count(name)
        for name in ("kl_to_base_coef", "entropy_coef"):
            self.require_not_negative(name)
        self.require_one_of("optimizer", _OPTIMIZERS)
        check_schedules(self.schedules(), self.desired_kl)
        if self.desired_kl is not None and "adaptive" not in self.schedules().values():
            raise ValueError(
                f"`{WHERE}.desired_kl` is {self.desired_kl}, which only the schedule 'adaptive' reads. Set"
                f" `{WHERE}.schedule=adaptive`, or leave it unset; `{WHERE}.target_kl` stops the epochs."
            )

    def require_positive(self, name: str) -> None:
        """A positive number, or None where a field may be."""
        value: Any = getattr(self, name)
        if value is not None and not 0.0 < value < math.inf:
            raise ValueError(f"`{WHERE}.{name}` is {value}; expected a positive number.")

    def require_not_negative(self, name: str) -> None:
        """A weight or a number of iterations, where 0 means off."""
        value: Any = getattr(self, name)
        if not 0.0 <= value < math.inf:
            raise ValueError(f"`{WHERE}.{name}` is {value}; expected 0 (off) or more.")

    def require_count(self, name: str, at_least: int = 1) -> None:
        """An integer."""
        value: Any = getattr(self, name)
        if value < at_least or value != int(value):
            raise ValueError(f"`{WHERE}.{name}` is {value}; expected an integer of at least {at_least}.")

    def require_one_of(self, name: str, choices: tuple[str, ...]) -> None:
        """One of some words."""
        value: Any = getattr(self, name)
        if value.lower() not in choices:
            raise ValueError(f"`{WHERE}.{name}` is {value!r}; expected one of {', '.join(choices)}.")

    def schedules(self) -> dict[str, str]:
        """Schedule of the learning rate of each group of parameters; ``gr00t`` stands for every part of GR00T."""
        return {
            "actor": self.schedule,
            "gr00t": self.schedule if self.gr00t_schedule is None else self.gr00t_schedule,
        }

    def for_estimate(self, num_envs: int) -> dict[str, Any]:
        """Fields to change for an iteration that only estimates memory, with some other number of environments."""
        # a run of one iteration has no schedule
        fixed = {"schedule": "fixed", "gr00t_schedule": "fixed", "desired_kl": None}
        return {"num_mini_batches": 1, "num_learning_epochs": 1, **fixed}
