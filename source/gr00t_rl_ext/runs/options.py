# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The fields of ``agent.checkpoints``."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_rl_ext.options import Requirements

WHERE = "agent.checkpoints"
"""The section of the agent's config."""


@dataclass
class CheckpointOptions:
    """When checkpoints are written besides every ``agent.save_interval`` iterations, and which are kept."""

    minutes: float | None = 10.0
    """A checkpoint is written after so many minutes without one, at the end of an iteration. None: by iterations
    alone."""

    keep_last: int | None = None
    """How many of the latest checkpoints of a run are kept. The best one is kept besides. None: all, or 5 where all
    would take more than 2 GB."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for values that are not possible."""
        requirements = Requirements(self, WHERE)
        requirements.positive("minutes")
        requirements.count("keep_last")
