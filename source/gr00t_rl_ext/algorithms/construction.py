# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From an agent's config and an environment to an algorithm with its networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rsl_rl.env import VecEnv
from rsl_rl.utils import resolve_callable, resolve_class
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.footprint import algorithm_footprint
from gr00t_rl_ext.envs.decision import HOW_TO_CHUNK
from gr00t_rl_ext.footprint.estimate import BatchSizes, MemoryEstimate, MemoryModel, available_bytes, require_memory
from gr00t_rl_ext.policy.actor_critic import check_fields
from gr00t_rl_ext.robot.task_spec import TaskSpec


def build(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Any:
    """Build networks, storage and the algorithm that ``cfg`` names.

    Args:
        obs: Observations of the environment, before the groups are narrowed to those in use.
        env: Isaac Lab's rsl_rl wrapper around an environment with action chunks.
        cfg: The agent's config as nested dictionaries.
        device: Device of the networks.

    Raises:
        ValueError: If a setting is unknown or does not fit the task or the checkpoint.
    """
    alg_class, alg_cfg = resolve_class(cfg["algorithm"])
    actor_class, actor_cfg = resolve_class(cfg["actor"])
    unwrapped: Any = env.unwrapped  # type: ignore[attr-defined]
    if not hasattr(unwrapped, "configure_decisions"):
        raise ValueError(
            f"The task's environment class {type(unwrapped).__name__} has no action chunks. {HOW_TO_CHUNK}"
        )
    _check_algorithm_fields(alg_class, alg_cfg)
    obs_groups = _require_obs_groups(cfg["obs_groups"], alg_class)
    critic_class, critic_cfg = resolve_class(cfg["critic"]) if alg_class.HAS_CRITIC else (None, None)
    pair_class = _pair_class(actor_class, cfg["actor"]["class_name"])
    spec = TaskSpec.from_env(unwrapped, obs, obs_groups["actor"], over_gr00t=pair_class.over_gr00t)

    def make(observations: TensorDict, num_steps: int, freezing: dict[str, Any], **settings: Any) -> Any:
        critic = {} if critic_class is None else {"critic_class": critic_class}
        actor = {**actor_cfg, "freezing": {**actor_cfg.get("freezing", {}), **freezing}} if freezing else actor_cfg
        actor_critic = pair_class(
            spec,
            observations,
            obs_groups,
            actor,
            critic_cfg,
            device,
            actor_class,
            **critic,
        )
        return alg_class(actor_critic, observations, num_steps, device=device, **{**alg_cfg, **settings})

    used = list(dict.fromkeys(group for groups in obs_groups.values() for group in groups))
    rounds = cfg.get("rollout_rounds", 1)
    num_steps = cfg["num_steps_per_env"] * rounds
    obs = obs.select(*used).to(device)
    # what the schedule holds is checked where the actor is made
    num_stages = 1 + len(actor_cfg.get("freezing", {}).get("schedule", ()))
    try:
        estimate = _memory(make, obs, num_steps, alg_class, alg_cfg, num_stages, pair_class.over_gr00t, device)
        print(estimate.describe())
    except ValueError:
        raise
    except Exception as error:
        # it runs the agent on fake tensors, which newer versions of what it runs may not support
        print(f"memory: not estimated ({type(error).__name__}: {error})")
    settings: dict[str, Any] = {"multi_gpu_cfg": cfg["multi_gpu"], "max_iterations": cfg.get("max_iterations")}
    if rounds > 1:
        settings["rounds"] = rounds
    alg = make(obs, num_steps, {}, **settings)
    alg.bind(env, used)
    env.num_actions = alg.actor_critic.chunk_length * spec.action_dim
    print(alg.actor_critic.describe())
    alg.compile(cfg.get("torch_compile_mode"))
    return alg


def _memory(
    make: Callable[..., Any],
    obs: TensorDict,
    num_steps: int,
    alg_class: Any,
    alg_cfg: dict[str, Any],
    num_stages: int,
    over_gr00t: bool,
    device: str,
) -> MemoryEstimate:
    """Estimate what training takes in the stage of unfreezing that takes most.

    Raises:
        ValueError: It does not fit; the message says which settings would.
    """
    options = alg_class.OPTIONS(**alg_cfg)

    def model(stage: int, **freezing: Any) -> MemoryModel:
        def build(observations: TensorDict, num_steps: int, num_parts: int) -> Any:
            small = options.for_estimate(observations.batch_size[0])
            alg = make(observations, num_steps, freezing, **small, gradient_accumulation_steps=num_parts)
            alg.open_stage(stage)
            return alg

        return algorithm_footprint(build, obs, device)

    sizes = BatchSizes(
        num_envs=obs.batch_size[0],
        num_steps_per_env=num_steps,
        num_mini_batches=options.num_mini_batches,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
    )
    models = [model(stage) for stage in range(num_stages)]
    stage = max(range(num_stages), key=lambda stage: models[stage].estimate(sizes).total)
    checkpointing = "agent.actor.freezing.gradient_checkpointing"
    return require_memory(
        models[stage],
        sizes,
        available_bytes(device),
        {f"{checkpointing}=true": lambda: model(stage, gradient_checkpointing=True)} if over_gr00t else {},
    )


def _pair_class(actor_class: Any, name: str) -> Any:
    if not hasattr(actor_class, "PAIR"):
        raise ValueError(
            f"`agent.actor.class_name` is {name!r}, which this algorithm cannot train: it needs a"
            " gr00t_rl_ext.policy.actor.Actor. rsl_rl's MLP is gr00t_rl_ext.policy.mlp:MlpActor."
        )
    return resolve_callable(actor_class.PAIR)


def _require_obs_groups(obs_groups: dict[str, list[str]], alg_class: Any) -> dict[str, list[str]]:
    """The observation groups of actor and critic, or of the actor where there is no critic."""
    read = ("actor", "critic") if alg_class.HAS_CRITIC else ("actor",)
    missing = [name for name in read if not obs_groups.get(name)]
    if missing:
        raise ValueError(
            f"`agent.obs_groups` names no observation groups for the {' and the '.join(missing)}; it has"
            f" {', '.join(obs_groups) or 'nothing'}. Expected e.g. {{'actor': ['rgb', 'state'], 'critic': ['rgb',"
            " 'state', 'privileged']}."
        )
    return {name: obs_groups[name] for name in read}


def _check_algorithm_fields(alg_class: Any, alg_cfg: dict[str, Any]) -> None:
    # fields of Isaac Lab's config for features of rsl_rl that this algorithm does not have
    for name in ("rnd_cfg", "symmetry_cfg", "share_cnn_encoders"):
        if alg_cfg.pop(name, None):
            raise ValueError(
                f"`agent.algorithm.{name}` is set, which {alg_class.__name__} does not support. Leave it unset."
            )
    check_fields("agent.algorithm", alg_cfg, [field.name for field in dataclasses.fields(alg_class.OPTIONS)])
    # before anything is loaded
    alg_class.OPTIONS(**alg_cfg)
