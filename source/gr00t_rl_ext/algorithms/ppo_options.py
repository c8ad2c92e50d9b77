# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options of PPO, and which of them contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gr00t_rl_ext.algorithms.optimization_options import WHERE, OptimizationOptions


@dataclass(frozen=True)
class PpoOptions(OptimizationOptions):
    """The fields of ``agent.algorithm``; :class:`~.configs.Gr00tPpoAlgorithmCfg` documents them.

    Raises:
        ValueError: An option has an impossible value, or two contradict each other.
    """

    critic_learning_rate: float | None = None
    critic_schedule: str | None = None
    value_loss_coef: float = 1.0
    use_clipped_value_loss: bool = True
    huber_delta: float | None = None
    critic_warmup_iterations: int = 0
    gamma: float = 0.99
    lam: float = 0.95
    normalize_advantage_per_mini_batch: bool = False
    reward_normalization: bool = False
    reward_clip: float | None = None
    bootstrap_time_outs: bool = True
    bootstrap_images: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("critic_learning_rate", "huber_delta", "reward_clip"):
            self.require_positive(name)
        for name in ("value_loss_coef", "critic_warmup_iterations"):
            self.require_not_negative(name)
        for name in ("gamma", "lam"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0 or (name == "gamma" and value == 0.0):
                raise ValueError(f"`{WHERE}.{name}` is {value}; expected a number in (0, 1].")
        if self.reward_clip is not None and not self.reward_normalization:
            raise ValueError(
                f"`{WHERE}.reward_clip` is {self.reward_clip}, but `{WHERE}.reward_normalization` is off: it clips"
                " normalised rewards. Switch that on, or leave it unset."
            )
        if self.bootstrap_images and not self.bootstrap_time_outs:
            raise ValueError(
                f"`{WHERE}.bootstrap_images` is set, but `{WHERE}.bootstrap_time_outs` is off, so that no value of a"
                " time-out is computed. Switch that on, or leave bootstrap_images unset."
            )

    def schedules(self) -> dict[str, str]:
        """Schedule of the learning rate of each group of parameters; ``gr00t`` stands for every part of GR00T."""
        return super().schedules() | {"critic": self.schedule if self.critic_schedule is None else self.critic_schedule}

    def for_estimate(self, num_envs: int) -> dict[str, Any]:
        """Fields to change for an iteration that only estimates memory, with some other number of environments."""
        return super().for_estimate(num_envs) | {"critic_warmup_iterations": 0, "critic_schedule": "fixed"}

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
                f"`{WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}; expected at least {needed}. Raise"
                " `agent.num_steps_per_env` or `--num_envs`."
            )
        if num_decisions % self.num_mini_batches:
            divisors = [n for n in range(1, num_decisions // 2 + 1) if num_decisions % n == 0]
            near = sorted(divisors, key=lambda n: abs(n - self.num_mini_batches))[:2]
            raise ValueError(
                f"`{WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}, which do not divide into that"
                f" many equal parts. Set it to {' or '.join(map(str, sorted(near)))}, or change"
                " `agent.num_steps_per_env` or `--num_envs`."
            )
