# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The task of a run with its settings, as a command that goes on with the run needs them.

A run keeps the id of its task in ``run.json`` and the resolved configs in ``params/``. What differs there from the
task's own settings becomes overrides.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gr00t_rl_ext.cli.arguments import is_gymnasium
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.run_directory import model_file

_OF_THE_MACHINE = {
    *("num_envs", "num_workers", "seed", "device", "env_id", "task_file", "log_dir", "video_recorders"),
    *("prim_path", "spawn_path", "usd_path", "cooked_collider_cache_dir"),
}
"""Fields that a command line, the machine or the simulator fills in."""

_CLASS = re.compile(r"[\w.]+:[\w.<>]+")
"""How a config names a class or a function."""


@dataclass(frozen=True)
class RunSettings:
    """What a run was trained on."""

    checkpoint: Path
    """Its ``model_*.pt``."""

    task: str
    """As ``--task`` takes it."""

    agent: str
    """Name of the agent."""

    env: Mapping[str, Any]
    """The environment's config, ``params/env.yaml``."""

    obs_groups: Mapping[str, list[str]]
    """``agent.obs_groups``."""

    clip_actions: float | None
    """``agent.clip_actions``."""

    @classmethod
    def read(cls, run: Path) -> RunSettings:
        """Read them.

        Args:
            run: Directory of a run, or one of its ``model_*.pt``.

        Raises:
            UsageError: It is none, or lacks a file.
        """
        checkpoint = model_file(run)
        files = [checkpoint.parent / name for name in ("run.json", "params/env.yaml", "params/agent.yaml")]
        if missing := [str(file.relative_to(checkpoint.parent)) for file in files if not file.is_file()]:
            raise UsageError(
                f"{str(checkpoint.parent)!r} is no run of train.py: it has no {', '.join(missing)}, from which the task"
                " and its settings are taken. Give the directory of a run, or copy these files beside the checkpoint."
            )
        try:
            manifest = json.loads(files[0].read_text(encoding="utf-8"))
            env, agent = (_load(file.read_text(encoding="utf-8")) for file in files[1:])
            # the manifest has names without what stands before a colon
            task, file = f"gym:{env['env_id']}" if "env_id" in env else manifest["task"], env.get("task_file")
            name, groups = manifest["metadata"]["agent"], agent["obs_groups"]
            settings = cls(checkpoint, task, name, env, groups, agent.get("clip_actions"))
        except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise UsageError(
                f"The files of the run {str(checkpoint.parent)!r} cannot be read ({type(error).__name__}: {error})."
                " Copy them again from where the run was trained."
            ) from error
        if file is not None:
            from gr00t_rl_ext.tasks.files.registration import register_task

            # raises what names the file, where that is gone
            settings = dataclasses.replace(settings, task=register_task(file))
        return settings

    def overrides(self, agent: str, given: Sequence[str]) -> tuple[list[str], Any]:
        """What makes the task as it was in the run.

        Args:
            agent: Name of the agent.
            given: Overrides of the command line, which are kept.

        Returns:
            Further overrides, and the agent's config with those that are given.

        Raises:
            UsageError: The saved config differs in something that no override of a field restores.
            ValueError: Task, agent or what is given do not exist or do not fit.
        """
        found = [(f"agent.obs_groups.{name}", groups) for name, groups in self.obs_groups.items()]
        found += self._of_gymnasium() if is_gymnasium(self.task) else self._of_isaac_lab(agent, list(given))
        paths = {item.lstrip("+~").partition("=")[0] for item in given}
        # a table is merged with what is given for its entries
        kept = [(path, value) for path, value in found if path not in paths or isinstance(value, Mapping)]
        result = [f"{path}={_spelt(value)}" for path, value in kept]
        agent_cfg = self._agent(agent, [*result, *given])
        if "agent.clip_actions" not in paths and self.clip_actions != agent_cfg.clip_actions:
            result.append(f"agent.clip_actions={_spelt(self.clip_actions)}")
        return result, agent_cfg

    def _agent(self, agent: str, overrides: list[str]) -> Any:
        if is_gymnasium(self.task):
            from gr00t_rl_ext.tasks.gymnasium import resolution

            return resolution.resolve(self.task, agent, overrides)[1]
        from gr00t_rl_ext.cli import checks

        return checks.check_resolved(checks.find_task(self.task).id, agent, overrides)[1]

    def _of_gymnasium(self) -> list[tuple[str, Any]]:
        from gr00t_rl_ext.envs.gymnasium.tasks import task_cfg

        saved, now = self.env, task_cfg(self.task).to_dict()
        # as text: the order counts
        spelt = {name: (json.dumps(value), json.dumps(now.get(name))) for name, value in saved.items()}
        changed = [name for name, (then, here) in spelt.items() if name not in _OF_THE_MACHINE and then != here]
        found = [(f"env.{name}", saved[name]) for name in changed if name != "cameras"]
        if "cameras" in changed:
            known = now["cameras"]
            # a table changes cameras of the task and adds others, a list chooses
            if table := {name: camera for name, camera in saved["cameras"].items() if camera != known.get(name)}:
                found.append(("env.cameras", table))
            found.append(("env.cameras", list(saved["cameras"])))
        return found

    def _of_isaac_lab(self, agent: str, given: list[str]) -> list[tuple[str, Any]]:
        from isaaclab.utils import to_dict

        from gr00t_rl_ext.cli import checks

        spec = checks.find_task(self.task)
        checks.find_agent(spec, agent)
        checks.check_overrides(spec.id, agent, given)
        env_cfg, _ = checks.resolve_configs(spec.id, agent, given)
        found = list(_changes(self.env, _load(yaml.dump(to_dict(env_cfg))), "env"))
        if unknown := [path for path, value in found if value is _UNKNOWN]:
            shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
            raise UsageError(
                f"The run {str(self.checkpoint.parent)!r} had another {shown} than {self.task} has here, which"
                " params/env.yaml cannot restore. Append the overrides of its training, such as presets=small_cameras"
                " or physics=newton_mjwarp."
            )
        return found


