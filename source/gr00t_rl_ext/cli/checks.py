# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checks that need no simulator, made before one starts: what a command line names, and the configs that it makes."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import io
import os
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from gr00t_rl_ext.cli.arguments import Arguments
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.run_directory import find_checkpoint
from gr00t_rl_ext.runs import kept
from gr00t_rl_ext.tasks.compatibility import check_agent
from gr00t_rl_ext.tasks.overrides import check_override_paths
from gr00t_rl_ext.tasks.registration import ENTRY_POINT


def check_arguments(arguments: Arguments) -> Any:
    """Check that what the command line names exists; returns the agent's config, without the overrides.

    Raises:
        ValueError: With one readable message.
    """
    spec = find_task(arguments.task)
    find_agent(spec, arguments.agent)
    check_at_least(1, arguments, "num_envs", "max_iterations")
    check_counts(arguments)
    check_conflicts(arguments)
    check_device(arguments.device)
    if "--distributed" in arguments.rest and arguments.device == "cpu":
        raise UsageError(
            "--distributed with --device cpu is for Gymnasium tasks (gym:ID): Isaac Lab trains its own on several GPUs,"
            " by `isaaclab train_multigpu`."
        )
    return check_overrides(spec.id, arguments.agent, arguments.overrides)


def check_resolved(task: str, agent: str, overrides: list[str]) -> tuple[Any, Any]:
    """The configs of an Isaac Lab task's environment and of its agent, resolved and checked.

    Raises:
        ValueError: With one readable message.
    """
    env_cfg, agent_cfg = resolve_configs(task, agent, overrides)
    check_physics(env_cfg)
    check_agent(agent_cfg, env_cfg)
    return env_cfg, agent_cfg


def check_plays(agent_cfg: Any, checkpoint: str | Path | None) -> None:
    """Check that an agent of ours plays a training checkpoint, as far as that is a file here that can be read.

    Args:
        agent_cfg: The agent's config.
        checkpoint: A ``model_*.pt``; None: nothing is checked.

    Raises:
        UsageError: Its policy is another, or has learned with other settings; the message names agent or settings.
    """
    from rsl_rl.utils import resolve_callable

    from gr00t_rl_ext.algorithms.checkpoint import check_policy, check_settings
    from gr00t_rl_ext.policy.actor_critic import class_path
    from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint

    name = getattr(getattr(agent_cfg, "actor", None), "class_name", None)
    if checkpoint is None or name is None:
        return
    file = Path(checkpoint)
    try:
        loaded = read_checkpoint(file, mmap=kept.is_whole(file))
    except (CheckpointFileError, OSError) as error:
        raise UsageError(f"The checkpoint {error}") from error
    actor_class: Any = resolve_callable(name)
    if not hasattr(actor_class, "OPTIONS"):
        return
    try:
        check_policy(loaded, class_path(actor_class))
        check_settings(loaded, actor_class, vars(agent_cfg.actor))
    except ValueError as error:
        raise UsageError(f"The checkpoint {str(file)!r} does not fit the agent. {error}") from error


def only_tries(agent_cfg: Any) -> bool:
    """Whether a run ends after its preflight (``--preflight``)."""
    return bool(getattr(getattr(agent_cfg, "preflight", None), "only", False))


def choose_checkpoint(arguments: Arguments) -> Path | None:
    """The file that ``--checkpoint`` names, in place of the name that Isaac Lab's commands get; None where they fetch
    it, or where none is named.

    Raises:
        UsageError: There is no such checkpoint.
    """
    if arguments.checkpoint is None:
        return None
    found = find_checkpoint(arguments.checkpoint, arguments.task, arguments.agent)
    if found is not None:
        at = arguments.forwarded.index("--checkpoint")
        arguments.forwarded[at + 1] = arguments.checkpoint = str(found)
    return found


_ALSO = {
    "num_envs": ("env.num_envs", "env.scene.num_envs"),
    "max_iterations": ("agent.max_iterations",),
    "seed": ("agent.seed", "env.seed"),
    "device": ("agent.device", "env.device", "env.sim.device"),
    "experiment_name": ("agent.experiment_name",),
    "run_name": ("agent.run_name",),
    "logger": ("agent.logger",),
    "log_project_name": ("agent.wandb_project", "agent.neptune_project"),
    "checkpoint": ("agent.load_checkpoint",),
}
"""Flag -> the fields that it sets, after any override."""


def _given(arguments: Arguments, flag: str) -> Any:
    """What a flag got, whether it is read here or by Isaac Lab; None: it is not there."""
    value = getattr(arguments, flag, None)
    return arguments.option(flag) if value is None else value


