# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The fields of ``agent.preflight``."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_rl_ext.options import Requirements

WHERE = "agent.preflight"
"""The section of the agent's config."""


@dataclass
class PreflightOptions:
    """What is tried before a run. A run that goes on (``--resume``) tries nothing."""

    only: bool = False
    """Whether the run ends after the full check, before anything is trained (``--preflight``)."""

    decisions: int = 2
    """Random decisions, and then decisions of the policy, that are watched. 0: nothing is tried or checked."""

    episodes: int = 20
    """Episodes of the policy, as it is before training, in the full check."""

    full_above_minutes: float | None = 60.0
    """The full check is made before runs that take at least so long, by the time of the decisions watched. None:
    only by ``only``."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for values that are not possible."""
        requirements = Requirements(self, WHERE)
        requirements.count("decisions", at_least=0)
        requirements.count("episodes")
        requirements.positive("full_above_minutes")
        if self.only and not self.decisions:
            raise ValueError(
                f"`{WHERE}.only` is set, but `{WHERE}.decisions` is 0: nothing would be tried. Set it to 2."
            )
