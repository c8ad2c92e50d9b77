# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""With an MLP and equal settings our PPO does what rsl_rl's does: same actions, losses and weights.

Both learn in an environment of their own, whose observations and rewards depend on their actions, so that a difference
would grow. What differs by design is left out here:

* time-outs, which rsl_rl bootstraps with the value of the state before the decision, ours with that of the final state
  (test_returns.py has the formula of both);
* the lower bound of the adaptive learning rate, 1e-5 in rsl_rl, 1/100 of the initial one in ours;
* the order of the decisions: rsl_rl draws one per update, ours one per epoch. Here both get the same one per update.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from rsl_rl.algorithms import PPO as RslRlPPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.mlp import MlpActor
from gr00t_rl_ext.robot.task_spec import TaskSpec

N, T = 16, 8
"""Environments, decisions per iteration."""

GROUPS = {"actor": ["state"], "critic": ["state", "privileged"]}
SPEC = TaskSpec("", (), (), ("state",), {"position": 3, "target": 3}, {"force": 3})
MLP = {"hidden_dims": [32, 16], "activation": "elu", "obs_normalization": True}
GAUSSIAN = {"class_name": "GaussianDistribution", "init_std": 0.5}
HETEROSCEDASTIC = {"class_name": "HeteroscedasticGaussianDistribution", "init_std": 0.5, "std_type": "log"}
SETTINGS = {
    "num_learning_epochs": 3,
    "num_mini_batches": 4,
    "clip_param": 0.1,
    "gamma": 0.98,
    "lam": 0.9,
    "value_loss_coef": 0.7,
    "entropy_coef": 0.01,
    "learning_rate": 1e-3,
    "max_grad_norm": 0.5,
    "use_clipped_value_loss": True,
    "schedule": "fixed",
    "normalize_advantage_per_mini_batch": False,
}
"""Options that both have."""


class PointMass:
    """N points that forces move to targets. An episode ends at the target, outside the arena, or now and then."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.position, self.target = self._normal(3), self._normal(3)

    def _normal(self, width: int) -> torch.Tensor:
        return torch.randn(N, width, generator=self.generator)

    def observe(self) -> TensorDict:
        state = torch.cat([self.position, self.target], dim=-1)
        return TensorDict({"state": state, "privileged": 3.0 * (self.target - self.position) + 5.0}, [N])

    def step(self, force: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor]:
        self.position = self.position + 0.3 * force + 0.1 * self._normal(3)
        distance = (self.target - self.position).norm(dim=-1)
        unlucky = torch.rand(N, generator=self.generator) < 0.1
        dones = (distance < 0.2) | (distance > 4.0) | unlucky
        restart = self._normal(3), self._normal(3)
        self.position, self.target = (
            torch.where(dones.unsqueeze(-1), new, old)
            for new, old in zip(restart, (self.position, self.target), strict=True)
        )
        return self.observe(), -distance, dones.long()


def rsl_rl_ppo(distribution: dict[str, Any], **settings: Any) -> RslRlPPO:
    obs = PointMass().observe()
    actor = MLPModel(obs, GROUPS, "actor", 3, **MLP, distribution_cfg=dict(distribution))
    critic = MLPModel(obs, GROUPS, "critic", 1, **MLP)
    return RslRlPPO(actor, critic, RolloutStorage("rl", N, T, obs, [3]), **(SETTINGS | settings))


def our_ppo(distribution: dict[str, Any], **settings: Any) -> Gr00tPPO:
    actor = MLP | {"distribution_cfg": dict(distribution)}
    pair = Gr00tActorCritic.build(MlpActor, SPEC, PointMass().observe(), GROUPS, actor, MLP | {"obs_clip": None}, "cpu")
    options = SETTINGS | {"adam_epsilon": 1e-8, "kl_to_base_coef": 0.0, "target_kl": None} | settings
    return Gr00tPPO(pair, PointMass().observe(), T, critic_learning_rate=options["learning_rate"], **options)


def in_rsl_rls_names(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    """Our weights and running statistics under the names of rsl_rl's models."""
    actor = {name.removeprefix("model."): value for name, value in alg.actor.state_dict().items()}
    critic = {name.replace("normalizer.", "obs_normalizer."): value for name, value in alg.critic.state_dict().items()}
    return {f"actor.{name}": value for name, value in actor.items()} | {
        f"critic.{name}": value for name, value in critic.items()
    }


def weights(alg: RslRlPPO) -> dict[str, torch.Tensor]:
    return {f"{m}.{n}": v for m in ("actor", "critic") for n, v in getattr(alg, m).state_dict().items()}


@contextmanager
def one_order_per_update(seed: int, decisions: int = N * T) -> Iterator[None]:
    """Every ``torch.randperm`` inside gives the same permutation of that many decisions."""
    order = torch.randperm(decisions, generator=torch.Generator().manual_seed(seed))

    def given(count: int, **_: Any) -> torch.Tensor:
        assert count == decisions
        return order.clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randperm", given)
        yield


class Run:
    """rsl_rl's runner around an algorithm in an environment of its own."""

    def __init__(self, alg: Any) -> None:
        self.alg, self.env = alg, PointMass()
        self.obs = self.env.observe()
        self.num_ends = 0
        alg.train_mode()

    def iterate(self, seed: int) -> tuple[torch.Tensor, dict[str, float]]:
        """The actions of a rollout, and the losses of the update after it."""
        torch.manual_seed(seed)
        actions = []
        with torch.inference_mode():
            for _ in range(T):
                actions.append(self.alg.act(self.obs))
                self.obs, rewards, dones = self.env.step(actions[-1])
                self.num_ends += int(dones.sum())
                extras = extras_of(N, executed_steps=torch.ones(N, dtype=torch.long))
                self.alg.process_env_step(self.obs, rewards, dones, extras)
            self.alg.compute_returns(self.obs)
        with one_order_per_update(seed):
            return torch.stack(actions), self.alg.update()


