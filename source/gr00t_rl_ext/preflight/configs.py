# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config class of ``agent.preflight``, with the fields and checks of our options."""

from __future__ import annotations

from isaaclab.utils import configclass

from gr00t_rl_ext.preflight.options import PreflightOptions


@configclass
class PreflightCfg(PreflightOptions):
    """What is tried before a run; see :class:`~.options.PreflightOptions`."""
