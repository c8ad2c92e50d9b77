# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Every field of the agents' configs changes something that can be observed.

A field without an entry in the table fails, so that no option can be added that nobody reads. Config classes are found,
not listed. The fields of GRPO, whose rollouts need groups, are in test_grpo_options.py.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from policies import DISCRETE_SPEC
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from tiny_policy import OBS_GROUPS, SPEC, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic

configs = pytest.importorskip("gr00t_rl_ext.policy.configs")
algorithm_configs = pytest.importorskip("gr00t_rl_ext.algorithms.configs")

N, T, H = 3, 4, 4

Settings = dict[str, Any]

GAUSSIAN: Settings = {"actor": {"chunk_length": H}}
FLOW: Settings = {
    "class": "flow",
    "actor": {"chunk_length": H, "freezing": {"train": ["projector", "dit"]}, "flow": {"num_steps": 2}},
}
LEARNED = FLOW | {"actor": FLOW["actor"] | {"flow": {"noise": "learned"}}}
RESIDUAL: Settings = {"class": "residual", "actor": {"chunk_length": H}}
STEERING: Settings = {"class": "steering", "actor": {"chunk_length": H}}
DISCRETE: Settings = {"class": "categorical", "actor": {"chunk_length": H}}
MLP: Settings = {
    "class": "mlp",
    "actor": {
        "chunk_length": 1,
        "hidden_dims": [16],
        "activation": "elu",
        "obs_normalization": True,
        "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
    },
}
LANGUAGE: Settings = {
    "actor": {"chunk_length": H, "freezing": {"train": ["language_lora"], "language_layers": 1, "lora_rank": 2}}
}
DIT_LORA = FLOW | {"actor": FLOW["actor"] | {"freezing": {"train": ["dit_lora"], "lora_rank": 2}}}


def changed(settings: Settings, path: str, value: Any) -> Settings:
    """Settings with one field set, by its path."""
    result = json.loads(json.dumps(settings))
    *parents, name = path.split(".")
    place = result
    for parent in parents:
        place = place.setdefault(parent, {})
    place[name] = value
    return result


def algorithm(**values: Any) -> Settings:
    return GAUSSIAN | {"algorithm": values}


