# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GRPO: groups, masks, advantages in the update, resampling, segments, health, checkpoints, and that it learns."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from counting import counted, layers
from made_up_experience import extras_of, same
from policies import POLICIES, H, Policy
from tiny_policy import observations
from toy_agents import CHUNK, DECISIONS, grpo, grpo_runner, ppo, stock_runner, success_rate
from toy_reach import ToyReach

from gr00t_rl_ext.algorithms import construction
from gr00t_rl_ext.algorithms.grpo import Gr00tGRPO
from gr00t_rl_ext.algorithms.options import GrpoOptions
from gr00t_rl_ext.runners.grpo_runner import GrpoRunner

G = 4


@pytest.fixture(autouse=True)
def without_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate of memory takes seconds, and has tests of its own."""
    monkeypatch.setattr(construction, "estimate_footprint", lambda *_: SimpleNamespace(describe=str))


def actor_weights(alg: Gr00tGRPO) -> dict[str, torch.Tensor]:
    parameters = dict(alg.actor.named_parameters()) | alg.freezing.parameters()
    return {name: value.detach().clone() for name, value in parameters.items()}


class Scripted:
    """An environment whose outcomes are given: rewards, successes and ends of episodes by decision and environment."""

    def __init__(self, rewards: torch.Tensor, ends: torch.Tensor | None = None, seed: int = 0) -> None:
        self.rewards = rewards
        """Of each decision, (T, N)."""
        self.ends = torch.zeros_like(rewards, dtype=torch.bool) if ends is None else ends
        self.num_envs = rewards.shape[1]
        self.max_episode_length = H * len(rewards)
        self.unwrapped = self
        self.seed = seed
        self.step_of_episode = torch.zeros(self.num_envs, dtype=torch.long)
        self.parked = torch.zeros(self.num_envs, dtype=torch.bool)
        self.group_size = 0
        self.calls: list[tuple[str, Any]] = []

    def configure_decisions(self, chunk_length: int, **settings: Any) -> None:
        self.calls.append(("configure_decisions", settings["step_discount"]))

    def configure_groups(self, group_size: int) -> None:
        self.group_size = group_size

    def start_groups(self, groups: list[int]) -> None:
        self.calls.append(("start_groups", list(groups)))
        for group in groups:
            members = slice(group * self.group_size, (group + 1) * self.group_size)
            self.step_of_episode[members] = 0
            self.parked[members] = False

    def share_states(self, leaders: list[int]) -> None:
        self.calls.append(("share_states", list(leaders)))
        for leader in leaders:
            first = leader // self.group_size * self.group_size
            self.step_of_episode[first : first + self.group_size] = self.step_of_episode[leader].clone()
            self.parked[first : first + self.group_size] = False

    def park(self, parked: torch.Tensor) -> None:
        self.parked = parked.clone()

    def get_observations(self) -> Any:
        obs = observations(1, self.seed + 7)
        obs = obs.expand(self.num_envs).clone()
        obs["state"] = obs["state"] + self.step_of_episode.unsqueeze(1)
        return obs

    def step(self, actions: torch.Tensor) -> tuple[Any, torch.Tensor, torch.Tensor, dict[str, Any]]:
        at = self.step_of_episode.clamp(max=len(self.rewards) - 1)
        envs = torch.arange(self.num_envs)
        going = ~self.parked
        rewards = torch.where(going, self.rewards[at, envs], 0.0)
        dones = going & self.ends[at, envs]
        self.step_of_episode = self.step_of_episode + going
        extras = extras_of(self.num_envs, executed_steps=torch.where(going, H, 0), success=dones & (rewards > 0)) | {
            "log": {}
        }
        return self.get_observations(), rewards, dones.long(), extras


def make(
    rewards: torch.Tensor, policy: Policy = POLICIES["gaussian"], ends: torch.Tensor | None = None, **settings: Any
) -> tuple[Gr00tGRPO, Scripted]:
    defaults = {
        "group_size": G,
        "outcome": "return",
        "num_learning_epochs": 1,
        "num_mini_batches": 1,
        "target_kl": None,
        "learning_rate": 1e-3,
        "kl_to_base_coef": 0.0,
        "max_resamples": 0,
    }
    rounds = settings.pop("rounds", 1)
    pair = policy.build(0)
    pair.critic = None
    env = Scripted(rewards, ends)
    alg = Gr00tGRPO(pair, env.get_observations(), len(rewards), num_rounds=rounds, **(defaults | settings))
    alg.train_mode()
    alg.bind(env, ["rgb", "state"])
    return alg, env


def roll_out(alg: Gr00tGRPO, env: Scripted, max_steps: int = 100) -> dict[str, Any]:
    obs, extras = env.get_observations(), {}
    with torch.inference_mode():
        for _ in range(max_steps):
            actions = alg.act(obs)
            obs, rewards, dones, extras = env.step(actions)
            alg.process_env_step(obs, rewards, dones, extras)
            if alg.rollout_complete:
                break
        alg.compute_returns(obs)
    return extras


def iterate(alg: Gr00tGRPO, env: Scripted) -> dict[str, Any]:
    extras = roll_out(alg, env)
    with contextlib.redirect_stdout(io.StringIO()):
        alg.update()
    return extras["log"]


# What the issue promises


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_with_all_returns_equal_the_update_is_exactly_zero(policy: Policy) -> None:
    alg, env = make(torch.full((3, G), 0.1), policy)
    before = actor_weights(alg)
    log = iterate(alg, env)
    assert same(before, actor_weights(alg))
    assert log["train/num_updates"] == 0
    assert log["train/frac_zero_std"] == 1.0
    assert log["grpo/kept_groups"] == 0.0


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_with_one_success_that_members_chain_becomes_likelier_and_the_others_do_not(policy: Policy) -> None:
    """The gradient of the objective, chain by chain: the log-probability of the winner's rises."""
    rewards = torch.zeros(3, G)
    rewards[2, 1] = 1.0
    alg, env = make(rewards, policy, num_learning_epochs=1, learning_rate=1e-4)
    roll_out(alg, env)
    advantages = alg.storage.advantages[0] * alg.storage.weights[0]
    assert advantages[1] > 0
    assert (advantages[[0, 2, 3]] < 0).all()
    torch.testing.assert_close(advantages.sum(), torch.tensor(0.0), atol=1e-5, rtol=0.0)
    if alg.storage.kept:
        alg.reference.keep_distributions(alg.storage, alg.updater.part_size(alg.storage))
    batch = alg.storage.batch(torch.arange(3 * G))

    def chains() -> torch.Tensor:
        with torch.no_grad():
            return alg.reference.score(batch, with_gradient=True).current.log_prob().sum(1).view(3, G).sum(0)

    # the objective is the sum of the advantages times the ratios: the part of each chain has its advantage's sign
    loss = alg._loss(batch, 1.0)
    (slope,) = torch.autograd.grad(loss.parts["policy_loss"], loss.log_ratio, retain_graph=True)
    assert (slope.view(3, G)[:, 1] < 0).all(), "descent raises the winner's"
    assert (slope.view(3, G)[:, [0, 2, 3]] > 0).all()
    before = chains()
    with contextlib.redirect_stdout(io.StringIO()):
        alg.update()
    change = chains() - before
    assert change[1] > 0
    assert change[1] > change[[0, 2, 3]].max()


