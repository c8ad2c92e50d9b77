# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An agent's config for the runner of the rsl_rl that is installed."""

from __future__ import annotations

import copy
from typing import Any

from isaaclab_rl.rsl_rl import check_rsl_rl_version, handle_deprecated_rsl_rl_cfg


def for_installed_rsl_rl(agent_cfg: Any) -> Any:
    """A copy of an agent's config without the fields that are of other versions of rsl_rl, which refuses them."""
    return handle_deprecated_rsl_rl_cfg(copy.deepcopy(agent_cfg), check_rsl_rl_version())
