# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options of GRPO, and which of them contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gr00t_rl_ext.algorithms.group_advantages import DECISION_WEIGHTS
from gr00t_rl_ext.algorithms.optimization_options import WHERE, OptimizationOptions

OUTCOMES = ("success", "return")
BASELINES = ("group_relative", "mean_only", "leave_one_out", "running")
NORMALIZATIONS = ("none", "rollout", "mini_batch")


@dataclass(frozen=True)
class GrpoOptions(OptimizationOptions):
    """The fields of ``agent.algorithm``; :class:`~.configs.Gr00tGrpoAlgorithmCfg` documents them.

    Raises:
        ValueError: An option has an impossible value, or two contradict each other.
    """

    clip_param: float = 0.2
    clip_high: float | None = 0.28
    target_kl: float | None = 0.05
    group_size: int = 8
    num_rounds: int = 1
    max_resamples: int = 1
    success_range: tuple[float, float] | None = None
    segment_length: int | None = None
    outcome: str = "success"
    baseline: str = "group_relative"
    baseline_momentum: float = 0.9
    std_floor: float = 1.0e-4
    advantage_normalization: str = "none"
    decision_weights: str = "episode"
    signal_patience: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("clip_high", "std_floor"):
            self.require_positive(name)
        for name in ("num_rounds", "signal_patience"):
            self.require_count(name)
        self.require_count("group_size", at_least=2)
        self.require_count("max_resamples", at_least=0)
        if self.segment_length is not None:
            self.require_count("segment_length")
        for name, choices in (
            ("outcome", OUTCOMES),
            ("baseline", BASELINES),
            ("advantage_normalization", NORMALIZATIONS),
            ("decision_weights", tuple(DECISION_WEIGHTS)),
        ):
            self.require_one_of(name, choices)
        if not 0.0 <= self.baseline_momentum < 1.0:
            raise ValueError(f"`{WHERE}.baseline_momentum` is {self.baseline_momentum}; expected a number in [0, 1).")
        if self.success_range is not None:
            low, high = self.success_range
            if not 0.0 <= low < high <= 1.0:
                raise ValueError(
                    f"`{WHERE}.success_range` is {list(self.success_range)}; expected two rising numbers in [0, 1],"
                    " such as [0.1, 0.9], or null."
                )
        if self.baseline == "running" and self.max_resamples and self.success_range is None:
            raise ValueError(
                f"`{WHERE}.baseline` is 'running', for which groups with equal outcomes have a signal as well, so that"
                f" there is nothing to resample. Set `{WHERE}.max_resamples=0`, or `{WHERE}.success_range`."
            )

    def check_rollout(self, num_steps: int) -> None:
        """Check that the rollout divides into segments.

        Args:
            num_steps: Decisions per environment and rollout.

        Raises:
            ValueError: It does not.
        """
        if self.segment_length is not None and num_steps % self.segment_length:
            raise ValueError(
                f"`{WHERE}.segment_length` is {self.segment_length}, but `agent.num_steps_per_env` is {num_steps}"
                " decisions, which is no multiple of it. Change one of them."
            )

    def for_estimate(self, num_envs: int) -> dict[str, Any]:
        """Fields to change for an iteration that only estimates memory, with some other number of environments."""
        return super().for_estimate(num_envs) | {"group_size": num_envs, "segment_length": None}