def test_an_update_of_steering_calls_neither_backbone_nor_diffusion_transformer() -> None:
    alg, env = make(torch.randn(3, G), POLICIES["steering"], kl_to_base_coef=0.1)
    with counted(layers(alg.encoder.model)) as in_rollout:
        roll_out(alg, env)
    assert {name[:3] for name in in_rollout} == {"vis", "lan", "vl0", "dit"}
    before = actor_weights(alg)
    with counted(layers(alg.encoder.model)) as in_update, contextlib.redirect_stdout(io.StringIO()):
        alg.update()
    assert not in_update
    assert not same(before, actor_weights(alg))


def test_no_critic_is_built_and_nothing_of_one_takes_memory() -> None:
    runner = grpo_runner(16, group_size=8)
    alg = runner.alg
    actor = {p.data_ptr() for p in alg.actor.parameters()}
    optimized = {p.data_ptr() for group in alg.updater.optimizer.param_groups for p in group["params"]}
    assert optimized == actor
    assert alg.critic is None
    assert alg.actor_critic.critic is None
    assert not {"values", "returns", "final_values"} & set(vars(alg.storage))
    saved = alg.save()
    assert not [name for name in saved if "critic" in name]
    with_critic = stock_runner(ppo(), 16).alg
    size = lambda tensors: sum(tensor.nbytes for part in tensors.values() for tensor in part)  # noqa: E731
    assert sum(p.numel() for p in alg.actor.parameters()) == sum(p.numel() for p in with_critic.actor.parameters())
    assert size(alg.storage.tensors()) <= size(with_critic.storage.tensors())