_UNKNOWN = object()
"""In the place of a value that no override sets."""


def _changes(saved: Any, now: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Field -> its saved value, where that is another than now."""
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for name in saved:
            place = f"{path}.{name}"
            if name in _OF_THE_MACHINE:
                continue
            if name in now:
                yield from _changes(saved[name], now[name], place)
            else:
                yield place, _UNKNOWN
    elif _plain(saved) and _plain(now):
        if saved != now:
            yield path, saved
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        if any(True for one, other in zip(saved, now, strict=True) for _ in _changes(one, other, path)):
            yield path, _UNKNOWN
    elif saved != now:
        yield path, _UNKNOWN


def _plain(value: Any) -> bool:
    """Whether it is a value that an override can set: a number, a text that names no class, or a list of such."""
    if isinstance(value, list):
        return all(map(_plain, value))
    return not isinstance(value, Mapping) and not (isinstance(value, str) and _CLASS.fullmatch(value))


def _spelt(value: Any) -> str:
    """A value as overrides have it."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return f"[{','.join(map(_spelt, value))}]"
    return json.dumps(value, separators=(",", ": "))


class _Loader(yaml.SafeLoader):
    """Reads what Isaac Lab writes: tuples as lists, other objects of Python as text."""


def _as_text(loader: yaml.SafeLoader, kind: str, node: yaml.Node) -> str:
    values = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value
    return f"{kind}:{values}"


_Loader.add_constructor("tag:yaml.org,2002:python/tuple", _Loader.construct_yaml_seq)
_Loader.add_multi_constructor("tag:yaml.org,2002:python/", _as_text)


def _load(text: str) -> Any:
    return yaml.load(text, _Loader)