def check_conflicts(arguments: Arguments) -> None:
    """Check that no flag and override set the same field to different values: the flag would win in silence.

    Raises:
        UsageError: Two do.
    """
    values = {item.lstrip("+~").partition("=")[0]: item.partition("=")[2] for item in arguments.overrides}
    for flag, fields in _ALSO.items():
        given = _given(arguments, flag)
        for field in fields:
            if given is not None and field in values and values[field].strip("'\"") != str(given):
                raise UsageError(
                    f"--{flag} {given} and {field}={values[field]} set the same field, and the flag would win. Give one"
                    " of them."
                )


def check_counts(arguments: Arguments) -> None:
    """Check numbers of Isaac Lab's flags, which it takes as they are.

    Raises:
        UsageError: One is no number, or too small.
    """
    for flag, least in (("video_length", 1), ("video_interval", 1), ("seed", -1)):
        given = _given(arguments, flag)
        if given is None:
            continue
        try:
            value = int(given)
        except ValueError:
            raise UsageError(f"--{flag} is {given!r}; expected an integer of at least {least}.") from None
        if value < least:
            random = ", of which -1 draws one" if flag == "seed" else ""
            raise UsageError(f"--{flag} is {value}; expected at least {least}{random}.")


def check_at_least(least: int, arguments: Any, *names: str) -> None:
    """Check that numbers of a command line, named as they are typed there, are not too small where they are given."""
    for name in names:
        value = getattr(arguments, name.replace("-", "_"))
        if value is not None and value < least:
            raise UsageError(f"--{name} is {value}; expected at least {least}.")


def check_overrides(task: str, agent: str, overrides: list[str]) -> Any:
    """Check that what is overridden exists; returns the agent's config without it."""
    presets = [item for item in overrides if item.lstrip("+~-").startswith(("presets", "physics", "renderer"))]
    env_cfg, agent_cfg = resolve_configs(task, agent, presets)
    check_override_paths([item for item in overrides if item not in presets], env_cfg, agent_cfg)
    return agent_cfg


def find_task(task: str | None) -> EnvSpec:
    """The registered task, or an error that names similar ones."""
    import isaaclab_tasks  # noqa: F401  registers Isaac Lab's own tasks
    from isaaclab.cli import load_external_tasks

    # those of other packages, as Isaac Lab's own commands do
    load_external_tasks()
    from gr00t_rl_ext.tasks.gymnasium import EXAMPLES

    ours = sorted(
        name for name, spec in gym.registry.items() if any(key.startswith("gr00t_") for key in spec.kwargs or {})
    )
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


def check_logger(logger: str | None) -> None:
    """Check, before anything is built, that a logger of a service has the key it needs.

    Raises:
        UsageError: It has none, or is not known.
    """
    if logger in (None, "tensorboard"):
        return
    if logger not in ("wandb", "neptune"):
        raise UsageError(f"The logger is {logger!r}; expected tensorboard, wandb or neptune.")
    if importlib.util.find_spec(logger) is None:
        raise UsageError(f"The logger {logger} is not installed. Install it: pip install {logger}.")
    if logger == "neptune" and not os.environ.get("NEPTUNE_API_TOKEN"):
        raise UsageError("The logger neptune has no key. Set NEPTUNE_API_TOKEN, or choose --logger tensorboard.")
    if logger == "wandb" and os.environ.get("WANDB_MODE") not in ("offline", "disabled", "dryrun"):
        import wandb

        if not wandb.api.api_key:
            raise UsageError(
                "The logger wandb has no key. Run `wandb login` or set WANDB_API_KEY; WANDB_MODE=offline logs to files."
            )
    if logger == "wandb":
        # before anything asks the server, for which it waits minutes
        from gr00t_rl_ext.runs.wandb_writer import stay_offline_if_unreachable

        stay_offline_if_unreachable()


def resolve_configs(task: str, agent: str, overrides: list[str]) -> tuple[Any, Any]:
    """Both configs with presets and overrides applied, as Isaac Lab's own commands resolve them."""
    import hydra.errors
    import omegaconf.errors
    from isaaclab_tasks.utils import resolve_task_config

    try:
        # the training command resolves the configs again, and prints where they come from
        with contextlib.redirect_stdout(io.StringIO()):
            return resolve_task_config(task, agent, overrides=overrides)
    except (ValueError, KeyError, TypeError, hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException) as e:
        raise UsageError(f"The overrides {' '.join(overrides)} do not fit the configs of {task}: {e}") from e
    except SystemExit as e:
        # Hydra prints its own message and exits
        raise UsageError(
            f"The overrides {' '.join(overrides)} do not fit the configs of {task} and its agent {agent}; see above."
        ) from e


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