def test_what_happens_after_the_end_changes_nothing() -> None:
    rewards = torch.randn(5, 2 * G, generator=torch.Generator().manual_seed(0))
    ends = torch.zeros(5, 2 * G, dtype=torch.bool)
    ends[1, 0] = ends[3, 5] = ends[0, 6] = True
    results = []
    for spoilt in (0.0, 1e3):
        changed = rewards.clone()
        changed[2:, 0] += spoilt
        changed[4:, 5] -= spoilt
        changed[1:, 6] += spoilt
        alg, env = make(changed, ends=ends, num_learning_epochs=2, num_mini_batches=2)
        torch.manual_seed(1)
        iterate(alg, env)
        results.append(actor_weights(alg))
    assert same(*results)
    alg, env = make(rewards * 2.0, ends=ends, num_learning_epochs=2, num_mini_batches=2, baseline="mean_only")
    torch.manual_seed(1)
    iterate(alg, env)
    assert not same(results[0], actor_weights(alg)), "what happens before it does"


def test_stale_content_of_rows_that_were_not_filled_changes_nothing() -> None:
    results = []
    ends = torch.zeros(5, G, dtype=torch.bool)
    ends[1, 0] = ends[2, 1] = True
    rewards = torch.randn(5, G, generator=torch.Generator().manual_seed(0))
    for stale in (0.0, float("nan")):
        alg, env = make(rewards, ends=ends)
        iterate(alg, env)
        with torch.inference_mode():
            for tensor in (alg.storage.actions, *alg.storage.recorded):
                tensor[3:, 0] = stale
        torch.manual_seed(1)
        iterate(alg, env)
        results.append(actor_weights(alg))
    assert same(*results)


def test_an_env_that_finished_costs_no_policy_calls() -> None:
    ends = torch.zeros(6, 2 * G, dtype=torch.bool)
    ends[0, :5] = ends[2, 5:7] = True
    alg, env = make(torch.zeros(6, 2 * G), ends=ends)
    decided = []
    decide = alg._decide
    alg._decide = lambda encoded, envs=slice(None): (decided.append(envs.tolist()), decide(encoded, envs))[1]
    calls = alg.encoder.calls
    roll_out(alg, env)
    assert decided == [list(range(8)), [5, 6, 7], [5, 6, 7], [7], [7], [7]]
    assert alg.encoder.calls - calls == 6, "one pass through the backbone each, over these environments only"
    assert alg.storage.valid.any(-1).sum() == 8 + 2 * 3 + 3


# Advantages as they are stored


