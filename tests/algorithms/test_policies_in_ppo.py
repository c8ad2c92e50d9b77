# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What must hold in PPO for every policy: the first ratio, the reference, checkpoints, and that it learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from counting import counted, layers
from made_up_experience import N, Runner, T, extras_of, same, weights
from policies import POLICIES, H, Policy
from tiny_policy import SPEC, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.base_checkpoint import tiny_checkpoint

some_policies = pytest.mark.parametrize(
    "policy",
    [
        POLICIES[name]
        for name in ("gaussian", "squashed", "categorical", "flow, sde, one step", "flow, learned, all steps")
    ],
    ids=lambda policy: policy.actor_class.__name__,
)
frozen_too = pytest.mark.parametrize(
    "policy",
    [*some_policies.args[1], POLICIES["residual"], POLICIES["steering"]],
    ids=lambda policy: policy.actor_class.__name__,
)
"""With those over a GR00T of which nothing trains, but whose head is called."""
every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))


def make(policy: Policy, seed: int = 0, num_envs: int = N, num_steps: int = T, **settings: Any) -> Gr00tPPO:
    critic, encoder = settings.pop("critic", None), settings.pop("encoder", {})
    defaults = {"num_learning_epochs": 2, "num_mini_batches": 3, "target_kl": None, "learning_rate": 1e-3}
    pair = policy.build(seed, critic, **encoder)
    alg = Gr00tPPO(pair, observations(num_envs), num_steps, **(defaults | settings))  # type: ignore[arg-type]
    alg.train_mode()
    return alg


@every_policy
def test_the_first_ratio_is_one(policy: Policy) -> None:
    """Also after updates, in another batch size than the rollout's, with dropout in the checkpoint's config."""
    config = json.loads((tiny_checkpoint(policy.spec) / "config.json").read_text())
    assert config["action_head_cfg"]["diffusion_model_cfg"]["dropout"] > 0
    runner = Runner(make(policy))
    for _ in range(3):
        log = runner.iterate()
        assert log["train/first_ratio_error"] < 1e-5
        assert log["train/rollout_ratio_error"] < 1e-3, "the rollout is computed as the update is"
        assert log["train/approx_kl"] > 1e-5


@frozen_too
def test_the_first_ratio_is_one_in_bf16(policy: Policy) -> None:
    runner = Runner(make(policy, encoder={"dtype": "bfloat16"}, use_mixed_precision=True, num_learning_epochs=1))
    for _ in range(2):
        log = runner.iterate()
        assert log["train/first_ratio_error"] < 1e-3
        assert log["train/approx_kl"] > 1e-5
    assert {p.dtype for group in runner.alg.updater.optimizer.param_groups for p in group["params"]} == {torch.float32}
    assert all(values.dtype == torch.float32 for values in runner.alg.storage.recorded or ())


@pytest.mark.parametrize("coefficient", [0.0, 0.1])
def test_an_update_of_steering_calls_neither_backbone_nor_diffusion_transformer(coefficient: float) -> None:
    """The KL penalty and the critic included; the rollout calls both."""
    alg = make(POLICIES["steering"], kl_to_base_coef=coefficient, critic_warmup_epochs=2)
    runner = Runner(alg)
    for _ in range(2):
        with counted(layers(alg.encoder.model)) as in_rollout:
            runner.rollout()
        assert {name[:3] for name in in_rollout} == {"vis", "lan", "vl0", "dit"}
        before = weights(alg)
        with counted(layers(alg.encoder.model)) as in_update:
            alg.update()
        assert not in_update
        assert not same(weights(alg), before)


def test_dropout_in_the_update_alone_would_be_seen() -> None:
    """The guard against it: another policy in the update than in the rollout shows in the log."""
    policy = POLICIES["flow, sde, one step"]
    alg = make(policy)
    runner = Runner(alg)
    runner.rollout()
    handle = alg.encoder.model.action_head.action_decoder.layer1.register_forward_hook(
        lambda module, inputs, output: torch.nn.functional.dropout(output, 0.2)
    )
    alg.update()
    handle.remove()
    assert runner.logs[-1]["train/rollout_ratio_error"] > 0.01


