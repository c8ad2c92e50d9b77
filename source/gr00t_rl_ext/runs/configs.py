# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config class of ``agent.checkpoints``, with the fields and checks of our options."""

from __future__ import annotations

from isaaclab.utils import configclass

from gr00t_rl_ext.runs.options import CheckpointOptions


@configclass
class CheckpointsCfg(CheckpointOptions):
    """Checkpoints; see :class:`~.options.CheckpointOptions`."""
