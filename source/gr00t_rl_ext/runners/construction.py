# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The runner that an agent asks for."""

from __future__ import annotations

import copy
from typing import Any

from isaaclab_rl.rsl_rl import check_rsl_rl_version, create_rsl_rl_runner, handle_deprecated_rsl_rl_cfg
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from rsl_rl.utils import resolve_callable


def for_installed_rsl_rl(agent_cfg: Any) -> Any:
    """A copy of an agent's config without the fields that are of other versions of rsl_rl, which refuses them."""
    return handle_deprecated_rsl_rl_cfg(copy.deepcopy(agent_cfg), check_rsl_rl_version())


def make_runner(env: VecEnv, agent_cfg: Any, log_dir: str | None = None) -> OnPolicyRunner:
    """Make the runner that the agent's algorithm names in ``RUNNER``, else the one that the agent names.

    Args:
        env: The environment.
        agent_cfg: The agent's config, as :func:`for_installed_rsl_rl` or Isaac Lab's commands leave it.
        log_dir: Where logs and checkpoints go; None: nowhere.
    """
    algorithm: Any = resolve_callable(agent_cfg.algorithm.class_name)
    name = getattr(algorithm, "RUNNER", None)
    if name is None:
        return create_rsl_rl_runner(env, agent_cfg, log_dir=log_dir)  # type: ignore[return-value]
    runner: Any = resolve_callable(name)
    return runner(env, agent_cfg.to_dict(), log_dir=log_dir, device=agent_cfg.device)
