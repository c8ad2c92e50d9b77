# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checks that need no simulator, made before one starts."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import importlib.util
import io
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from gr00t_rl_ext.cli.arguments import Arguments
from gr00t_rl_ext.cli.frame import UsageError
from gr00t_rl_ext.tasks.registration import ENTRY_POINT


def check_arguments(arguments: Arguments) -> Any:
    """Check that what the command line names exists.

    Args:
        arguments: The command line, with the device decided.

    Returns:
        The agent's config, without the overrides.

    Raises:
        UsageError: With one readable message.
    """
    spec = find_task(arguments.task)
    find_agent(spec, arguments.agent)
    check_at_least(1, arguments, "num_envs", "max_iterations")
    check_device(arguments.device)
    check_checkpoint(arguments.checkpoint)
    return check_overrides(spec.id, arguments.agent, arguments.overrides)


def check_configs(arguments: Arguments) -> tuple[Any, Any]:
    """Check everything else that can be known before the simulator starts.

    Args:
        arguments: The command line, checked, with the profile applied.

    Returns:
        The environment's and the agent's config, resolved.

    Raises:
        UsageError: With one readable message.
    """
    return check_resolved(str(arguments.task), arguments.agent, arguments.overrides)


def check_resolved(task: str, agent: str, overrides: list[str]) -> tuple[Any, Any]:
    """Resolve the configs of an Isaac Lab task and of its agent, and check what they say.

    Returns:
        The environment's and the agent's config.

    Raises:
        UsageError: With one readable message.
    """
    env_cfg, agent_cfg = resolve_configs(task, agent, overrides)
    check_physics(env_cfg)
    if hasattr(agent_cfg, "obs_groups"):
        check_observation_groups(env_cfg, agent_cfg.obs_groups)
    check_actor(agent_cfg, env_cfg)
    return env_cfg, agent_cfg


def check_actor(agent_cfg: Any, env_cfg: Any) -> None:
    """Check GR00T's checkpoint, what of it trains, and its mapping, if the agent has a GR00T.

    Raises:
        UsageError: With one readable message.
    """
    gr00t_cfg = gr00t_config(agent_cfg)
    if gr00t_cfg is not None:
        check_gr00t(gr00t_cfg)
        check_freezing(agent_cfg.actor)
        check_mapping(gr00t_cfg, env_cfg, agent_cfg.obs_groups["actor"])


def check_at_least(least: int, arguments: Any, *names: str) -> None:
    """Check that numbers of a command line, as far as they are given, are not too small."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} is {value}; expected at least {least}.")


def check_overrides(task: str, agent: str, overrides: list[str]) -> Any:
    """Check that what is overridden exists; returns the agent's config without it."""
    presets = [item for item in overrides if item.lstrip("+~-").startswith(("presets", "physics", "renderer"))]
    env_cfg, agent_cfg = resolve_configs(task, agent, presets)
    check_override_paths([item for item in overrides if item not in presets], env_cfg, agent_cfg)
    return agent_cfg


def gr00t_config(agent_cfg: Any) -> Any | None:
    """``agent.actor.gr00t``, or None if the agent has no GR00T."""
    return getattr(getattr(agent_cfg, "actor", None), "gr00t", None)


def check_checkpoint(checkpoint: str | None) -> None:
    """Check that a training checkpoint to play or resume exists."""
    if checkpoint is None or checkpoint.startswith(("wandb:", "http://", "https://")) or Path(checkpoint).exists():
        return
    runs = sorted(
        (path for path in Path("logs", "rsl_rl").glob("*/*") if path.is_dir()), key=lambda p: p.stat().st_mtime
    )
    if checkpoint in ("latest", "best", "pretrained") and runs:
        return
    found = ", ".join(str(run) for run in runs[:-4:-1]) or "none below logs/rsl_rl of the working directory"
    raise UsageError(
        f"There is no checkpoint {checkpoint!r}. Expected a model_*.pt, the directory of a run, latest or best. Newest"
        f" runs: {found}."
    )


def model_file(path: Path) -> Path:
    """A training checkpoint: a ``model_*.pt`` that exists, or the last one of the directory of a run.

    Raises:
        UsageError: The directory has none.
    """
    from gr00t_rl_ext.cli.summary import latest_checkpoint

    found = latest_checkpoint(path) if path.is_dir() else path
    if found is None:
        raise UsageError(
            f"The directory {str(path)!r} has no model_*.pt. Expected the directory of a run, or a model_*.pt."
        )
    return found.resolve()


