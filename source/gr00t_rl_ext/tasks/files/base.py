# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Base tasks of Isaac Lab, with managers or direct."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from isaaclab.envs import DirectRLEnvCfg
from isaaclab.utils import configclass
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.utils import PresetCfg, load_cfg_from_registry, preset

from gr00t_rl_ext.tasks.files.reading import similar
from gr00t_rl_ext.tasks.physics import default_physics


@configclass
class _PhysicsCfg(PresetCfg):
    """Physics of a task for Isaac Sim's PhysX."""

    isaacsim_physx: PhysxCfg = PhysxCfg()
    ovphysx: OvPhysxCfg = OvPhysxCfg()
    default: Any = isaacsim_physx


class UnknownBaseError(ValueError):
    """There is no such task, or it is of a kind that files are not for."""


def base_cfg(base: str) -> Any:
    """A new config of a task.

    Raises:
        UnknownBaseError: It cannot be a base.
    """
    import gymnasium as gym
    import isaaclab_tasks  # noqa: F401  registers Isaac Lab's own tasks

    tasks = sorted(name for name, spec in gym.registry.items() if "env_cfg_entry_point" in (spec.kwargs or {}))
    if base not in tasks:
        raise UnknownBaseError(f"there is no task {base!r}{similar(base, tasks)}. `isaaclab list_envs` shows all")
    # it prints where the config comes from
    with contextlib.redirect_stdout(io.StringIO()):
        cfg = load_cfg_from_registry(base, "env_cfg_entry_point")
    if isinstance(cfg, PresetCfg):
        raise UnknownBaseError(f"the config of {base!r} is a choice of presets, which a file cannot add to")
    parts = ("scene",) if isinstance(cfg, DirectRLEnvCfg) else ("observations", "terminations", "rewards", "scene")
    if missing := [name for name in parts if not hasattr(cfg, name)]:
        raise UnknownBaseError(
            f"{base!r} has no {', '.join(missing)}: task files are for tasks of one agent, with managers or direct"
        )
    if isinstance(cfg.scene, PresetCfg):
        raise UnknownBaseError(f"the scene of {base!r} is a choice of presets, which no camera can be added to")
    return cfg


def make_ready(cfg: Any) -> None:
    """Let a base task run where this package does, in any number of environments."""
    _choose_physics(cfg)
    # Newton demands it; PhysX without Isaac Sim populates only the first environment otherwise
    cfg.scene.replicate_physics = True
    if hasattr(cfg, "xr"):
        # teleoperation is no part of these tasks
        cfg.xr = None


def _choose_physics(cfg: Any) -> None:
    """Let what is installed be the default, where the task offers it: as physics, or as a whole simulation. A task for
    Isaac Sim's PhysX alone gets that without Isaac Sim as well."""
    if isinstance(physics := getattr(by_default(cfg.sim), "physics", None), PhysxCfg):
        by_default(cfg.sim).physics = _PhysicsCfg(isaacsim_physx=physics, default=physics)
    for part in (cfg.sim, getattr(by_default(cfg.sim), "physics", None)):
        if isinstance(part, PresetCfg) and (chosen := vars(part).get(default_physics())) is not None:
            part.default = chosen
    # what goes with it: steps of physics per action, and variants of USD files
    if isinstance(decimation := getattr(cfg, "decimation", None), PresetCfg):
        cfg.decimation = _with_default_physics(decimation)
    for part in vars(cfg.scene).values():
        variants = getattr(getattr(part, "spawn", None), "variants", None)
        if isinstance(variants, dict):
            for name, value in variants.items():
                if isinstance(value, PresetCfg):
                    variants[name] = _with_default_physics(value)


def _with_default_physics(part: PresetCfg) -> PresetCfg:
    """Presets of a plain value whose default is that of the installed physics. Another object, since Isaac Lab reads
    plain values from the class of presets."""
    fields = {name: value for name, value in vars(part).items() if not name.startswith("_")}
    if (chosen := fields.get(default_physics())) is None:
        return part
    # such defaults are those of Newton in Isaac Lab's tasks
    return preset(**{"newton_mjwarp": fields["default"], **fields, "default": chosen})


def by_default(part: Any) -> Any:
    """A part of a config, or the default of its presets."""
    while isinstance(part, PresetCfg):
        part = part.default
    return part
