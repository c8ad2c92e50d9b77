# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""mlp: rsl_rl's MLP as an actor acts, scores and exports as rsl_rl's model does, and learns in our PPO."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from tensordict import TensorDict
from tiny_policy import observations, task_stand_in

from gr00t_rl_ext.algorithms import construction
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.mlp import MlpActor
from gr00t_rl_ext.robot.task_spec import TaskSpec

GROUPS = {"actor": ["state", "privileged"], "critic": ["privileged"]}
SPEC = TaskSpec.from_env(task_stand_in(), observations(), GROUPS["actor"], over_gr00t=False)
DISCRETE = dataclasses.replace(SPEC, action_terms={"action": 2}, action_choices=(3, 4))
MLP = {"hidden_dims": [32, 32], "activation": "elu"}
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.5}
# a std that each state has for itself shrinks where luck was good; the bound keeps it exploring
HETEROSCEDASTIC = {"class_name": "HeteroscedasticGaussianDistribution", "init_std": 0.5, "std_range": [0.2, 1.0]}

policies = pytest.mark.parametrize(
    ("spec", "distribution"),
    [(SPEC, GAUSSIAN), (SPEC, HETEROSCEDASTIC), (DISCRETE, None)],
    ids=["one std", "state-dependent std", "discrete"],
)


def vectors(num_envs: int = 4, seed: int = 0) -> TensorDict:
    return observations(num_envs, seed).select("state", "privileged")


def pair(
    spec: TaskSpec = SPEC, distribution: dict[str, Any] | None = GAUSSIAN, seed: int = 0, **actor: Any
) -> Gr00tActorCritic:
    torch.manual_seed(seed)
    cfg = MLP | {"distribution_cfg": distribution} | actor
    return Gr00tActorCritic.build(MlpActor, spec, vectors(), GROUPS, cfg, {"hidden_dims": [32, 32]}, "cpu")


def algorithm(built: Gr00tActorCritic, num_envs: int = 4, num_steps: int = 4, **settings: Any) -> Gr00tPPO:
    options = {"target_kl": None, "kl_to_base_coef": 0.0, "learning_rate": 3e-3, "critic_learning_rate": 3e-3}
    alg = Gr00tPPO(built, vectors(num_envs), num_steps, **(options | settings))
    alg.train_mode()
    return alg


def decisions(actor: MlpActor, obs: TensorDict) -> Decisions:
    actions = actor(obs, stochastic_output=True)
    valid = torch.ones(obs.batch_size[0], actor.chunk_length, dtype=torch.bool)
    return Decisions(actions, actor.output_distribution_params, valid)


@policies
@pytest.mark.parametrize("chunk_length", [1, 3])
def test_shapes_and_the_distribution_that_is_recorded(
    spec: TaskSpec, distribution: dict[str, Any] | None, chunk_length: int
) -> None:
    actor = pair(spec, distribution, chunk_length=chunk_length).actor
    obs = vectors()
    made = decisions(actor, obs)
    assert made.actions.shape == (4, chunk_length * spec.action_dim)
    assert tuple(tuple(p.shape[1:]) for p in made.recorded) == actor.distribution_shapes
    assert actor.scored(actor.distribution(obs, made), made).log_ratio(actor.score_recorded(made)).abs().max() == 0


@pytest.mark.parametrize("distribution", [GAUSSIAN, HETEROSCEDASTIC], ids=["one std", "state-dependent std"])
@pytest.mark.parametrize("std_type", ["scalar", "log"])
def test_actions_and_densities_are_those_of_rsl_rls_model(distribution: dict[str, Any], std_type: str) -> None:
    actor = pair(distribution=distribution | {"std_type": std_type}).actor
    obs = vectors()
    torch.manual_seed(1)
    expected = actor.model(obs, stochastic_output=True)
    log_prob, entropy = actor.model.get_output_log_prob(expected), actor.model.output_entropy
    old = actor.model.output_distribution_params
    torch.manual_seed(1)
    made = decisions(actor, obs)
    torch.testing.assert_close(made.actions, expected, rtol=0, atol=0)
    scored = actor.score(obs, made)
    torch.testing.assert_close(scored.log_prob().sum(1), log_prob)
    torch.testing.assert_close(scored.entropy().sum(1), entropy)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.add_(0.01)
    actor.model(obs, stochastic_output=True)
    divergence = actor.model.get_kl_divergence(old, actor.model.output_distribution_params)
    torch.testing.assert_close(actor.score_recorded(made).kl_divergence(actor.score(obs, made)).sum(1), divergence)
    torch.testing.assert_close(actor(obs), actor.model(obs), rtol=0, atol=0)


