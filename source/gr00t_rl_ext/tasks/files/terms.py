# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Functions of terms by name, and their arguments."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from isaaclab.managers import ManagerTermBase, SceneEntityCfg, TerminationTermCfg

from gr00t_rl_ext.tasks.files.reading import Source, similar


class Held(ManagerTermBase):
    """A termination that is true where another one was for some control steps without a break.

    Args:
        cfg: Its config. ``params`` has the other one, ``term``, a function, and ``seconds``.
        env: The environment.
    """

    state_buffers = ("_steps",)

    def __init__(self, cfg: TerminationTermCfg, env: Any) -> None:
        super().__init__(cfg, env)
        self._steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        self._least = control_steps(cfg.params["seconds"], env.step_dt)

    def reset(self, env_ids: Sequence[int] | slice | None = None) -> None:
        """Forget the steps of environments."""
        self._steps[slice(None) if env_ids is None else env_ids] = 0

    def __call__(self, env: Any, term: TerminationTermCfg, seconds: float) -> torch.Tensor:
        """Booleans of shape (num_envs,)."""
        func: Any = term.func
        self._steps = count_on(self._steps, func(env, **term.params))
        return self._steps >= self._least


def count_on(steps: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """For how many steps something has been true, one step later, (num_envs,)."""
    return torch.where(true.bool(), steps + 1, 0)


def control_steps(seconds: float, step_dt: float) -> int:
    """Least number of control steps that last some time, at least one."""
    return max(1, math.ceil(seconds / step_dt - 1e-6))


def check_hold(source: Source, cfg: Any) -> None:
    """Check that a success can be true for as long as it must.

    Raises:
        TaskFileError: It must be for longer than an episode.
    """
    if (seconds := source.task.success.hold_s) > cfg.episode_length_s:
        text = f"{seconds:g} s are more than an episode, {cfg.episode_length_s:g} s: it would never be solved"
        raise source.error(("success", "hold_s"), text)


def function(source: Source, cfg: Any, place: tuple[Any, ...], name: str) -> Any:
    """A function by name: of the base task's mdp, of Isaac Lab's, or as module:name."""
    module, _, attribute = name.rpartition(":")
    if module:
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            # whatever a module of the user raises
            text = f"{name!r} cannot be imported ({type(error).__name__}: {error})"
            raise source.error(place, text) from error
    known = list(_mdp_modules(cfg))
    for mdp in known:
        if (found := getattr(mdp, name, None)) is not None:
            return found
    names = sorted({entry for mdp in known for entry in dir(mdp) if not entry.startswith("_") and entry.islower()})
    raise source.error(
        place, f"no mdp of the base task or of Isaac Lab has {name!r}{similar(name, names)}. Others are module:name"
    )


def _mdp_modules(cfg: Any) -> Iterator[Any]:
    from isaaclab.envs import mdp

    for kind in type(cfg).__mro__:
        if (own := getattr(sys.modules.get(kind.__module__), "mdp", None)) is not None:
            yield own
    yield mdp


def params(source: Source, cfg: Any, place: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a term; mappings with an entity become parts of the scene."""
    made = {}
    for name, value in given.items():
        if isinstance(value, dict) and "entity" in value:
            entity = value["entity"]
            scene = [part for part, what in vars(cfg.scene).items() if hasattr(what, "prim_path")]
            if entity not in scene:
                text = f"the scene has no part {entity!r}{similar(str(entity), scene)}. It has: {', '.join(scene)}"
                raise source.error((*place, "params", name), text)
            rest = {key: inner for key, inner in value.items() if key != "entity"}
            try:
                value = SceneEntityCfg(entity, **rest)
            except TypeError as error:
                raise source.error((*place, "params", name), f"{error}") from error
        made[name] = value
    return made