TABLE: dict[str, tuple[Settings, Any]] = {
    # agent.algorithm
    "algorithm.learning_rate": (GAUSSIAN, 1e-2),
    "algorithm.learning_rate_warmup_steps": (GAUSSIAN, 4),
    "algorithm.critic_learning_rate": (GAUSSIAN, 1e-2),
    "algorithm.schedule": (GAUSSIAN, "linear"),
    "algorithm.critic_schedule": (GAUSSIAN, "linear"),
    "algorithm.gr00t_schedule": (FLOW, "linear"),
    "algorithm.desired_kl": (algorithm(schedule="adaptive", desired_kl=1e-9), 10.0),
    "algorithm.optimizer": (GAUSSIAN, "sgd"),
    "algorithm.adam_epsilon": (GAUSSIAN, 1e-2),
    "algorithm.num_learning_epochs": (algorithm(target_kl=None), 3),
    "algorithm.num_mini_batches": (GAUSSIAN, 3),
    "algorithm.gradient_accumulation_steps": (GAUSSIAN, 2),
    "algorithm.use_mixed_precision": (GAUSSIAN, True),
    "algorithm.max_grad_norm": (GAUSSIAN, 1e-3),
    "algorithm.max_skipped_steps": (GAUSSIAN | {"gradients": "not finite"}, 3),
    "algorithm.clip_param": (algorithm(learning_rate=1e-2), 1e-3),
    "algorithm.target_kl": (algorithm(learning_rate=1e-2, target_kl=None), 1e-6),
    "algorithm.kl_to_base_coef": (algorithm(learning_rate=1e-2), 10.0),
    "algorithm.entropy_coef": (GAUSSIAN, 0.1),
    "algorithm.value_loss_coef": (GAUSSIAN, 0.1),
    "algorithm.use_clipped_value_loss": (algorithm(clip_param=1e-3), False),
    "algorithm.huber_delta": (GAUSSIAN, 0.1),
    "algorithm.critic_warmup_iterations": (GAUSSIAN, 1),
    "algorithm.critic_warmup_epochs": (GAUSSIAN, 1),
    "algorithm.gamma": (GAUSSIAN, 0.5),
    "algorithm.lam": (GAUSSIAN, 0.5),
    "algorithm.normalize_advantage_per_mini_batch": (GAUSSIAN, True),
    "algorithm.reward_normalization": (GAUSSIAN, True),
    "algorithm.reward_clip": (algorithm(reward_normalization=True), 1e-3),
    "algorithm.bootstrap_images": (GAUSSIAN, True),
    "algorithm.bootstrap_time_outs": (GAUSSIAN, False),
    # agent.critic
    "critic.hidden_dims": (GAUSSIAN, [8]),
    "critic.activation": (GAUSSIAN, "relu"),
    "critic.obs_normalization": (GAUSSIAN, False),
    "critic.obs_clip": (GAUSSIAN, 1e-2),
    "critic.values": (GAUSSIAN, "step"),
    "critic.orthogonal_init": (GAUSSIAN, False),
    "critic.detach": (LANGUAGE, False),
    # agent.actor of the adapters
    "gaussian.chunk_length": (GAUSSIAN, 2),
    "gaussian.hidden_dims": (GAUSSIAN, [8]),
    "gaussian.activation": (GAUSSIAN, "relu"),
    "gaussian.num_queries": (GAUSSIAN, 2),
    "gaussian.distribution_cfg.init_std": (GAUSSIAN, 0.3),
    "gaussian.distribution_cfg.std_range": (GAUSSIAN, [0.05, 0.5]),
    "gaussian.distribution_cfg.state_dependent_std": (GAUSSIAN, True),
    "gaussian.distribution_cfg.squash": (GAUSSIAN, True),
    "residual.chunk_length": (RESIDUAL, 2),
    "residual.hidden_dims": (RESIDUAL, [8]),
    "residual.activation": (RESIDUAL, "relu"),
    "residual.num_queries": (RESIDUAL, 2),
    "residual.noise_scale": (RESIDUAL, 1.0),
    "residual.residual_scale": (RESIDUAL, 0.5),
    "residual.num_flow_steps": (RESIDUAL, 2),
    "residual.distribution_cfg.init_std": (RESIDUAL, 0.3),
    "residual.distribution_cfg.std_range": (RESIDUAL, [0.05, 0.5]),
    "residual.distribution_cfg.state_dependent_std": (RESIDUAL, True),
    "steering.chunk_length": (STEERING, 2),
    "steering.hidden_dims": (STEERING, [8]),
    "steering.activation": (STEERING, "relu"),
    "steering.noise_scale": (STEERING, 1.0),
    "steering.noise_bound": (STEERING, 1e-2),
    "steering.num_flow_steps": (STEERING, 2),
    "steering.distribution_cfg.init_std": (STEERING, 0.5),
    "steering.distribution_cfg.std_range": (STEERING, [0.5, 1.2]),
    "steering.distribution_cfg.final_factor": (STEERING, 0.5),
    "categorical.chunk_length": (DISCRETE, 2),
    "categorical.hidden_dims": (DISCRETE, [8]),
    "categorical.activation": (DISCRETE, "relu"),
    "categorical.num_queries": (DISCRETE, 2),
    "mlp.chunk_length": (MLP, 2),
    "mlp.hidden_dims": (MLP, [8]),
    "mlp.activation": (MLP, "relu"),
    "mlp.obs_normalization": (MLP, False),
    "mlp.distribution_cfg.init_std": (MLP, 0.3),
    "mlp.distribution_cfg.std_type": (MLP, "log"),
    "mlp.distribution_cfg.std_range": (MLP, [0.1, 0.4]),
    # agent.actor of the flow
    "flow.chunk_length": (FLOW, 2),
    "flow.noise_scale": (FLOW, 0.0),
    "flow.flow.noise": (FLOW, "learned"),
    "flow.flow.score": (FLOW, "all_steps"),
    "flow.flow.num_steps": (FLOW, 3),
    "flow.flow.num_eval_steps": (FLOW, 2),
    "flow.flow.noise_level": (FLOW, 0.3),
    "flow.flow.final_noise_level": (
        changed(changed(FLOW, "actor.flow.noise_level_iterations", 2), "actor.flow.final_noise_level", 0.5),
        0.1,
    ),
    "flow.flow.noise_level_iterations": (
        changed(changed(FLOW, "actor.flow.noise_level_iterations", 2), "actor.flow.final_noise_level", 0.1),
        5,
    ),
    "flow.flow.std_range": (LEARNED, [0.05, 0.3]),
    "flow.flow.noise_hidden_dims": (LEARNED, [8]),
    "flow.flow.deterministic_last_step": (FLOW, True),
    "flow.flow.random_steps": (FLOW, 1),
    "flow.flow.noise_correlation": (FLOW, 0.5),
    # agent.actor.gr00t
    "gr00t.checkpoint": (GAUSSIAN, "/nowhere"),
    "gr00t.tokenizer": (GAUSSIAN, "/nowhere"),
    "gr00t.embodiment_tag": (GAUSSIAN, "gr1"),
    "gr00t.embodiment_slot": (FLOW, 3),
    "gr00t.dtype": (GAUSSIAN, "bfloat16"),
    "gr00t.attn_implementation": (GAUSSIAN, "eager"),
    "gr00t.crop_scale": (GAUSSIAN, 0.5),
    "gr00t.data_config": (GAUSSIAN, "/nowhere.json"),
    "gr00t.mapping": (GAUSSIAN, "/nowhere.yaml"),
    # agent.actor.freezing
    "freezing.train": (FLOW, ["dit"]),
    "freezing.learning_rate": (FLOW, 1e-2),
    "freezing.language_layers": (LANGUAGE, 2),
    "freezing.lora_rank": (LANGUAGE, 4),
    "freezing.lora_alpha": (LANGUAGE, 4.0),
    "freezing.lora_dit_targets": (DIT_LORA, ["to_q"]),
    "freezing.lora_language_targets": (LANGUAGE, ["q_proj"]),
    "freezing.schedule": (FLOW, [{"train": ["vl_self_attention"], "at_iteration": 1}]),
    "freezing.gradient_checkpointing": (LANGUAGE, True),
}
"""Field -> settings in which it matters, and another value for it. The first part of a field's name is the section; the
actors' are named by their policy, because they share one."""