def test_discrete_actions_follow_the_logits() -> None:
    actor = pair(DISCRETE, None).actor
    with torch.no_grad():
        last = actor.model.mlp[-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0]).log_softmax(0))
    obs = vectors(2000)
    actions = actor(obs, stochastic_output=True)
    expected = torch.tensor([0.0, 2.0, 0.0]).softmax(0)
    assert float((actions[:, 0] == 1).float().mean()) == pytest.approx(float(expected[1]), abs=0.03)
    assert actor(obs)[0].tolist() == [1.0, 3.0]
    torch.testing.assert_close(actor.output_std[0, 0, 0], 1.0 - expected[1])


@policies
def test_the_spread_before_the_first_decision(spec: TaskSpec, distribution: dict[str, Any] | None) -> None:
    spread = pair(spec, distribution).actor.output_std
    if distribution is not None:
        torch.testing.assert_close(spread, torch.full_like(spread, 0.5), rtol=0, atol=0.1)
    else:
        torch.testing.assert_close(spread.flatten(), torch.tensor([2 / 3, 3 / 4]), rtol=0, atol=0.1)


@policies
def test_exports_act_as_the_policy(spec: TaskSpec, distribution: dict[str, Any] | None, tmp_path: Path) -> None:
    actor = pair(spec, distribution, chunk_length=2, obs_normalization=True).actor
    actor.update_normalization(vectors(64, seed=5))
    obs = vectors()
    joined = torch.cat([obs["state"], obs["privileged"]], dim=-1)
    expected = actor(obs)
    torch.jit.script(actor.as_jit().to("cpu")).save(str(tmp_path / "policy.pt"))
    torch.testing.assert_close(torch.jit.load(str(tmp_path / "policy.pt"))(joined), expected, rtol=0, atol=1e-6)
    onnx = actor.as_onnx(verbose=False)
    torch.testing.assert_close(onnx(joined), expected, rtol=0, atol=1e-6)
    (dummy,) = onnx.get_dummy_inputs()
    assert dummy.shape == (1, 72)
    assert (list(onnx.input_names), list(onnx.output_names)) == (["obs"], ["actions"])


@pytest.mark.parametrize(
    ("spec", "actor", "text"),
    [
        (
            SPEC,
            {"distribution_cfg": None},
            r"distribution_cfg` is null, but .* continuous.*one of GaussianDistribution",
        ),
        (DISCRETE, {}, r"distribution_cfg` is set, but .* discrete \(3, 4 choices\).*Set `agent.actor.dist.*=null`"),
        (SPEC, {"distribution_cfg": {"class_name": "BetaDistribution"}}, r"class_name` is 'BetaDistribution'; this"),
        (SPEC, {"distribution_cfg": {"class_name": "Gauss"}}, r"class_name` is 'Gauss'; .* are GaussianDistribution, "),
        (
            SPEC,
            {"distribution_cfg": GAUSSIAN | {"std": 1}},
            r"`agent.actor.distribution_cfg` has no field 'std'.*init_",
        ),
        (SPEC, {"gr00t": {}}, r"`agent.actor` has no field 'gr00t'. Its fields are: activation, chunk_length, "),
        (SPEC, {"chunk_length": 0}, r"`agent.actor.chunk_length` is 0; expected at least 1 control step"),
    ],
)
def test_what_does_not_fit_is_refused(spec: TaskSpec, actor: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        pair(spec, **actor)


def test_the_critics_fields_are_checked() -> None:
    with pytest.raises(ValueError, match=r"`agent.critic` has no field 'rnn'"):
        Gr00tActorCritic.build(
            MlpActor, SPEC, vectors(), GROUPS, MLP | {"distribution_cfg": GAUSSIAN}, {"rnn": 1}, "cpu"
        )


# In PPO


def task(**changes: Any) -> tuple[SimpleNamespace, SimpleNamespace]:
    """rsl_rl's wrapper around a task stand-in, and what the learner configured."""
    configured = SimpleNamespace()
    unwrapped = task_stand_in(
        configure_decisions=lambda chunk_length, **others: vars(configured).update(others, chunk_length=chunk_length),
        **changes,
    )
    return SimpleNamespace(unwrapped=unwrapped, num_envs=4), configured


def agent_cfg(**actor: Any) -> dict[str, Any]:
    actor = {"class_name": "gr00t_rl_ext.policy.mlp:MlpActor", "distribution_cfg": GAUSSIAN, **MLP} | actor
    return {
        "algorithm": {"class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO", "gamma": 0.9},
        "actor": actor,
        "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic"},
        "obs_groups": GROUPS,
        "num_steps_per_env": 4,
        "multi_gpu": None,
    }


