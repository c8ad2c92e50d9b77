# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Functions of terms by name, and their arguments."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from isaaclab.managers import SceneEntityCfg

from gr00t_rl_ext.tasks.files.reading import Source, similar


def check_hold(source: Source, cfg: Any, place: tuple[str, ...], seconds: float) -> None:
    """Check that a success can be true for as long as it must.

    Args:
        source: The task file.
        cfg: The environment's config.
        place: Where the file has the success.
        seconds: How long it must be true.

    Raises:
        TaskFileError: It must be for longer than an episode.
    """
    if seconds > cfg.episode_length_s:
        text = f"{seconds:g} s are more than an episode, {cfg.episode_length_s:g} s: it would never be solved"
        raise source.error((*place, "hold_s"), text)


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


def expert_class(source: Source) -> Any:
    """The class of a file's expert, with the attributes that the file gives it.

    Raises:
        TaskFileError: There is no such class, or it has no such attribute.
    """
    expert, place = source.task.expert, ("expert",)
    if ":" not in expert.name:
        raise source.error((*place, "name"), f"{expert.name!r} is no class; expected module:name")
    found = function(source, None, (*place, "name"), expert.name)
    if not isinstance(found, type) or not hasattr(found, "action"):
        raise source.error((*place, "name"), f"{expert.name!r} is no expert: it is no class with the method `action`")
    known = [name for name in dir(found) if not name.startswith("_")]
    for name in expert.params:
        if name not in known:
            raise source.error((*place, "params", name), f"{found.__name__} has no {name!r}{similar(name, known)}")
    return type(found.__name__, (found,), {**expert.params, "__module__": found.__module__})


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