def test_stored_advantages_and_weights_by_hand() -> None:
    """Two groups of 4 over 4 decisions: returns 1 0 0 0 and 2 2 0 0, lengths 2 4 4 4 and 4 4 1 4."""
    rewards = torch.zeros(4, 8)
    rewards[1, 0] = 1.0
    rewards[0, 4], rewards[3, 5] = 2.0, 2.0
    ends = torch.zeros(4, 8, dtype=torch.bool)
    ends[1, 0] = ends[0, 6] = True
    alg, env = make(rewards, ends=ends)
    roll_out(alg, env)
    first = torch.tensor([1.0, 0.0, 0.0, 0.0])
    second = torch.tensor([2.0, 2.0, 0.0, 0.0])
    expected = torch.cat([(r - r.mean()) / r.std() for r in (first, second)])
    torch.testing.assert_close(alg.storage.advantages[0], expected)
    torch.testing.assert_close(alg.storage.advantages[3], expected)
    # 27 decisions of 8 episodes: 27 / 8 over the length
    lengths = torch.tensor([2.0, 4, 4, 4, 4, 4, 1, 4])
    torch.testing.assert_close(alg.storage.weights[0], 27 / 8 / lengths)
    rows = [0, 1, 2, 3]
    learned = sorted(row * 8 + env_ for row in rows for env_ in range(8) if row < lengths[env_])
    assert alg.storage.learned.tolist() == learned
    batch = alg.storage.batch(alg.storage.learned)
    assert batch.rows["weights"].mean() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"baseline": "mean_only"}, [0.75, -0.25, -0.25, -0.25]),
        ({"baseline": "leave_one_out"}, [1.0, -1 / 3, -1 / 3, -1 / 3]),
        ({"baseline": "group_relative"}, [1.5, -0.5, -0.5, -0.5]),
        ({"baseline": "group_relative", "std_floor": 0.9}, [0.75 / 0.9, -0.25 / 0.9, -0.25 / 0.9, -0.25 / 0.9]),
        (
            {"baseline": "mean_only", "advantage_normalization": "rollout"},
            [3**0.5, -((1 / 3) ** 0.5)] + [-((1 / 3) ** 0.5)] * 2,
        ),
        # against the mean of the first iteration itself
        ({"baseline": "running", "max_resamples": 0}, [0.75, -0.25, -0.25, -0.25]),
    ],
)
def test_the_baselines(settings: dict[str, Any], expected: list[float]) -> None:
    rewards = torch.zeros(2, G)
    rewards[1, 0] = 1.0
    alg, env = make(rewards, **settings)
    roll_out(alg, env)
    torch.testing.assert_close(alg.storage.advantages[0], torch.tensor(expected))


def test_the_running_baseline_remembers_earlier_iterations_and_is_resumed() -> None:
    rewards = torch.zeros(1, G)
    rewards[0, 0] = 1.0
    settings = {"baseline": "running", "max_resamples": 0, "baseline_momentum": 0.5}
    alg, env = make(rewards, **settings)
    iterate(alg, env)
    env.rewards = torch.ones(1, G)
    resumed, _ = make(rewards, **settings)
    resumed.load(json_round_trip(alg.save()), None, True)
    resumed.bind(env, ["rgb", "state"])
    for algorithm in (alg, resumed):
        baseline = algorithm._baseline.state_dict()
        roll_out(algorithm, env)
        # all succeed, which the group's mean would not tell from all failing
        torch.testing.assert_close(algorithm.storage.advantages[0], torch.full((G,), 0.75))
        algorithm._baseline.load_state_dict(baseline)