SEEN_BY_AN_ERROR = (
    *("gr00t.checkpoint", "gr00t.tokenizer", "gr00t.embodiment_tag", "gr00t.data_config", "gr00t.mapping"),
    "algorithm.max_skipped_steps",
)
"""Fields whose other value is refused, or ends the run."""

ELSEWHERE = {
    "algorithm.task_sampling",
    "algorithm.task_sampling_floor",
    "algorithm.start_sampling",
    "algorithm.start_sampling_floor",
}
"""Fields that matter with several tasks only: see test_several_tasks.py."""

NOT_OURS = ("class_name", "rnd_cfg", "symmetry_cfg", "share_cnn_encoders", "distribution_cfg")
"""Fields of Isaac Lab's base classes that name a class, or that we refuse with a message (tested elsewhere)."""
DEPRECATED = ("stochastic", "init_noise_std", "noise_std_type", "state_dependent_std")
"""Fields of Isaac Lab's model config for older versions of rsl_rl, which Isaac Lab removes."""


def config_classes() -> set[type]:
    """All of ours in the modules of configs."""
    found = [value for module in (configs, algorithm_configs) for value in vars(module).values()]
    return {cls for cls in found if isinstance(cls, type) and cls.__module__.startswith("gr00t_rl_ext.")}


def parts() -> dict[str, Any]:
    """Section in the table -> default config of what names the class that it is for."""
    found = {}
    for cls in config_classes():
        if "class_name" in vars(cls()):
            name = cls().class_name.rpartition(":")[2].removeprefix("Gr00t").removesuffix("Actor").lower()
            found["algorithm" if name == "ppo" else name] = cls()
    return found


def fields_of(section: str, cfg: dict[str, Any]) -> set[str]:
    """Names of all fields of a config, nested ones with their path."""
    names = set()
    for name, value in cfg.items():
        if isinstance(value, dict):
            names |= fields_of(name if name in ("gr00t", "freezing") else f"{section}.{name}", value)
        elif name not in NOT_OURS and not (section in ("critic", "mlp") and name in DEPRECATED):
            names.add(f"{section}.{name}")
    return names


def test_the_table_has_every_field_and_no_other() -> None:
    fields = {name: fields_of(name, cfg.to_dict()) for name, cfg in parts().items()}
    assert set().union(*(fields.values())) - fields["grpo"] == TABLE.keys() | ELSEWHERE


def test_every_config_class_is_part_of_an_agent() -> None:
    """The fields of another would be seen by no test here."""

    def classes(cfg: Any) -> set[type]:
        nested = [value for value in vars(cfg).values() if hasattr(value, "__dict__")]
        return set(type(cfg).__mro__).union(*map(classes, nested))

    assert config_classes() <= set().union(*map(classes, parts().values()))


