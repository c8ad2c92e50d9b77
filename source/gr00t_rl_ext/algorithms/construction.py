# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From an agent's config and an environment to an algorithm with its networks."""

from __future__ import annotations

from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.utils import resolve_class
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.footprint import estimate_footprint
from gr00t_rl_ext.algorithms.options import WHERE
from gr00t_rl_ext.algorithms.task_sampling import OFF
from gr00t_rl_ext.envs.decision import HOW_TO_CHUNK
from gr00t_rl_ext.footprint.estimate import MemoryEstimate
from gr00t_rl_ext.options import read
from gr00t_rl_ext.policy.actor_critic import ActorDefinition, Gr00tActorCritic
from gr00t_rl_ext.policy.assumptions import print_assumptions
from gr00t_rl_ext.randomisation import describe
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.runs.guard import guard


def build(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Any:
    """Build networks, storage and the algorithm that ``cfg`` names.

    Args:
        obs: Observations of the environment, before the groups are narrowed to those in use.
        env: Isaac Lab's rsl_rl wrapper around an environment with action chunks.
        cfg: The agent's config as nested dictionaries, which the runner's loop reads as well.
        device: Device of the networks.

    Raises:
        ValueError: If a setting is unknown or does not fit the task, the checkpoint or the memory.
    """
    guard(cfg)
    alg_class, alg_cfg = _resolve(cfg["algorithm"])
    actor_class, actor_cfg = _resolve(cfg["actor"])
    unwrapped: Any = env.unwrapped  # type: ignore[attr-defined]
    if not hasattr(unwrapped, "configure_decisions"):
        raise ValueError(
            f"The task's environment class {type(unwrapped).__name__} has no action chunks. {HOW_TO_CHUNK}"
        )
    if not hasattr(actor_class, "OPTIONS"):
        raise ValueError(
            f"`agent.actor.class_name` is {cfg['actor']['class_name']!r}, which this algorithm cannot train: it needs a"
            " gr00t_rl_ext.policy.actor.Actor. rsl_rl's MLP is gr00t_rl_ext.policy.mlp:MlpActor."
        )
    _drop_unsupported(alg_class, alg_cfg)
    # before anything is loaded
    options = read(alg_class.OPTIONS, alg_cfg, WHERE)
    if options.start_sampling != OFF and getattr(unwrapped, "start_set", None) is None:
        raise ValueError(
            f"`{WHERE}.start_sampling` is {options.start_sampling!r}, but the task has no initial states beside its"
            f" own. Set it to {OFF}, or name `starts` in a task file (docs/task_files.md)."
        )
    obs_groups = required_obs_groups(cfg["obs_groups"], alg_class)
    critic_class, critic_cfg = _resolve(cfg["critic"]) if alg_class.HAS_CRITIC else (None, None)
    spec = TaskSpec.from_env(unwrapped, obs, obs_groups["actor"], over_gr00t=actor_class.over_gr00t)

    def make(observations: TensorDict, num_steps: int, freezing: dict[str, Any], **settings: Any) -> Any:
        actor = {**actor_cfg, "freezing": {**actor_cfg.get("freezing", {}), **freezing}} if freezing else actor_cfg
        actor_critic = Gr00tActorCritic.build(
            actor_class, spec, observations, obs_groups, actor, critic_cfg, device, critic_class
        )
        return alg_class(actor_critic, observations, num_steps, device=device, **{**alg_cfg, **settings})

    used = list(dict.fromkeys([*(group for groups in obs_groups.values() for group in groups), *spec.used_groups]))
    obs, num_steps = obs.select(*used).to(device), cfg["num_steps_per_env"]
    if actor_class.over_gr00t:
        # the estimate runs on tensors without content, which no checkpoint could be made from
        ActorDefinition.of(actor_class, spec, actor_cfg).base()
    # what the schedule holds is checked where the actor is made
    num_stages = 1 + len(actor_cfg.get("freezing", {}).get("schedule", ()))
    estimate, over_gr00t = None, actor_class.over_gr00t
    try:
        estimate = estimate_footprint(make, obs, num_steps, options, num_stages, over_gr00t, device)
        print(estimate.describe())
    except ValueError:
        raise
    except Exception as error:
        # it runs the agent on fake tensors, which newer versions of what it runs may not support
        print(f"memory: not estimated ({type(error).__name__}: {error})")
    alg = make(obs, num_steps, {}, multi_gpu_cfg=cfg["multi_gpu"], max_iterations=cfg.get("max_iterations"))
    if estimate is not None:
        alg.memory_estimate = estimate
        alg.out_of_memory = lambda: advice_on_memory(estimate, device)
    alg.bind(env, used)
    env.num_actions = alg.actor_critic.chunk_length * spec.action_dim
    # the runner's loop reads it anew in every iteration
    cfg["num_steps_per_env"] = alg.steps_per_iteration
    print(alg.actor_critic.describe())
    if actor_class.over_gr00t:
        print_assumptions(alg.actor_critic.encoder.inputs, alg.actor_critic.encoder.camera_sizes(obs))
    if drawn := describe({name: factor.strength for name, factor in getattr(unwrapped, "factors", {}).items()}):
        print(drawn)
    alg.compile(cfg.get("torch_compile_mode"))
    return alg


def advice_on_memory(estimate: MemoryEstimate, device: str) -> str:
    """What to do about a training that has run out of memory.

    Args:
        estimate: That of its start.
        device: Where it has.
    """
    text = f"The estimate of the start was a peak of {estimate.total / 2**30:.2f} GiB."
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        text += f" Of the {total / 2**30:.1f} GiB of {device}, {free / 2**30:.1f} are free outside of this process."
    settings = ", ".join(f"`{setting}`" for setting in estimate.take_less())
    return f"{text} Each of these settings alone takes a quarter less: {settings or 'none'}."


def _resolve(section: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class that a section names, and its other fields."""
    return resolve_class(section)


def required_obs_groups(obs_groups: dict[str, list[str]], alg_class: Any) -> dict[str, list[str]]:
    """The observation groups of actor and critic, or of the actor where there is no critic.

    Args:
        obs_groups: ``agent.obs_groups``.
        alg_class: Class of the algorithm, which knows whether there is a critic.

    Raises:
        ValueError: Some are not named.
    """
    needed = ("actor", "critic") if alg_class.HAS_CRITIC else ("actor",)
    missing = [name for name in needed if not obs_groups.get(name)]
    if missing:
        raise ValueError(
            f"`agent.obs_groups` names no observation groups for the {' and the '.join(missing)}; it has"
            f" {', '.join(obs_groups) or 'nothing'}. Expected e.g. {{'actor': ['rgb', 'state'], 'critic': ['rgb',"
            " 'state', 'privileged']}."
        )
    return {name: obs_groups[name] for name in needed}


def _drop_unsupported(alg_class: Any, alg_cfg: dict[str, Any]) -> None:
    """Fields of Isaac Lab's config for features of rsl_rl that our algorithms do not have."""
    for name in ("rnd_cfg", "symmetry_cfg", "share_cnn_encoders"):
        if alg_cfg.pop(name, None):
            raise ValueError(f"`{WHERE}.{name}` is set, which {alg_class.__name__} does not support. Leave it unset.")