def json_round_trip(saved: dict[str, Any]) -> dict[str, Any]:
    """As a checkpoint file gives it back."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_advantages_per_mini_batch_have_scale_one() -> None:
    rewards = torch.randn(6, 2 * G, generator=torch.Generator().manual_seed(0))
    alg, env = make(rewards, advantage_normalization="mini_batch", baseline="mean_only", num_mini_batches=3)
    roll_out(alg, env)
    for indices in alg.storage.shuffled(3):
        whole = alg._mini_batch_statistics(indices)
        batch = alg.storage.batch(indices)
        weights, advantages = batch.rows["weights"], batch.rows["advantages"]
        rms = (weights * advantages.square()).sum() / weights.sum()
        assert float(whole) == pytest.approx(float(rms.sqrt()), rel=1e-5)


def test_decisions_may_weigh_the_same() -> None:
    ends = torch.zeros(4, G, dtype=torch.bool)
    ends[0, 0] = True
    rewards = torch.zeros(4, G)
    rewards[0, 0] = 1.0
    alg, env = make(rewards, ends=ends, decision_weights="decision")
    roll_out(alg, env)
    assert (alg.storage.weights[0] == 1.0).all()


# Groups that have no signal


def test_groups_without_signal_are_not_learned_from() -> None:
    rewards = torch.zeros(2, 3 * G)
    rewards[1, G] = 1.0
    alg, env = make(rewards)
    log = iterate(alg, env)
    assert log["grpo/kept_groups"] == pytest.approx(1 / 3)
    assert log["train/frac_zero_std"] == pytest.approx(2 / 3)


def test_groups_without_signal_begin_anew_up_to_the_budget() -> None:
    rewards = torch.zeros(2, 3 * G)
    rewards[1, G] = 1.0
    alg, env = make(rewards, max_resamples=2)
    roll_out(alg, env)
    starts = [groups for name, groups in env.calls if name == "start_groups"]
    assert starts == [[0, 1, 2], [0, 2], [0, 2]], "never more often, whatever comes out"
    assert alg._health["grpo/resampled_groups"] == 4


def test_a_group_that_gets_a_signal_replaces_its_first_attempt() -> None:
    ends = torch.zeros(3, 2 * G, dtype=torch.bool)
    rewards = torch.zeros(3, 2 * G)
    rewards[2, 0] = 1.0
    alg, env = make(rewards, ends=ends, max_resamples=3)
    start = env.start_groups

    def better(groups: list[int]) -> None:
        if groups == [1]:
            env.rewards = rewards.clone()
            env.rewards[0, G + 1] = 5.0
            env.ends = ends.clone()
            env.ends[0, G:] = True
        start(groups)

    env.start_groups = better  # type: ignore[method-assign]
    roll_out(alg, env)
    assert [groups for name, groups in env.calls if name == "start_groups"] == [[0, 1], [1]]
    outcomes = alg.storage.outcomes()
    assert outcomes.returns[0, 0].tolist() == [1, 0, 0, 0, 0, 5, 0, 0]
    assert outcomes.lengths[0, 0].tolist() == [3, 3, 3, 3, 1, 1, 1, 1], "nothing is left of the first attempt"
    assert alg._health["grpo/kept_groups"] == 1.0


def test_groups_out_of_the_success_range_are_left_out() -> None:
    ends = torch.zeros(1, 2 * G, dtype=torch.bool)
    rewards = torch.zeros(1, 2 * G)
    ends[0, [0, 4, 5, 6]] = True
    rewards[0, [0, 4, 5, 6]] = 1.0
    alg, env = make(rewards, ends=ends, outcome="success", success_range=(0.2, 0.5), max_resamples=0)
    roll_out(alg, env)
    assert sorted(alg.storage.learned.tolist()) == [0, 1, 2, 3]
    assert [alg._health[f"grpo/groups_with_{k}_successes"] for k in range(G + 1)] == [0, 1, 0, 1, 0]


# Rounds and segments


def test_rounds_add_groups_to_an_update() -> None:
    rewards = torch.randn(2, G, generator=torch.Generator().manual_seed(0))
    alg, env = make(rewards, rounds=3, max_resamples=0)
    roll_out(alg, env)
    assert [groups for name, groups in env.calls if name == "start_groups"] == [[0]] * 3
    assert alg.storage.num_decisions == 3 * 2 * G
    returns = alg.storage.outcomes().returns
    assert returns.shape == (3, 1, G)
    torch.testing.assert_close(returns[0], returns[2])


def test_segments_are_compared_one_by_one_from_a_members_state() -> None:
    """Segments of 2 decisions. In the second, only member 1 goes on, whose state all take over."""
    rewards = torch.tensor([[0.0] * G, [1.0, 0, 0, 0], [0.0, 0, 3, 0], [0.0] * G])
    ends = torch.zeros(4, G, dtype=torch.bool)
    ends[1, [0, 2, 3]] = True
    alg, env = make(rewards, ends=ends, segment_length=2, baseline="mean_only")
    roll_out(alg, env)
    assert [call for call in env.calls if call[0] == "share_states"] == [("share_states", [1])]
    outcomes = alg.storage.outcomes()
    assert outcomes.returns[0].tolist() == [[1, 0, 0, 0], [0, 0, 3, 0]]
    assert outcomes.lengths[0].tolist() == [[2, 2, 2, 2], [2, 2, 2, 2]]
    torch.testing.assert_close(alg.storage.advantages[0], torch.tensor([0.75, -0.25, -0.25, -0.25]))
    torch.testing.assert_close(alg.storage.advantages[3], torch.tensor([-0.75, -0.75, 2.25, -0.75]))


def test_a_group_in_which_every_episode_ended_rests_in_later_segments() -> None:
    ends = torch.zeros(4, 2 * G, dtype=torch.bool)
    ends[0, :G] = True
    rewards = torch.zeros(4, 2 * G)
    rewards[0, 0] = rewards[3, G] = 1.0
    alg, env = make(rewards, ends=ends, segment_length=2, max_resamples=0)
    roll_out(alg, env)
    (leaders,) = [leaders for name, leaders in env.calls if name == "share_states"]
    assert len(leaders) == 1
    assert leaders[0] // G == 1
    lengths = alg.storage.outcomes().lengths[0]
    assert lengths.tolist() == [[1] * G + [2] * G, [0] * G + [2] * G]
    # of four group-segments, one did not happen and one came out equal
    assert alg._health["grpo/kept_groups"] == pytest.approx(2 / 3)
    assert alg.storage.num_decisions == G + 2 * G


# Whatever the policy


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_the_first_ratio_is_one_and_the_kl_starts_at_zero(policy: Policy) -> None:
    rewards = torch.randn(4, 2 * G, generator=torch.Generator().manual_seed(0))
    alg, env = make(rewards, policy, kl_to_base_coef=0.1, num_mini_batches=3, num_learning_epochs=2)
    first = iterate(alg, env)
    assert first["train/first_ratio_error"] < 1e-5
    second = iterate(alg, env)
    assert second["train/first_ratio_error"] < 1e-5
    assert second["train/rollout_ratio_error"] < 1e-3
    assert second["train/kl_divergence"] > 0
    assert {"train/policy_loss", "train/clipfrac", "train/approx_kl", "train/kl_to_base"} <= second.keys()


def test_the_kl_penalty_pulls_back_to_the_base() -> None:
    rewards = torch.randn(4, 4 * G, generator=torch.Generator().manual_seed(0))
    kl = {}
    for coefficient in (1e-6, 1.0):
        alg, env = make(rewards, kl_to_base_coef=coefficient, num_learning_epochs=4)
        for _ in range(5):
            log = iterate(alg, env)
        kl[coefficient] = log["train/kl_to_base"]
    assert kl[1.0] < 0.5 * kl[1e-6]


def test_clip_higher_lets_ratios_rise_further_than_they_may_fall() -> None:
    rewards = torch.randn(8, 4 * G, generator=torch.Generator().manual_seed(0))
    alg, env = make(rewards, clip_param=0.1, clip_high=0.3)
    roll_out(alg, env)
    generator = torch.Generator().manual_seed(1)
    for parameter in alg.actor.parameters():
        parameter.data += 3e-3 * torch.randn(parameter.shape, generator=generator)
    batch = alg.storage.batch(alg.storage.learned)
    loss = alg._loss(batch, 1.0)
    (slope,) = torch.autograd.grad(loss.parts["policy_loss"], loss.log_ratio)
    ratio, rising = loss.log_ratio.detach().exp(), batch.rows["advantages"] > 0
    for where, moves in (
        (rising & (ratio > 1.11) & (ratio < 1.29), True),
        (rising & (ratio > 1.31), False),
        (~rising & (ratio > 0.91) & (ratio < 1.5), True),
        (~rising & (ratio < 0.89), False),
    ):
        assert where.sum() > 2
        assert ((slope[where] != 0) == moves).all()
    outside = (ratio < 0.9) | (ratio > 1.3)
    torch.testing.assert_close(loss.parts["clipfrac"], outside.float().mean())


def test_a_checkpoint_of_ppo_is_refused_and_the_other_way_round() -> None:
    grpo_alg, _ = make(torch.zeros(2, G))
    ppo_alg = stock_runner(ppo(), 8).alg
    toy = grpo_runner(8, group_size=4).alg
    message = r"written by Gr00tPPO, but the agent's algorithm is Gr00tGRPO. Choose the `--agent`"
    with pytest.raises(ValueError, match=message):
        toy.load(json_round_trip(ppo_alg.save()), None, True)
    with pytest.raises(ValueError, match="policy is an MLP, .* The policy of the agent here is a Gaussian"):
        grpo_alg.load(json_round_trip(toy.save()), None, True)


def test_training_resumes_where_it_was(tmp_path: Path) -> None:
    def learn(runner: GrpoRunner, iterations: int) -> GrpoRunner:
        with contextlib.redirect_stdout(io.StringIO()):
            runner.learn(iterations)
        return runner

    whole = learn(grpo_runner(16, group_size=8), 4)
    first = learn(grpo_runner(16, group_size=8), 2)
    first.save(str(tmp_path / "model_1.pt"))
    second = grpo_runner(16, group_size=8)
    # the environment's state belongs to no checkpoint
    second.env.generator.set_state(first.env.generator.get_state())  # type: ignore[attr-defined]
    second.load(str(tmp_path / "model_1.pt"))
    learn(second, 2)
    assert same(actor_weights(whole.alg), actor_weights(second.alg))
    assert second.alg.iteration == 4


# Under Isaac Lab's own script


def test_under_rsl_rls_runner_rounds_and_attempts_are_those_of_ours_and_idle_steps_cost_nothing() -> None:
    """Isaac Lab's own command and the workers of several GPUs use that runner."""
    settings = {"group_size": 8, "num_rounds": 2, "max_resamples": 1}
    stock, ours = stock_runner(grpo(**settings), 16), grpo_runner(16, **settings)
    decided = []
    decide = stock.alg._decide
    stock.alg._decide = lambda encoded, envs=slice(None): (decided.append(len(envs)), decide(encoded, envs))[1]
    before = stock.env.steps
    for runner in (stock, ours):
        torch.manual_seed(1)
        runner.learn(2)
    assert stock.cfg["num_steps_per_env"] == 2 * 2 * DECISIONS
    assert len(decided) <= 2 * 2 * 2 * DECISIONS
    assert 0 < stock.env.steps - before <= sum(decided) * CHUNK, "what is parked makes no steps"
    assert stock.alg.iteration == ours.alg.iteration == 2
    assert stock.alg.storage.rounds == 2
    for name, value in ours.alg.actor.state_dict().items():
        assert torch.equal(value, stock.alg.actor.state_dict()[name]), name


