# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GRPO of an action-chunk policy: no critic; episodes are compared with others from the very same state."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms import group_advantages, objectives
from gr00t_rl_ext.algorithms.construction import build
from gr00t_rl_ext.algorithms.finite import require_finite_observations, require_finite_rewards
from gr00t_rl_ext.algorithms.options import GrpoOptions
from gr00t_rl_ext.algorithms.policy_optimization import PolicyOptimization
from gr00t_rl_ext.algorithms.returns import executed_mask
from gr00t_rl_ext.algorithms.rounds import Rounds
from gr00t_rl_ext.algorithms.signal_watch import SignalWatch
from gr00t_rl_ext.algorithms.storage import Batch, GroupStorage, Outcomes
from gr00t_rl_ext.algorithms.update import Loss
from gr00t_rl_ext.envs.decision import Outcome


class Gr00tGRPO(PolicyOptimization):
    """Group relative policy optimisation (DeepSeekMath, Shao et al. 2024, arXiv 2402.03300) for multi-step control.

    A group is G environments that start from the same state; an episode's advantage is its outcome, success or
    undiscounted return, relative to its group. Beside what every :class:`~.policy_optimization.PolicyOptimization`
    does:

    * A rollout is one or more rounds of whole episodes. An environment whose episode has ended is parked: it costs no
      policy calls, and nothing that happens in it counts.
    * Long episodes may be cut into segments. At the boundary a group goes on from the state of one of its members.
    * Groups whose members all came out equal have no signal: they may be tried again, and are not learned from.
    * The ratio is clipped with asymmetric bounds; the KL to the policy at step 0 is a penalty.

    Under Isaac Lab's own script the runner's loop makes as many steps as a rollout may need; what follows the last
    episode's end executes nothing. :class:`~gr00t_rl_ext.runners.grpo_runner.GrpoRunner` stops there.

    Arguments are those of :class:`~.policy_optimization.PolicyOptimization`.
    """

    OPTIONS = GrpoOptions
    HAS_CRITIC = False
    RUNNER = "gr00t_rl_ext.runners.grpo_runner:GrpoRunner"

    options: GrpoOptions
    storage: GroupStorage

    construct_algorithm = staticmethod(build)
    """Called by rsl_rl's runner, under the stock scripts as well."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._rounds = Rounds(self.options, self._num_envs, self.device, self._has_signal)
        self._baseline = group_advantages.RunningBaseline(
            self.options.baseline_momentum, self.device, self.ranks.total, self.encoder.spec.task_names or ("",)
        )
        self._signal = SignalWatch(self.options.signal_patience, self.options.outcome)
        self._health: dict[str, float] = {}
        self._starts: Tensor | None = None

    # Construction

    @property
    def steps_per_iteration(self) -> int:
        """Steps of the runner's loop that a rollout needs at most: with every attempt of every round."""
        return super().steps_per_iteration * (1 + self.options.max_resamples)

    def _configure(self, env: Any, observation_groups: list[str]) -> None:
        # an undiscounted sum, also inside the chunk: a discount would punish long successes
        env.unwrapped.configure_decisions(
            self.actor.chunk_length, step_discount=1.0, observation_groups=observation_groups
        )
        self._rounds.bind(env)

    def _make_storage(self) -> GroupStorage:
        rounds, segment_length = self.options.num_rounds, self.options.segment_length
        return GroupStorage(*self._storage_arguments(), rounds=rounds, segment_length=segment_length)

    # Rollout

    @property
    def rollout_complete(self) -> bool:
        """Whether the rollout in progress needs no further step."""
        return self._rounds.complete

    def act(self, obs: TensorDict) -> Tensor:
        """Draw action chunks (num_envs, H * A) where an episode goes on, and remember the decisions.

        With the first call of a rollout all groups start new episodes.

        Args:
            obs: What the runner observed. Not read where environments were set to another state since then.

        Raises:
            ValueError: An observation is not finite, or the members of a group are not in the same state.
        """
        rounds, storage = self._rounds, self.storage
        actions = torch.zeros(
            self._num_envs, self.actor.chunk_length * self.encoder.spec.action_dim, device=self.device
        )
        if not rounds.in_progress:
            rounds.configure(self.actor.chunk_length, storage.round_length)
            rounds.begin(storage)
        elif rounds.complete:
            # the runner's loop may go on; nothing is executed any more
            return actions
        active = rounds.begin_step(storage, obs)
        require_finite_observations(active)
        if rounds.is_first_step:
            # the members of a group see the same
            self._start_rollout(active[:: self.options.group_size])
        actions[rounds.ids] = self._decide(self.encoder.encode(active), rounds.ids)
        return actions

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record the outcome of decisions. Rewards are undiscounted sums.

        Raises:
            ValueError: A reward is not finite, or the task has no success that the outcome could be.
        """
        self._share_log(extras)
        rounds, storage, ids = self._rounds, self.storage, self._rounds.ids
        if rounds.complete:
            return
        require_finite_rewards(rewards)
        outcome = Outcome.from_extras(extras, self.device)
        successes, executed = self._successes(outcome), outcome.executed_steps
        self._statistics.record(executed[ids], rewards[ids])
        storage.valid[storage.step, ids] = executed_mask(executed[ids], storage.chunk_length)
        storage.rewards[storage.step, ids] = rewards[ids]
        storage.successes[storage.step, ids] = successes[ids]
        if storage.step == storage.steps_of_round(rounds.round).start:
            # those that end early begin anew elsewhere, and are parked
            self._starts = outcome.start
        ended = rounds.finish_step(storage, dones)
        if ended is not None:
            rows = storage.steps_of_round(rounds.round)
            lengths = storage.valid[rows].sum((0, 2))
            self._statistics.report_episodes(
                ended,
                storage.rewards[rows].sum(0),
                lengths,
                storage.successes[rows].any(0),
                # as it was observed first: those that ended earlier were not observed since
                self.encoder.spec.task_index(storage.observations[rows.start]),
                self._starts,
            )
            rounds.finish_attempt(storage)

    def _successes(self, outcome: Outcome) -> Tensor:
        if outcome.success is not None:
            return outcome.success
        if self.options.outcome == "success":
            raise ValueError(
                "`agent.algorithm.outcome` is 'success', but the task has no success term. Add a termination term named"
                " 'success' to it (a boolean attribute `success` to a direct task), or set"
                " `agent.algorithm.outcome=return` to compare returns."
            )
        return torch.zeros(self._num_envs, dtype=torch.bool, device=self.device)

    # Advantages

    def _grouped(self, per_env: Tensor) -> Tensor:
        """(..., N) -> (..., groups, G)."""
        return per_env.unflatten(-1, (-1, self.options.group_size))

    def _compared(self, outcomes: Outcomes) -> Tensor:
        """What the members of a group are compared by, (R, S, groups, G)."""
        return self._grouped(outcomes.returns if self.options.outcome == "return" else outcomes.successes.float())

    def _has_signal(self, outcomes: Outcomes) -> Tensor:
        """Which groups there is something to learn from, (R, S, groups) bool."""
        options = self.options
        signal = self._grouped(outcomes.lengths > 0).any(-1)
        if options.baseline != "running":
            signal = signal & group_advantages.has_signal(self._compared(outcomes), options.std_floor)
        if options.success_range is not None:
            successes = self._grouped(outcomes.successes)
            signal = signal & group_advantages.within_success_range(successes, *options.success_range)
        return signal

    def _advantages(self, outcomes: Outcomes) -> Tensor:
        """(R, S, groups, G)."""
        options, compared = self.options, self._compared(outcomes)
        if options.baseline == "running":
            present = self._grouped(outcomes.lengths > 0).any(-1)
            advantages = torch.zeros_like(compared)
            tasks = self._tasks_of_groups()
            advantages[present] = self._baseline.advantages(
                compared[present], None if tasks is None else tasks.expand_as(compared)[present]
            )
            return advantages
        if options.baseline == "mean_only":
            return group_advantages.mean_only(compared)
        if options.baseline == "leave_one_out":
            return group_advantages.leave_one_out(compared)
        return group_advantages.group_relative(compared, options.std_floor)

    def _tasks_of_groups(self) -> Tensor | None:
        """Which task members of groups had, (R, 1, groups, G); None where there is one."""
        storage, spec = self.storage, self.encoder.spec
        tasks = spec.task_index(storage.observations)
        if tasks is None:
            return None
        # in the first step of each round; a group has one task throughout
        return self._grouped(tasks[:: storage.round_length]).unsqueeze(1)

    def compute_returns(self, obs: TensorDict) -> None:
        """Advantages and weights of the stored decisions.

        Args:
            obs: Not read: nothing is bootstrapped, and the next rollout begins with new episodes.
        """
        storage, options = self.storage, self.options
        outcomes = storage.outcomes()
        signal = self._has_signal(outcomes)
        of_env = signal.repeat_interleave(options.group_size, dim=-1)
        advantages = torch.where(of_env, self._advantages(outcomes).flatten(-2), 0.0)
        weights = group_advantages.episode_weights(
            outcomes.lengths * of_env, options.decision_weights, self.ranks.total
        )
        storage.weights.copy_(storage.per_decision(weights))
        learned = storage.valid.any(-1) & storage.per_decision(of_env)
        advantages = storage.per_decision(advantages)
        tasks = self.encoder.spec.task_index(storage.observations)
        if tasks is not None and options.advantage_normalization != "none":
            advantages = advantages / group_advantages.spread_of_tasks(
                advantages,
                tasks,
                len(self.encoder.spec.task_names),
                options.std_floor,
                storage.weights * learned,
                self.ranks.total,
            )
        elif options.advantage_normalization == "rollout":
            advantages = advantages / group_advantages.spread(
                advantages, options.std_floor, storage.weights * learned, self.ranks.total
            )
        storage.advantages.copy_(advantages)
        storage.learn_from(learned)
        self._health = self._measure_health(outcomes, signal)
        self._rounds.in_progress = False

    def _measure_health(self, outcomes: Outcomes, signal: Tensor) -> dict[str, float]:
        """Whether the groups have something to tell."""
        present = self._grouped(outcomes.lengths > 0).any(-1)
        compared, successes = self._compared(outcomes)[present], self._grouped(outcomes.successes)[present]
        kept = float(signal.sum() / present.sum())
        health = {
            "train/frac_zero_std": 1.0 - group_advantages.has_signal(compared, self.options.std_floor).float().mean(),
            "train/return_diversity": group_advantages.return_diversity(compared),
            "grpo/mean_reward": compared.mean(),
            "grpo/reward_std": compared.std(),
            "grpo/kept_groups": kept,
            "grpo/resampled_groups": self._rounds.resampled,
        }
        histogram = group_advantages.success_histogram(successes).tolist()
        health |= {f"grpo/groups_with_{count}_successes": number for count, number in enumerate(histogram)}
        return {name: float(value) for name, value in health.items()}

    # Update

    def update(self) -> dict[str, float]:
        """Optimise on the groups that have a signal; change nothing if none has.

        Returns:
            Means over the mini-batches, under rsl_rl's names.

        Raises:
            DivergedError: Gradients were not finite too often in a row.
        """
        kept = self.ranks.each(self.storage.num_decisions)
        # every rank must take the same steps
        if any(kept):
            if self.storage.num_decisions == 0:
                # they count nothing
                self.storage.learn_from(self.storage.valid.any(-1))
            means = self._optimize(self._mini_batch_statistics, self._loss, kept)
            means.setdefault("kl_divergence", means["kl_to_base"])
            self.actor.update_normalization(self.storage.observations.flatten(0, 1)[self.storage.learned])
        else:
            means = {"policy_loss": 0.0, "num_updates": 0}
        self._log |= self._health
        self._signal.watch(self._health)
        self._finish_iteration(means)
        return {"surrogate": means["policy_loss"]} | ({"entropy": means["entropy"]} if "entropy" in means else {})

    def _mini_batch_statistics(self, indices: Tensor) -> Tensor | float:
        """What advantages are divided by."""
        if self.options.advantage_normalization != "mini_batch":
            return 1.0
        advantages, weights = (tensor.flatten()[indices] for tensor in (self.storage.advantages, self.storage.weights))
        return group_advantages.spread(advantages, self.options.std_floor, weights, self.ranks.total)

    def _loss(self, batch: Batch, whole: Tensor | float) -> Loss:
        options = self.options
        scored = self.reference.score(batch, self._policy_trains)
        log_ratio = scored.current.log_ratio(scored.old).sum(1)
        advantages = batch.rows["weights"] * batch.rows["advantages"] / whole
        clip, clip_high = options.clip_param, options.clip_high
        parts = {
            "policy_loss": objectives.clipped_surrogate_loss(log_ratio, advantages, clip, clip_high=clip_high),
            "clipfrac": objectives.clip_fraction(log_ratio.detach(), clip, clip_high=clip_high),
            **scored.divergences(with_exact_kl=self.updater.rates.is_adaptive),
        }
        total = parts["policy_loss"] - options.entropy_coef * parts["entropy"]
        if scored.base is not None:
            to_base = scored.base.log_ratio(scored.current).sum(1)
            parts["kl_divergence"] = objectives.low_variance_kl(to_base, log_ratio=log_ratio)
            total = total + options.kl_to_base_coef * parts["kl_divergence"]
        return Loss(total, parts, log_ratio)

    # Checkpoints

    def save(self) -> dict:
        counted = {"running_baseline": self._baseline.state_dict(), "without_signal": self._signal.without}
        return super().save() | counted

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        load_iteration = super().load(loaded_dict, load_cfg, strict)
        if load_iteration:
            self._baseline.load_state_dict(loaded_dict["running_baseline"])
            self._signal.without = loaded_dict.get("without_signal", 0)
        return load_iteration
