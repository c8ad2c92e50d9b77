# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Says in words when groups have nothing to tell."""

from __future__ import annotations

from collections.abc import Mapping


class SignalWatch:
    """Counts the iterations in a row in which all members of every group came out equal.

    Args:
        patience: Iterations without a signal before it says so; then again after as many.
        outcome: What members are compared by, ``success`` or ``return``.
    """

    def __init__(self, patience: int, outcome: str) -> None:
        self._patience, self._outcome = patience, outcome
        self.without = 0
        """Iterations in a row."""

    def watch(self, health: Mapping[str, float]) -> None:
        """Take in an iteration's metrics, and print a warning if it is time for one.

        Args:
            health: ``grpo/kept_groups`` and ``grpo/mean_reward``.
        """
        if health["grpo/kept_groups"] > 0:
            self.without = 0
            return
        self.without += 1
        if self.without % self._patience == 0:
            print(self._warning(health["grpo/mean_reward"]))

    def _warning(self, mean: float) -> str:
        begin = (
            f"WARNING: nothing was learnt for {self.without} iterations: in every group all members came out equal"
            f" (mean {self._outcome} {mean:.3g})."
        )
        if self._outcome == "success" and mean >= 0.5:
            return (
                f"{begin} The policy solves what it is given. Stop here, or make the initial states harder, e.g. by"
                " wider ranges of the task's reset events."
            )
        remedies = (
            " Explore more (`agent.actor.distribution_cfg.init_std`, `agent.actor.flow.noise_level`), enlarge groups"
            " (`agent.algorithm.group_size`), or begin with a policy that succeeds now and then, by supervised"
            " fine-tuning on more demonstrations."
        )
        if self._outcome == "success":
            return (
                f"{begin} The policy hardly ever succeeds, so that there is nothing to reinforce.{remedies} With"
                " `agent.algorithm.outcome=return` groups are compared by the task's dense rewards."
            )
        return f"{begin} Its reward hardly depends on what the policy does; check the reward terms.{remedies}"