def test_idle_steps_move_nothing_either_where_there_are_segments() -> None:
    ends = torch.zeros(6, G, dtype=torch.bool)
    ends[0] = True
    alg, env = make(torch.zeros(6, G), ends=ends, segment_length=1)
    obs = env.get_observations()
    with torch.inference_mode():
        for _ in range(6):
            obs, rewards, dones, extras = env.step(alg.act(obs))
            alg.process_env_step(obs, rewards, dones, extras)
    assert alg.rollout_complete
    assert not [name for name, _ in env.calls if name == "share_states"]


def test_a_checkpoint_keeps_observations_of_different_groups() -> None:
    runner = grpo_runner(16, group_size=4)
    with contextlib.redirect_stdout(io.StringIO()):
        runner.learn(1)
    recorded = runner.alg.save()["recorded_observations"]["state"]
    assert len(recorded.unique(dim=0)) == len(recorded) == 4


def test_episodes_longer_than_the_rollout_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    grpo_runner(8, group_size=4, num_steps=5).learn(1)
    out = capsys.readouterr().out
    assert "An episode has up to 8 decisions, a rollout 5" in out
    assert "agent.num_steps_per_env=8" in out


# Refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 1}, r"`agent.algorithm.group_size` is 1; expected an integer of at least 2"),
        (
            {"segment_length": 3, "outcome": "return"},
            r"segment_length` is 3, but `agent.num_steps_per_env` is 8 decisions",
        ),
        (
            {"segment_length": 4},
            r"`agent.algorithm.segment_length` is 4, but `agent.algorithm.outcome` is 'success'. Nothing stands in for"
            r" what follows .* Set `agent.algorithm.outcome=return`, or `agent.algorithm.segment_length=null`",
        ),
        ({"outcome": "reward"}, r"`agent.algorithm.outcome` is 'reward'; expected one of success, return"),
        ({"outcome": "Return"}, r"`agent.algorithm.outcome` is 'Return'; expected one of success, return"),
        ({"decision_weights": "token"}, r"`agent.algorithm.decision_weights` is 'token'; expected one of episode, dec"),
        ({"baseline_momentum": 1.0}, r"`agent.algorithm.baseline_momentum` is 1.0; expected a number in \[0, 1\)"),
        ({"baseline_momentum": -0.1}, r"`agent.algorithm.baseline_momentum` is -0.1; expected a number in \[0, 1\)"),
        ({"baseline": "critic"}, r"expected one of group_relative, mean_only, leave_one_out, running"),
        ({"success_range": (0.9, 0.1)}, r"success_range` is \[0.9, 0.1\]; expected two rising numbers"),
        ({"baseline": "running"}, r"there is nothing to resample. Set `agent.algorithm.max_resamples=0`"),
        ({"std_floor": 0.0}, r"`agent.algorithm.std_floor` is 0.0; expected a positive number"),
        ({"value_loss_coef": 1.0}, r"`agent.algorithm` has no field 'value_loss_coef'"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grpo_runner(8, **settings).alg.train_mode()


def test_a_number_of_environments_that_is_no_multiple_of_the_group() -> None:
    runner = grpo_runner(10, group_size=4)
    with pytest.raises(ValueError, match="10 environments do not divide into groups of 4"):
        runner.learn(1)


def test_playing_needs_no_groups() -> None:
    """`isaaclab play` builds the runner for any number of environments, and asks for the policy."""
    runner = grpo_runner(3, group_size=4)
    policy = runner.get_inference_policy("cpu")
    assert policy(runner.env.get_observations()).shape == (3, CHUNK * 2)


def test_an_environment_that_cannot_copy_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ToyReach, "configure_groups")
    runner = grpo_runner(8, group_size=4)
    with pytest.raises(ValueError, match=r"class ToyReach cannot copy the state of one environment to others"):
        runner.learn(1)