@pytest.mark.parametrize("distribution", [GAUSSIAN, HETEROSCEDASTIC], ids=["one std", "state-dependent std"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"schedule": "adaptive", "desired_kl": 0.01},
        {"schedule": "adaptive", "desired_kl": 1.0, "num_learning_epochs": 2},
        {"use_clipped_value_loss": False},
        {"normalize_advantage_per_mini_batch": True},
        {"num_mini_batches": 1, "num_learning_epochs": 6},
        {"optimizer": "sgd", "learning_rate": 1e-2},
    ],
    ids=lambda settings: ", ".join(f"{name}={value}" for name, value in settings.items()) or "defaults",
)
def test_five_iterations_are_those_of_rsl_rl(distribution: dict[str, Any], settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    theirs = rsl_rl_ppo(distribution, **settings)
    ours = our_ppo(distribution, **settings)
    start = copy.deepcopy(weights(theirs))
    assert in_rsl_rls_names(ours).keys() == start.keys()
    for name, value in in_rsl_rls_names(ours).items():
        value.copy_(start[name])
    runs = Run(theirs), Run(ours)
    rates = []
    for iteration in range(5):
        (expected_actions, expected), (actions, losses) = (run.iterate(iteration) for run in runs)
        torch.testing.assert_close(actions, expected_actions, rtol=0, atol=1e-5)
        assert losses == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert ours.learning_rate == pytest.approx(theirs.learning_rate, rel=1e-9)
        rates.append(theirs.learning_rate)
    assert runs[0].num_ends == runs[1].num_ends > 20
    expected_weights = weights(theirs)
    for name, value in in_rsl_rls_names(ours).items():
        torch.testing.assert_close(
            value, expected_weights[name], rtol=0, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}"
        )
    moved = max(float((expected_weights[name] - start[name]).abs().max()) for name in start if "mlp" in name)
    assert moved > 1e-3, "far more than the tolerance"
    if settings.get("schedule") == "adaptive":
        assert max(rates) > SETTINGS["learning_rate"], "the rate was adapted"
        assert (max(rates) == 1e-2) == (settings["desired_kl"] == 1.0), "rsl_rl's upper bound, with the larger KL"


@pytest.mark.parametrize(
    "change", [{"clip_param": 0.101}, {"entropy_coef": 0.011}, {"adam_epsilon": 1e-5}, {"gamma": 0.981}]
)
def test_a_slightly_different_setting_shows(change: dict[str, float]) -> None:
    """The comparison is sharp: changes of about one percent in a setting exceed the tolerance."""
    torch.manual_seed(0)
    ours = our_ppo(GAUSSIAN)
    other = our_ppo(GAUSSIAN, **change)
    other.actor.load_state_dict(ours.actor.state_dict())
    other.critic.load_state_dict(ours.critic.state_dict())
    for run in (Run(ours), Run(other)):
        for iteration in range(5):
            run.iterate(iteration)
    changed = in_rsl_rls_names(other)
    assert max(float((changed[n] - v).abs().max()) for n, v in in_rsl_rls_names(ours).items() if "mlp" in n) > 2e-5


@pytest.mark.parametrize("task", ["gym:Pendulum-v1", "gym:CartPole-v1"])
def test_on_a_gymnasium_task_it_learns_what_rsl_rls_does(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through environment, runner and recipes of a task; time-outs are bootstrapped in rsl_rl's way here.

    The rate is fixed: before the first step the KL is 0 but for rounding, and its sign decides whether the rate rises.
    """
    from isaaclab_rl.rsl_rl import create_rsl_rl_runner

    from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
    from gr00t_rl_ext.runners.config import for_installed_rsl_rl
    from gr00t_rl_ext.tasks.gymnasium import resolution

    monkeypatch.setattr(Gr00tPPO, "final_observation_groups", [])
    settings = ["env.num_workers=1", "env.max_episode_steps=20", "agent.num_steps_per_env=32"]
    settings += ["agent.algorithm.schedule=fixed", "agent.algorithm.desired_kl=null"]
    settings += ["agent.algorithm.num_learning_epochs=3", "agent.algorithm.num_mini_batches=4"]
    with ExitStack() as environments:
        runners: list[Any] = []
        for agent in ("rsl_rl_cfg_entry_point", "mlp_ppo"):
            env_cfg, cfg = resolution.resolve(task, agent, settings, 4, "cpu", 0)
            env = environments.enter_context(closing(GymnasiumVecEnv(env_cfg)))
            torch.manual_seed(0)
            runners.append(create_rsl_rl_runner(env, for_installed_rsl_rl(cfg)))
        theirs, ours = (runner.alg for runner in runners)
        start = copy.deepcopy(weights(theirs))
        for name, value in in_rsl_rls_names(ours).items():
            assert torch.equal(value, start[name]), f"{name} begins otherwise"
        for iteration in range(3):
            for runner in runners:
                torch.manual_seed(iteration)
                with one_order_per_update(iteration, 4 * 32):
                    runner.learn(1)
    expected = weights(theirs)
    for name, value in in_rsl_rls_names(ours).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4, msg=lambda m, name=name: f"{name}: {m}")
    moved = max(float((expected[name] - start[name]).abs().max()) for name in start if "mlp" in name)
    assert moved > 1e-2, "far more than the tolerance"
