# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options of PPO, and which of them contradict each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gr00t_rl_ext.algorithms.schedules import check_schedules

_WHERE = "agent.algorithm"
_OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")


@dataclass(frozen=True)
class PpoOptions:
    """The fields of ``agent.algorithm``; :class:`~.configs.Gr00tPpoAlgorithmCfg` documents them.

    Raises:
        ValueError: An option has an impossible value, or two contradict each other.
    """

    learning_rate: float = 1.0e-5
    critic_learning_rate: float | None = None
    schedule: str = "fixed"
    critic_schedule: str | None = None
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
    value_loss_coef: float = 1.0
    use_clipped_value_loss: bool = True
    huber_delta: float | None = None
    critic_warmup_iterations: int = 0
    gamma: float = 0.99
    lam: float = 0.95
    normalize_advantage_per_mini_batch: bool = False
    reward_normalization: bool = False
    reward_clip: float | None = None
    bootstrap_images: bool = False

    def __post_init__(self) -> None:
        for name in (
            *("learning_rate", "critic_learning_rate", "adam_epsilon", "max_grad_norm", "clip_param"),
            *("target_kl", "desired_kl", "huber_delta", "reward_clip"),
        ):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(f"`{_WHERE}.{name}` is {value}; expected a positive number.")
        for name in ("num_learning_epochs", "num_mini_batches", "gradient_accumulation_steps", "max_skipped_steps"):
            value = getattr(self, name)
            if value < 1 or value != int(value):
                raise ValueError(f"`{_WHERE}.{name}` is {value}; expected an integer of at least 1.")
        for name in ("kl_to_base_coef", "entropy_coef", "value_loss_coef", "critic_warmup_iterations"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"`{_WHERE}.{name}` is {value}; expected 0 (off) or more.")
        for name in ("gamma", "lam"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0 or (name == "gamma" and value == 0.0):
                raise ValueError(f"`{_WHERE}.{name}` is {value}; expected a number in (0, 1].")
        if self.optimizer.lower() not in _OPTIMIZERS:
            raise ValueError(f"`{_WHERE}.optimizer` is {self.optimizer!r}; expected one of {', '.join(_OPTIMIZERS)}.")
        if self.reward_clip is not None and not self.reward_normalization:
            raise ValueError(
                f"`{_WHERE}.reward_clip` is {self.reward_clip}, but `{_WHERE}.reward_normalization` is off: it clips"
                " normalised rewards. Switch that on, or leave it unset."
            )
        check_schedules(self.schedules(), self.desired_kl)
        if self.desired_kl is not None and "adaptive" not in self.schedules().values():
            raise ValueError(
                f"`{_WHERE}.desired_kl` is {self.desired_kl}, which only the schedule 'adaptive' reads. Set"
                f" `{_WHERE}.schedule=adaptive`, or leave it unset; `{_WHERE}.target_kl` stops the epochs."
            )

    def schedules(self) -> dict[str, str]:
        """Schedule of the learning rate of each group of parameters; ``gr00t`` stands for every part of GR00T."""
        return {
            "actor": self.schedule,
            "critic": self.schedule if self.critic_schedule is None else self.critic_schedule,
            "gr00t": self.schedule if self.gr00t_schedule is None else self.gr00t_schedule,
        }

    def for_rsl_rl(self) -> dict[str, Any]:
        """Arguments of rsl_rl's constructor: what its methods that we keep read."""
        names = (
            *("num_learning_epochs", "num_mini_batches", "clip_param", "gamma", "lam", "value_loss_coef"),
            *("entropy_coef", "learning_rate", "max_grad_norm", "use_clipped_value_loss", "use_mixed_precision"),
            "normalize_advantage_per_mini_batch",
        )
        # its own schedule and optimizer are never asked
        return {name: getattr(self, name) for name in names} | {"schedule": "fixed", "optimizer": self.optimizer}

    def check_rollout(self, num_envs: int, num_steps: int) -> None:
        """Check that the decisions of an iteration can be split into mini-batches.

        Raises:
            ValueError: They cannot.
        """
        num_decisions = num_envs * num_steps
        have = f"an iteration has {num_decisions} decisions ({num_envs} environments x {num_steps} per environment)"
        # advantages are divided by their standard deviation, which one decision does not have
        needed = max(2, (2 if self.normalize_advantage_per_mini_batch else 1) * self.num_mini_batches)
        if num_decisions < needed:
            raise ValueError(
                f"`{_WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}; expected at least {needed}. Raise"
                " `agent.num_steps_per_env` or `--num_envs`."
            )
        if num_decisions % self.num_mini_batches:
            divisors = [n for n in range(1, num_decisions // 2 + 1) if num_decisions % n == 0]
            near = sorted(divisors, key=lambda n: abs(n - self.num_mini_batches))[:2]
            raise ValueError(
                f"`{_WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}, which do not divide into that"
                f" many equal parts. Set it to {' or '.join(map(str, sorted(near)))}, or change"
                " `agent.num_steps_per_env` or `--num_envs`."
            )