def test_a_task_without_success() -> None:
    runner = grpo_runner(8, group_size=4)
    step = runner.env.step

    def without(actions: torch.Tensor) -> Any:
        *result, extras = step(actions)
        extras.pop("success")
        return *result, extras

    runner.env.step = without
    with pytest.raises(ValueError, match=r"outcome` is 'success', but the task has no success term.*outcome=return"):
        runner.learn(1)
    by_return = grpo_runner(8, group_size=4, outcome="return")
    step = by_return.env.step
    by_return.env.step = without
    with contextlib.redirect_stdout(io.StringIO()):
        by_return.learn(1)


def test_the_options_are_the_configs() -> None:
    configs = pytest.importorskip("gr00t_rl_ext.algorithms.configs")
    cfg = configs.Gr00tGrpoAlgorithmCfg().to_dict()
    cfg.pop("class_name")
    assert cfg == dataclasses.asdict(GrpoOptions())


# Learning


@pytest.mark.parametrize("seed", [0, 1])
def test_grpo_solves_a_task_with_sparse_success(seed: int) -> None:
    runner = grpo_runner(64, seed, group_size=8)
    with contextlib.redirect_stdout(io.StringIO()):
        runner.learn(60)
    assert success_rate(runner.alg.get_policy()) >= 0.95


def test_ppo_solves_it_too() -> None:
    runner = stock_runner(ppo(), 64)
    with contextlib.redirect_stdout(io.StringIO()):
        runner.learn(45)
    assert success_rate(runner.alg.get_policy()) >= 0.95