def build(settings: Settings) -> Gr00tPPO:
    policy = settings.get("class", "gaussian")
    actor_class: Any = resolve_callable(parts()[policy].class_name)
    over_gr00t = policy != "mlp"
    spec = DISCRETE_SPEC if policy == "categorical" else SPEC
    if not over_gr00t:
        spec = dataclasses.replace(SPEC, image_groups=(), cameras=())
    torch.manual_seed(0)
    pair = Gr00tActorCritic.build(
        actor_class,
        spec,
        observations(),
        OBS_GROUPS if over_gr00t else {"actor": ["state"], "critic": ["state", "privileged"]},
        settings.get("actor", {}),
        {"hidden_dims": [16]} | settings.get("critic", {}),
        "cpu",
    )
    defaults = {"learning_rate": 1e-3, "num_mini_batches": 2, "num_learning_epochs": 2}
    alg = Gr00tPPO(pair, observations(N), T, max_iterations=4, **(defaults | settings.get("algorithm", {})))
    alg.train_mode()
    return alg


def observe(settings: Settings) -> dict[str, Any]:
    """What two iterations do: weights, metrics, actions, and how often networks are called. Or the error."""
    try:
        alg = build(settings)
        calls = count_calls(alg)
        logs = [iterate(alg, seed, settings) for seed in range(2)]
    except (ValueError, FloatingPointError) as error:
        return {"error": str(error)}
    torch.manual_seed(0)
    with torch.no_grad():
        actions = alg.actor(observations(N))
    modules = {"actor": alg.actor, "critic": alg.critic}
    weights = {f"{m}.{n}": v.clone() for m, module in modules.items() for n, v in module.state_dict().items()}
    trained = {name: value.clone() for name, value in alg.freezing.state_dict().items()}
    return {"weights": weights | trained, "logs": logs, "actions": actions, "calls": calls}


def count_calls(alg: Gr00tPPO) -> dict[str, int]:
    """Calls of the critic, and of a layer of the language model, from now on."""
    calls = {"critic": 0, "layer": 0}

    def counter(name: str) -> Any:
        def count(*_: Any) -> None:
            calls[name] += 1

        return count

    alg.critic.mlp.register_forward_pre_hook(counter("critic"))
    if alg.actor.over_gr00t:
        alg.encoder.model.backbone.language_layers[-1].register_forward_pre_hook(counter("layer"))
    return calls


def iterate(alg: Gr00tPPO, seed: int, settings: Settings) -> dict[str, float]:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    if settings.get("gradients") == "not finite" and seed == 0:
        alg.critic.mlp[0].weight.register_hook(lambda gradient: gradient * torch.nan)
    chunk = alg.actor.chunk_length
    extras: dict[str, Any] = {}
    with torch.inference_mode():
        for step in range(T):
            alg.act(observations(N, seed=10 * seed + step))
            ended = torch.arange(N) == step
            extras = extras_of(
                N,
                executed_steps=torch.where(ended, max(1, chunk - 1), chunk),
                step_rewards=torch.randn(N, chunk, generator=generator),
                time_outs=ended,
                final_observations=TensorDict(
                    dict(observations(N, seed=100 + step).select(*alg.final_observation_groups)), batch_size=[N]
                ),
            )
            rewards = 2.0 * torch.randn(N, generator=generator)
            alg.process_env_step(observations(N, seed=step), rewards, ended.long(), extras)
        alg.compute_returns(observations(N, seed=50))
    alg.update()
    return {name: float(value) for name, value in extras["log"].items() if name.startswith("train/")}


@functools.cache
def observe_defaults(settings: str) -> dict[str, Any]:
    return observe(json.loads(settings))


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return first.shape == second.shape and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[name], second[name]) for name in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second or (first != first and second != second)


def test_two_observations_of_the_same_settings_are_equal() -> None:
    """Else the tests below could not fail."""
    for settings in (GAUSSIAN, FLOW, LANGUAGE):
        first, second = observe(settings), observe(settings)
        assert "error" not in first
        assert equal(first, second)


@pytest.mark.parametrize("name", TABLE)
def test_every_field_changes_something(name: str) -> None:
    settings, value = TABLE[name]
    section, _, field = name.partition(".")
    path = {"algorithm": "algorithm", "critic": "critic", "gr00t": "actor.gr00t", "freezing": "actor.freezing"}
    before = observe_defaults(json.dumps(settings))
    if settings.get("gradients") is None:
        assert "error" not in before, before
    after = observe(changed(settings, f"{path.get(section, 'actor')}.{field}", value))
    assert ("error" in after) == (name in SEEN_BY_AN_ERROR), after
    assert not equal(before, after), f"{name} = {value!r} changes nothing"