@frozen_too
def test_the_kl_to_the_base_is_zero_at_first_and_grows(policy: Policy) -> None:
    alg = make(policy, num_learning_epochs=1, num_mini_batches=1, kl_to_base_coef=0.01)
    runner = Runner(alg)
    divergences = [runner.iterate()["train/kl_to_base"] for _ in range(3)]
    assert divergences[0] == pytest.approx(0.0, abs=1e-6)
    assert divergences[2] > 1e-5
    # the same number where it is not part of the loss
    other = make(policy, num_learning_epochs=1, num_mini_batches=1, kl_to_base_coef=0.0)
    assert Runner(other).iterate()["train/kl_to_base"] > 0.0


@some_policies
def test_a_larger_kl_penalty_keeps_every_policy_closer_to_the_base(policy: Policy) -> None:
    distances = []
    for coefficient in (1e-6, 3.0):
        alg = make(policy, kl_to_base_coef=coefficient, num_learning_epochs=3)
        torch.manual_seed(5)
        distances.append(Runner(alg).iterate(3)["train/kl_to_base"])
    assert distances[0] > 1.5 * distances[1] > 0.0


@some_policies
def test_what_happens_after_the_end_of_an_episode_changes_nothing(policy: Policy) -> None:
    executed = torch.full((T, N), H)
    executed[1:4, 1] = torch.tensor([1, 2, 3])
    results = []
    for change in ("nothing", "after", "before"):
        alg = make(policy, kl_to_base_coef=0.1)
        torch.manual_seed(1)
        Runner(alg).rollout(executed)
        recorded = alg.storage.recorded
        assert recorded is not None
        with torch.inference_mode():
            if policy.actor_class.reads_head:
                # the last point of a chain, which is no input of the network
                drawn = recorded[0][1, 1, -1]
            elif len(recorded) == 3:
                drawn = recorded[2][1, 1]
            else:
                drawn = alg.storage.actions[1, 1].view(H, -1)
            rows = {"nothing": slice(0, 0), "after": slice(1, None), "before": slice(0, 1)}[change]
            drawn[rows, 0] = (drawn[rows, 0] + 1) % 3 if policy.spec.action_choices else drawn[rows, 0] + 0.1
        torch.manual_seed(2)
        alg.update()
        results.append(weights(alg) | {n: p.clone() for n, p in alg.freezing.state_dict().items()})
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


@frozen_too
def test_a_run_of_every_policy_continues_identically_from_its_checkpoint(policy: Policy, tmp_path: Path) -> None:
    alg = make(policy, kl_to_base_coef=0.1)
    torch.manual_seed(7)
    Runner(alg).iterate(2)
    torch.save(alg.save() | {"iter": 1, "infos": None}, tmp_path / "model_1.pt")
    random = torch.get_rng_state()
    Runner(alg, seed=8).iterate()
    resumed = make(policy, seed=123, kl_to_base_coef=0.1)
    torch.manual_seed(999)
    resumed.load(torch.load(tmp_path / "model_1.pt", weights_only=True), None, True)
    # what the runner's guard restores
    torch.set_rng_state(random)
    Runner(resumed, seed=8).iterate()
    assert same(weights(resumed), weights(alg))
    assert same(dict(resumed.freezing.state_dict()), dict(alg.freezing.state_dict()))


@some_policies
def test_values_of_control_steps(policy: Policy) -> None:
    """One value, advantage and ratio per control step; nothing after the end of an episode counts."""
    alg = make(policy, critic={"values": "step"})
    executed = torch.full((T, N), H)
    executed[2, 0] = 2
    runner = Runner(alg)
    runner.rollout(executed)
    assert alg.storage.values.shape == alg.storage.advantages.shape == (T, N, H)
    assert not alg.storage.advantages[2, 0, 2:].any()
    assert alg.storage.advantages[2, 0, :2].all()
    alg.update()
    assert runner.logs[-1]["train/first_ratio_error"] < 1e-5
    assert runner.iterate()["train/value_loss"] > 0.0