def test_an_agent_without_gr00t_is_built_from_its_config(capsys: pytest.CaptureFixture[str]) -> None:
    env, configured = task()
    alg = construction.build(observations(), env, agent_cfg(chunk_length=2), "cpu")
    assert isinstance(alg.actor, MlpActor)
    assert env.num_actions == 2 * 8
    assert configured.chunk_length == 2
    assert configured.step_discount == pytest.approx(0.9**0.5)
    assert configured.observation_groups == ["state", "privileged"], "no cameras"
    assert configured.final_observation_groups == ["privileged"]
    printed = capsys.readouterr().out
    assert "memory at the peak" in printed
    assert "sees 72 dimensions of state, privileged" in printed
    assert "decides 2 control steps x 8 actions" in printed


def test_the_default_is_one_control_step_per_decision() -> None:
    assert pair().chunk_length == pair().actor.chunk_length == 1


def test_rsl_rls_model_itself_is_no_actor_of_ours() -> None:
    with pytest.raises(
        ValueError, match=r"`agent.actor.class_name` is 'MLPModel', .* gr00t_rl_ext.policy.mlp:MlpActor"
    ):
        construction.build(observations(), task()[0], agent_cfg(class_name="MLPModel"), "cpu")


def iterate(alg: Gr00tPPO, seed: int = 0) -> dict[str, Any]:
    num_envs = alg.storage.num_envs
    generator = torch.Generator().manual_seed(seed)
    extras: dict[str, Any] = {}
    with torch.inference_mode():
        for step in range(alg.storage.num_steps):
            alg.act(vectors(num_envs, 10 * seed + step))
            extras = extras_of(num_envs, executed_steps=torch.ones(num_envs, dtype=torch.long))
            rewards = torch.randn(num_envs, generator=generator)
            alg.process_env_step(vectors(num_envs), rewards, torch.zeros(num_envs), extras)
        alg.compute_returns(vectors(num_envs))
    alg.update()
    return extras["log"]


@policies
def test_the_first_ratio_is_one(spec: TaskSpec, distribution: dict[str, Any] | None) -> None:
    alg = algorithm(pair(spec, distribution, obs_normalization=True))
    for seed in range(3):
        log = iterate(alg, seed)
        assert log["train/first_ratio_error"] < 1e-5
        assert log["train/approx_kl"] > 1e-6
        assert log["perf/backbone_calls"] == 0


@policies
def test_a_run_continues_identically_from_its_checkpoint(
    spec: TaskSpec, distribution: dict[str, Any] | None, tmp_path: Path
) -> None:
    alg = algorithm(pair(spec, distribution, obs_normalization=True), kl_to_base_coef=0.1)
    iterate(alg)
    torch.save(alg.save() | {"iter": 1, "infos": None}, tmp_path / "model_1.pt")
    resumed = algorithm(pair(spec, distribution, seed=9, obs_normalization=True), kl_to_base_coef=0.1)
    resumed.load(torch.load(tmp_path / "model_1.pt", weights_only=True), None, True)
    logs = [(torch.manual_seed(4), iterate(each, 1))[1] for each in (alg, resumed)]
    assert logs[0]["train/kl_to_base"] == logs[1]["train/kl_to_base"] > 0
    for name, value in alg.actor.state_dict().items():
        assert torch.equal(resumed.actor.state_dict()[name], value), name


def test_checkpoints_of_another_kind_are_refused() -> None:
    alg = algorithm(pair())
    saved = alg.save()
    assert saved["base_name"] is None
    with pytest.raises(ValueError, match=r"trained on the GR00T in '/base', but the agent acts without GR00T. Choose"):
        alg.load(saved | {"base_fingerprint": "other", "base_name": "/base"}, None, True)
    with pytest.raises(ValueError, match=r"trained without GR00T, on other observation or action terms than the agent"):
        alg.load(saved | {"base_fingerprint": "other"}, None, True)


@policies
def test_it_learns_a_bandit(spec: TaskSpec, distribution: dict[str, Any] | None) -> None:
    """The best action depends on the state: +-0.5, or one of two choices."""
    alg = algorithm(pair(spec, distribution), 64, clip_param=0.2, num_mini_batches=4, num_learning_epochs=4)
    obs = vectors(64)
    right = obs["state"][:, :1] > 0

    def returns(actions: torch.Tensor) -> torch.Tensor:
        if spec.action_choices:
            return (actions == torch.where(right, 2, 0)).float().mean(dim=1)
        return 1.0 - (actions - torch.where(right, 0.5, -0.5)).square().mean(dim=1)

    def evaluate() -> float:
        with torch.no_grad():
            return float(returns(alg.actor(obs)).mean())

    start = evaluate()
    torch.manual_seed(0)
    for _ in range(30):
        with torch.inference_mode():
            for _ in range(4):
                rewards = returns(alg.act(obs))
                executed = torch.ones(64, dtype=torch.long)
                alg.process_env_step(obs, rewards, torch.ones(64), extras_of(64, executed_steps=executed))
            alg.compute_returns(obs)
        alg.update()
    assert start < 0.8
    assert evaluate() > 0.95