def find_task(task: str | None) -> EnvSpec:
    """The registered task, or an error that names similar ones."""
    import isaaclab_tasks  # noqa: F401  registers Isaac Lab's own tasks

    from gr00t_rl_ext.tasks.gymnasium import EXAMPLES

    ours = sorted(name for name, spec in gym.registry.items() if _has_gr00t_agent(spec))
    if task is None:
        raise UsageError(
            f"--task is missing. Tasks with GR00T agents: {', '.join(ours)}; of Gymnasium e.g. {', '.join(EXAMPLES)}."
        )
    name = task.split(":")[-1]
    tasks = [known for known, spec in gym.registry.items() if "env_cfg_entry_point" in (spec.kwargs or {})]
    if name in gym.registry and name not in tasks:
        raise UsageError(f"{task!r} is no task of Isaac Lab, but an environment of Gymnasium. Use --task gym:{name}.")
    if name not in tasks:
        similar = difflib.get_close_matches(name, tasks, n=3, cutoff=0.5)
        hint = f" Similar: {', '.join(similar)}." if similar else ""
        raise UsageError(
            f"There is no task {task!r}.{hint} Tasks with GR00T agents: {', '.join(ours)}; `isaaclab list_envs` shows"
            f" all. Tasks of Gymnasium begin with gym:, such as {', '.join(EXAMPLES)}."
        )
    return gym.spec(name)


def _has_gr00t_agent(spec: EnvSpec) -> bool:
    return any(name.startswith("gr00t_") for name in spec.kwargs or {})


def find_agent(spec: EnvSpec, agent: str) -> None:
    """Check that the task has the agent."""
    if agent in spec.kwargs:
        return
    agents = sorted(key for key in spec.kwargs if key.endswith(ENTRY_POINT) and key != "env_cfg_entry_point")
    shown = [name for key in agents if (name := key.removesuffix(ENTRY_POINT)) in spec.kwargs] + [
        key for key in agents if key.removesuffix(ENTRY_POINT) not in spec.kwargs
    ]
    raise UsageError(f"The task {spec.id} has no agent {agent!r}. It has: {', '.join(shown) or 'none'}.")


