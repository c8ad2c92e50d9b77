# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Overrides of configs, ``agent.algorithm.gamma=0.98``: whether they name what exists, and their values."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from typing import Any


def check_override_paths(overrides: Sequence[str], env_cfg: Any, agent_cfg: Any) -> None:
    """Check that every overridden field exists. Isaac Lab 3.0 sets an unknown one, and nobody reads it.

    Raises:
        ValueError: One does not, or gets a value of another kind than its default.
    """
    for item in overrides:
        path = item.lstrip("+~").partition("=")[0]
        parents, node = [], {"env": env_cfg, "agent": agent_cfg}
        for name in path.split("."):
            fields = _fields(node)
            known = [key for key in fields if not key.startswith("_")]
            if name not in known:
                similar = difflib.get_close_matches(name, known, n=3)
                hint = f" Similar: {', '.join(similar)}." if similar else ""
                raise ValueError(
                    f"The override {item!r} names a field that does not exist: {'.'.join(parents) or 'the task'} has no"
                    f" {name!r}.{hint} It has: {', '.join(sorted(known))}."
                )
            parents.append(name)
            node = fields[name]
        _check_type(item, path, node)


def _fields(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, dict) else getattr(node, "__dict__", {})


def _check_type(item: str, path: str, default: Any) -> None:
    """Check that an override's value has the kind of the default. Isaac Lab 3.0 takes any."""
    text = item.partition("=")[2]
    try:
        value = {"true": True, "false": False, "null": None, "none": None}.get(text.lower(), text)
        value = ast.literal_eval(text) if value is text else value
    except (ValueError, SyntaxError):
        value = text
    kinds = ((bool, "true or false"), ((int, float), "a number"), ((list, tuple), "a list, such as [rgb,state]"))
    for kind, name in kinds:
        if isinstance(default, kind):
            if value is not None and (not isinstance(value, kind) or (kind is not bool and value is True)):
                raise ValueError(
                    f"The override {item!r} does not fit: {path} takes {name} (default: {default}), got {text!r}."
                )
            return


def override_values(overrides: Sequence[str], env_cfg: Any, agent_cfg: Any) -> dict[str, Any]:
    """Nested values of overrides, spelt as for Hydra. A field that holds a text takes what is written, as it is.

    Raises:
        ValueError: One cannot be read.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    result: Any = OmegaConf.create()
    for item in overrides:
        path, _, text = item.lstrip("+~").partition("=")
        default: Any = {"env": env_cfg, "agent": agent_cfg}
        for name in path.split("."):
            default = _fields(default).get(name)
        try:
            if isinstance(default, str):
                quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
                # in OmegaConf, ${...} would refer to another field
                plain = (text[1:-1] if quoted else text).replace("${", "\\${")
                OmegaConf.update(result, path, plain, force_add=True)
            else:
                result.merge_with_dotlist([f"{path}={text}"])
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            raise ValueError(f"The override {item!r} cannot be read: {error}") from error
    return OmegaConf.to_container(result, resolve=True)  # type: ignore[return-value]


def paths_of(values: Any, path: str = "") -> list[tuple[str, Any]]:
    """Fields that nested values set, as the command line names them, and their values."""
    if not isinstance(values, dict):
        return [(path, values)]
    return [found for name, value in values.items() for found in paths_of(value, f"{path}.{name}" if path else name)]


def set_values(node: Any, values: Mapping[str, Any]) -> None:
    """Set fields of a config, which exist, to nested values."""
    for name, value in values.items():
        current = _fields(node)[name]
        if isinstance(value, dict) and _fields(current):
            set_values(current, value)
        elif isinstance(node, dict):
            node[name] = value
        else:
            setattr(node, name, tuple(value) if isinstance(current, tuple) else value)
