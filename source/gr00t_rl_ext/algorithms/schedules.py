# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Learning rates over the iterations of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer

SCHEDULES = {
    "fixed": "the initial rate throughout",
    "linear": "from the initial rate to 0 at the end of the run",
    "adaptive": "lower while updates move the policy more than `desired_kl`, higher while they move it less",
}
"""Name -> what it does."""

FIELDS = {
    "actor": "agent.algorithm.schedule",
    "critic": "agent.algorithm.critic_schedule",
    "gr00t": "agent.algorithm.gr00t_schedule",
}
"""Key of the schedules -> the field it comes from."""

STEP = 1.5
"""The adaptive schedule divides or multiplies the rate by this."""

MAX_FACTOR = 100.0
"""The adaptive schedule keeps the rate between 1/100 and 100 times the initial one."""

MAX_RATE = 1.0e-2
"""The adaptive schedule raises no rate beyond this, rsl_rl's bound: with a rate of 0.1 small networks fall apart."""


class LearningRates:
    """Owns the learning rates of an optimizer's parameter groups, each of which has a ``name`` of its own.

    * ``fixed``: the initial rate.
    * ``linear``: ``initial * (1 - i / total)`` in iteration i ("37 implementation details of PPO", learning rate
      annealing).
    * ``adaptive``: rsl_rl's rule. A mini-batch whose KL is above twice ``desired_kl`` divides the rate by 1.5; one
      below half of it, but above 0, multiplies it by 1.5. rsl_rl's lower bound, 1e-5, would raise the 5e-6 that
      vision-language-action models are fine-tuned with, so there is none.

    A rate is the initial one, which is the config's, times a factor that follows from the iteration or was adapted.
    Loading a state restores the factor, so that a run may be resumed with another ``learning_rate``.

    Another factor is the warm-up of every group but ``critic``: from 1/W to 1 over the first W optimizer steps of the
    group in which the policy trains. Without it the first steps of Adam, which divides by a mean of few gradients, are
    as large as the rate in every weight (Ma and Yarats 2021, arXiv 1910.04209). While any group warms up, ``adaptive``
    raises no rate: a small KL is then the warm-up's.

    Args:
        optimizer: Its groups' current rates are the initial ones.
        schedules: Schedules of ``actor``, ``critic`` and ``gr00t``, as :func:`check_schedules` lets them pass. The last
            is that of all other groups.
        total_iterations: Iterations of the run. None: unknown.
        desired_kl: What ``adaptive`` aims at.
        warmup_steps: W. 0: no warm-up.

    Raises:
        ValueError: A linear schedule lacks the length of the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedules: Mapping[str, str],
        *,
        total_iterations: int | None,
        desired_kl: float | None,
        warmup_steps: int = 0,
    ) -> None:
        for key, schedule in schedules.items():
            if schedule == "linear" and (total_iterations is None or total_iterations <= 0):
                raise ValueError(
                    f"`{FIELDS[key]}` is 'linear', which needs the number of iterations of the run,"
                    f" `agent.max_iterations`; that is {total_iterations}. Expected 1 or more."
                )
        self._optimizer = optimizer
        self._schedules = dict(schedules)
        self._max_iterations, self._desired_kl, self._warmup_steps = total_iterations, desired_kl, warmup_steps
        self._iteration = 0
        self.total_iterations = total_iterations
        """Iterations of the run, those before a resume included. None: unknown."""

        self._initial: dict[str, float] = {}
        self._factors: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        """Optimizer steps of a group in which the policy trained."""
        for group in optimizer.param_groups:
            self._register(group)
        self._apply()

    def _register(self, group: dict[str, Any]) -> None:
        name = group["name"]
        assert name not in self._initial, f"two parameter groups are named {name!r}"
        self._initial[name], self._factors[name], self._steps[name] = group["lr"], 1.0, 0

    def schedule(self, name: str) -> str:
        """Schedule of a parameter group."""
        return self._schedules[name if name in self._schedules else "gr00t"]

    @property
    def is_adaptive(self) -> bool:
        """Whether :meth:`adapt` may change anything."""
        return any(self.schedule(name) == "adaptive" for name in self._initial)

    @property
    def current(self) -> dict[str, float]:
        """Name of a parameter group -> its learning rate."""
        return {group["name"]: group["lr"] for group in self._optimizer.param_groups}

    def add_group(self, group: dict[str, Any]) -> None:
        """Add ``params``, ``lr`` (the initial rate) and ``name`` to the optimizer, as a group that joins the schedule
        where it is: a linear one has annealed so far, an adaptive one begins at the initial rate."""
        self._optimizer.add_param_group(group)
        self._register(self._optimizer.param_groups[-1])
        self._apply()

    def start_iteration(self, iteration: int) -> None:
        """Set the rates of an iteration, counted from 0.

        Raises:
            ValueError: The run is over for a linear schedule, whose rate would be 0.
        """
        linear = [name for name in self._initial if self.schedule(name) == "linear"]
        if linear and iteration >= self.total_iterations:  # type: ignore[operator]
            raise ValueError(
                f"The linear schedule of {', '.join(linear)} reached a learning rate of 0 after"
                f" {self.total_iterations} iterations, and iteration {iteration} (counted from 0) is to start. Raise"
                " `agent.max_iterations`, or choose another schedule."
            )
        self._iteration = iteration
        self._apply()

    def adapt(self, kl: float) -> None:
        """Adapt the rates of ``adaptive`` groups to the KL between the rollout's policy and the current one.

        Args:
            kl: Mean over a mini-batch; over all processes, which must not come to different rates. NaN changes nothing.
        """
        desired_kl = self._desired_kl
        if desired_kl is None:
            return
        warming_up = any(self._warmup(name) < 1.0 for name in self._factors)
        for name, factor in self._factors.items():
            if self.schedule(name) != "adaptive":
                continue
            if kl > 2.0 * desired_kl:
                self._factors[name] = max(1.0 / MAX_FACTOR, factor / STEP)
            elif 0.0 < kl < desired_kl / 2.0 and not warming_up:
                largest = max(1.0, min(MAX_FACTOR, MAX_RATE / self._initial[name]))
                self._factors[name] = min(largest, factor * STEP)
        self._apply()

    def count_step(self) -> None:
        """Tell of an optimizer step in which the policy trained; the rates are then those of the next one."""
        for name in self._steps:
            self._steps[name] += 1
        self._apply()

    def _apply(self) -> None:
        for group in self._optimizer.param_groups:
            name = group["name"]
            group["lr"] = self._initial[name] * self._factor(name) * self._warmup(name)

    def _warmup(self, name: str) -> float:
        if name == "critic" or self._steps[name] >= self._warmup_steps:
            return 1.0
        return (self._steps[name] + 1) / self._warmup_steps

    def _factor(self, name: str) -> float:
        schedule = self.schedule(name)
        if schedule == "linear":
            assert self.total_iterations is not None
            return max(0.0, 1.0 - self._iteration / self.total_iterations)
        return self._factors[name] if schedule == "adaptive" else 1.0

    def state_dict(self) -> dict[str, Any]:
        """The iteration, the adapted factors, and the steps of each group."""
        return {"iteration": self._iteration, "factors": dict(self._factors), "steps": dict(self._steps)}

    def load_state_dict(self, state: dict[str, Any], iterations_done: int, *, with_optimizer: bool = True) -> None:
        """Go on from a saved state, after the optimizer's own was loaded: that holds the rates it was saved with.

        Args:
            state: From :meth:`state_dict`.
            iterations_done: Iterations before this run, which the constructor's ``total_iterations`` does not count.
            with_optimizer: Whether the optimizer's state was loaded. Else it begins anew, and so does the warm-up.
        """
        if self._max_iterations is not None:
            self.total_iterations = self._max_iterations + iterations_done
        for name in self._factors:
            self._factors[name] = state["factors"].get(name, 1.0)
        if with_optimizer:
            # a checkpoint of version 0.1 tells no steps: its warm-up is over
            self._steps = {name: state.get("steps", {}).get(name, self._warmup_steps) for name in self._steps}
        # not start_iteration: the run may be over, and the policy loaded to look at it
        self._iteration = state["iteration"]
        self._apply()


def check_schedules(schedules: Mapping[str, str], desired_kl: float | None) -> None:
    """Check schedules by the names of :data:`FIELDS`, as far as the length of the run does not matter.

    Raises:
        ValueError: One is unknown, or lacks what it needs.
    """
    for key, schedule in schedules.items():
        if schedule not in SCHEDULES:
            available = "; ".join(f"'{name}' ({what})" for name, what in SCHEDULES.items())
            raise ValueError(f"`{FIELDS[key]}` is {schedule!r}. Available are {available}.")
        if schedule == "adaptive" and (desired_kl is None or desired_kl <= 0):
            raise ValueError(
                f"`{FIELDS[key]}` is 'adaptive', which needs `agent.algorithm.desired_kl`; that is {desired_kl}."
                " Expected a positive number such as 0.01, the KL that a mini-batch should show."
            )