def check_device(device: str | None) -> None:
    """Check that the device exists here."""
    if device is None or device == "cpu":
        return
    import torch

    cuda = re.fullmatch(r"cuda(?::(\d+))?", device)
    if cuda is None:
        raise UsageError(f"--device is {device!r}; expected cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(cuda[1] or 0) >= count:
        raise UsageError(f"--device is {device!r}, but this machine has {count} CUDA devices. Use --device cpu.")


def resolve_configs(task: str, agent: str, overrides: list[str]) -> tuple[Any, Any]:
    """Both configs with presets and overrides applied, as Isaac Lab's own commands resolve them."""
    import hydra.errors
    import omegaconf.errors
    from isaaclab_tasks.utils import resolve_task_config

    try:
        # the training command resolves the configs again, and says where they come from
        with contextlib.redirect_stdout(io.StringIO()):
            return resolve_task_config(task, agent, overrides=overrides)
    except (ValueError, KeyError, TypeError, hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException) as e:
        raise UsageError(f"The overrides {' '.join(overrides)} do not fit the configs of {task}: {e}") from e
    except SystemExit as e:
        # Hydra prints its own message and exits
        raise UsageError(
            f"The overrides {' '.join(overrides)} do not fit the configs of {task} and its agent {agent}; see above."
        ) from e


def check_override_paths(overrides: list[str], env_cfg: Any, agent_cfg: Any) -> None:
    """Check that every overridden field exists. Isaac Lab 3.0 sets an unknown one, and nobody reads it."""
    for item in overrides:
        path = item.lstrip("+~").partition("=")[0]
        parents, node = [], {"env": env_cfg, "agent": agent_cfg}
        for name in path.split("."):
            fields = node if isinstance(node, dict) else getattr(node, "__dict__", {})
            known = [key for key in fields if not key.startswith("_")]
            if name not in known:
                similar = difflib.get_close_matches(name, known, n=3)
                hint = f" Similar: {', '.join(similar)}." if similar else ""
                raise UsageError(
                    f"The override {item!r} names a field that does not exist: {'.'.join(parents) or 'the task'} has no"
                    f" {name!r}.{hint} It has: {', '.join(sorted(known))}."
                )
            parents.append(name)
            node = fields[name]
        check_type(item, path, node)


def check_type(item: str, path: str, default: Any) -> None:
    """Check that an override's value has the kind of the default. Isaac Lab 3.0 takes any."""
    text = item.partition("=")[2]
    try:
        value = {"true": True, "false": False, "null": None, "none": None}.get(text.lower(), text)
        value = ast.literal_eval(text) if value is text else value
    except (ValueError, SyntaxError):
        value = text
    for kind, accepted, name in (
        (bool, bool, "true or false"),
        ((int, float), (int, float), "a number"),
        ((list, tuple), (list, tuple), "a list, such as [rgb,state]"),
    ):
        if isinstance(default, kind):
            if value is not None and (not isinstance(value, accepted) or (kind is not bool and value is True)):
                raise UsageError(
                    f"The override {item!r} does not fit: {path} takes {name} (default: {default}), got {text!r}."
                )
            return


def check_physics(env_cfg: Any) -> None:
    """Check that the chosen physics back end is installed."""
    back_ends = {
        "OvPhysxCfg": ("ovphysx", "ovphysx", "pip install 'isaaclab[ovphysx]==3.0.0'"),
        "PhysxCfg": ("isaacsim_physx", "isaacsim", "install Isaac Sim, see Isaac Lab's installation guide"),
        "NewtonCfg": ("newton_mjwarp", "newton", "pip install 'isaaclab==3.0.0'"),
    }
    chosen = type(env_cfg.sim.physics).__name__
    if chosen not in back_ends:
        return
    installed = [f"physics={name}" for name, package, _ in back_ends.values() if importlib.util.find_spec(package)]
    preset, package, how = back_ends[chosen]
    if f"physics={preset}" not in installed:
        raise UsageError(
            f"The physics back end physics={preset} needs the package {package!r}, which is not installed ({how})."
            f" Installed: {', '.join(installed) or 'none'}."
        )


def check_observation_groups(env_cfg: Any, obs_groups: dict[str, list[str]]) -> None:
    """Check that a manager-based task has the observation groups that the agent reads."""
    observations = getattr(env_cfg, "observations", None)
    if observations is None:
        return
    available = [name for name, value in vars(observations).items() if value is not None and not name.startswith("_")]
    for set_name, groups in obs_groups.items():
        missing = [group for group in groups if group not in available]
        if missing:
            raise UsageError(
                f"`agent.obs_groups.{set_name}` names the observation group {', '.join(map(repr, missing))}, which the"
                f" task does not have. It offers: {', '.join(available)}."
            )


def check_algorithm(cfg: Any, num_envs: int) -> None:
    """Check the fields of ``agent.algorithm``, and that the environments divide into groups where there are any.

    Args:
        cfg: ``agent.algorithm``.
        num_envs: Environments to train in.

    Raises:
        UsageError: With one readable message.
    """
    from rsl_rl.utils import resolve_callable

    from gr00t_rl_ext.envs.groups import check_group_size

    options = getattr(resolve_callable(cfg.class_name), "OPTIONS", None)
    if options is None:
        return
    known = {field.name for field in dataclasses.fields(options)}
    try:
        options(**{name: value for name, value in cfg.to_dict().items() if name in known})
        if "group_size" in known:
            check_group_size(num_envs, cfg.group_size)
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_gr00t(cfg: Any) -> None:
    """Check that the checkpoint is a GR00T with statistics of the robot and a tokenizer, without loading weights."""
    from gr00t_rl_ext.gr00t import Gr00tCheckpointError, load_tokenizer
    from gr00t_rl_ext.gr00t.checkpoint import resolve_checkpoint
    from gr00t_rl_ext.gr00t.embodiment import load_embodiment
    from gr00t_rl_ext.gr00t.model import checkpoint_version
    from gr00t_rl_ext.policy.options import TINY

    if cfg.checkpoint == TINY:
        return
    try:
        directory = resolve_checkpoint(cfg.checkpoint)
        checkpoint_version(directory)
        load_embodiment(directory, cfg.embodiment_tag, slot=cfg.embodiment_slot)
        load_tokenizer(directory, cfg.tokenizer or None)
    except Gr00tCheckpointError as error:
        raise UsageError(f"agent.actor.gr00t: {error}") from error


def check_freezing(actor_cfg: Any) -> None:
    """Check what of GR00T shall train, as far as that does not depend on the checkpoint."""
    from rsl_rl.utils import resolve_callable

    from gr00t_rl_ext.policy.stages import FreezingOptions

    try:
        actor: Any = resolve_callable(actor_cfg.class_name)
        actor.check_stages(FreezingOptions(**actor_cfg.freezing.to_dict()).stages(actor.reads_head))
    except ValueError as error:
        raise UsageError(str(error)) from error


def check_mapping(cfg: Any, env_cfg: Any, actor_groups: list[str]) -> None:
    """Check the file of ``agent.actor.gr00t.mapping`` and its names. Widths are known only once there is a task."""
    from gr00t_rl_ext.gr00t.checkpoint import resolve_checkpoint
    from gr00t_rl_ext.gr00t.embodiment import load_embodiment
    from gr00t_rl_ext.policy.options import TINY
    from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping, EmbodimentMappingError
    from gr00t_rl_ext.robot.task_spec import unique_names

    try:
        mapping = EmbodimentMapping.load(cfg.mapping)
        if cfg.checkpoint != TINY:
            directory = resolve_checkpoint(cfg.checkpoint)
            mapping.check_checkpoint(load_embodiment(directory, cfg.embodiment_tag, slot=cfg.embodiment_slot))
        observations, actions = getattr(env_cfg, "observations", None), getattr(env_cfg, "actions", None)
        if observations is None or actions is None:
            return
        groups = {group: _term_names(getattr(observations, group)) for group in actor_groups}
        # which of them are cameras, and how many images a term has, is not known here
        names = [*(name for terms in groups.values() for name in terms), *unique_names(groups)]
        numbered = [camera for camera in mapping.video.values() if re.sub(r"_\d+$", "", camera) in names]
        mapping.check_task(dict.fromkeys(names), [*names, *numbered], dict.fromkeys(_term_names(actions)))
    except EmbodimentMappingError as error:
        raise UsageError(f"agent.actor.gr00t.mapping: {error}") from error


def _term_names(group: Any) -> list[str]:
    """Terms of a manager's config."""
    return [name for name, term in vars(group).items() if hasattr(term, "func") or hasattr(term, "class_type")]
