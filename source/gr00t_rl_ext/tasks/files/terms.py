# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Functions of terms by name, and their arguments."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

from isaaclab.managers import SceneEntityCfg

from gr00t_rl_ext.tasks.files.reading import Source, similar
from gr00t_rl_ext.tasks.files.schema import Term


def function(source: Source, cfg: Any, place: tuple[Any, ...], name: str) -> Any:
    """A function by name: of the base task's mdp, of Isaac Lab's, or as module:name."""
    module, _, attribute = name.rpartition(":")
    if module:
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise source.error(place, f"{name!r} cannot be imported: {error}") from error
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


def params(source: Source, cfg: Any, place: tuple[Any, ...], term: Term) -> dict[str, Any]:
    """Arguments of a term; mappings with an entity become parts of the scene."""
    made = {}
    for name, value in term.params.items():
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