def test_accumulated_gradients_of_values_of_control_steps_are_those_of_the_mini_batch() -> None:
    """Parts with different numbers of executed steps."""
    results = []
    executed = torch.randint(1, H + 1, (T, N), generator=torch.Generator().manual_seed(3))
    for parts in (1, 3):
        alg = make(
            POLICIES["gaussian"], critic={"values": "step"}, gradient_accumulation_steps=parts, optimizer="sgd",
            learning_rate=1e-2, normalize_advantage_per_mini_batch=True,
        )  # fmt: skip
        torch.manual_seed(1)
        runner = Runner(alg)
        runner.rollout(executed)
        torch.manual_seed(2)
        alg.update()
        results.append((weights(alg), runner.logs[-1]["train/policy_loss"], runner.logs[-1]["train/clipfrac"]))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, atol=1e-6, rtol=1e-5)
    assert results[0][1:] == pytest.approx(results[1][1:], abs=1e-6)


# Learning


def solved_by(policy: Policy, iterations: int, num_envs: int = 64, **settings: Any) -> tuple[float, float]:
    """Train on a bandit whose best action depends on the state; return of the deterministic policy before and after.

    Two actions per decision. Continuous: ``1 - mean |a - a*|^2`` with a* = +-0.5 by the sign of a state dimension.
    Discrete: the share of choices that are the right one of the state. The optimum is 1.
    """
    defaults = {
        "num_learning_epochs": 4,
        "num_mini_batches": 4,
        "kl_to_base_coef": 0.0,
        "clip_param": 0.2,
        "critic_learning_rate": 1e-3,
        "encoder": {"chunk_length": 1},
    }
    if not policy.spec.action_choices:
        policy = dataclasses.replace(policy, spec=dataclasses.replace(SPEC, action_terms={"arm": 2}))
    alg = make(policy, num_envs=num_envs, num_steps=4, **(defaults | settings))
    with torch.no_grad():
        obs = alg.encoder.encode(observations(num_envs))
    right = obs["state"][:, :1] > 0

    def returns(actions: torch.Tensor) -> torch.Tensor:
        if policy.spec.action_choices:
            return (actions == torch.where(right, 2, 0)).float().mean(dim=1)
        return 1.0 - (actions - torch.where(right, 0.5, -0.5)).square().mean(dim=1)

    def evaluate() -> float:
        with torch.no_grad():
            torch.manual_seed(100)
            return float(torch.stack([returns(alg.actor(obs)) for _ in range(4)]).mean())

    start = evaluate()
    torch.manual_seed(0)
    for _ in range(iterations):
        with torch.inference_mode():
            for _ in range(4):
                actions = alg.act(obs)
                extras = extras_of(num_envs, executed_steps=torch.ones(num_envs, dtype=torch.long))
                alg.process_env_step(obs, returns(actions), torch.ones(num_envs), extras)
            alg.compute_returns(obs)
        alg.update()
    return start, evaluate()


ADAPTER = {"learning_rate": 3e-3, "num_envs": 64}
FLOW = {"learning_rate": 1e-3, "num_envs": 32, "target_kl": 0.2, "schedule": "linear", "max_iterations": 40}
TWO_STEPS = {"num_steps": 2, "num_eval_steps": 2}


@pytest.mark.parametrize(
    ("name", "flow", "settings", "iterations", "start", "goal"),
    [
        ("gaussian", {}, ADAPTER, 30, 0.8, 0.95),
        ("gaussian, state-dependent std", {}, ADAPTER, 40, 0.8, 0.95),
        ("squashed", {}, ADAPTER, 30, 0.8, 0.95),
        ("categorical", {}, ADAPTER, 30, 0.6, 0.95),
        ("flow, sde, one step", TWO_STEPS, FLOW | {"num_learning_epochs": 2}, 40, 0.0, 0.8),
        pytest.param(
            "flow, learned, all steps",
            TWO_STEPS | {"std_range": (0.2, 0.5)},
            FLOW | {"max_iterations": 70},
            70,
            0.0,
            0.9,
            marks=pytest.mark.slow,
        ),
        pytest.param("flow, lora", TWO_STEPS, FLOW | {"learning_rate": 3e-3}, 40, 0.0, 0.2, marks=pytest.mark.slow),
    ],
)
def test_every_policy_solves_a_problem_with_a_known_optimum(
    name: str, flow: dict[str, Any], settings: dict[str, Any], iterations: int, start: float, goal: float
) -> None:
    policy = POLICIES[name]
    if flow:
        policy = dataclasses.replace(policy, settings={"flow": policy.settings.get("flow", {}) | flow})
    before, after = solved_by(policy, iterations, **settings)
    assert before < start
    assert after > goal
