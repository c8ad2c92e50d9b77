# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GRPO of an action-chunk policy: no critic; episodes are compared with others from the very same state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms import group_advantages, objectives
from gr00t_rl_ext.algorithms.errors import readable_errors
from gr00t_rl_ext.algorithms.finite import require_finite_observations, require_finite_rewards
from gr00t_rl_ext.algorithms.group_storage import GroupBatch, GroupStorage, Outcomes
from gr00t_rl_ext.algorithms.grpo_options import GrpoOptions
from gr00t_rl_ext.algorithms.policy_optimization import PolicyOptimization
from gr00t_rl_ext.algorithms.returns import executed_mask
from gr00t_rl_ext.algorithms.signal import SignalWatch
from gr00t_rl_ext.algorithms.storage import EXECUTED
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.policy.protocols import ActorCritic


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

    Under Isaac Lab's own script it runs one round of a fixed number of steps; what follows the last episode's end
    takes no time. With :class:`~gr00t_rl_ext.runners.grpo_runner.GrpoRunner` it runs as many as it needs.

    Args:
        actor_critic: Actor and encoder, without a critic.
        observations: Observations of all environments.
        num_steps_per_env: Decisions per environment and update, in all rounds together.
        device: Where all of it lives.
        multi_gpu_cfg: rsl_rl's, with several processes.
        max_iterations: Iterations of the run, for linear schedules.
        rounds: Rounds per update.
        **options: Fields of :class:`~gr00t_rl_ext.algorithms.grpo_options.GrpoOptions`.

    Raises:
        ValueError: An option does not fit the policy or the rollout.
    """

    OPTIONS = GrpoOptions
    HAS_CRITIC = False
    RUNNER = "gr00t_rl_ext.runners.grpo_runner:GrpoRunner"

    options: GrpoOptions
    storage: GroupStorage

    def __init__(
        self,
        actor_critic: ActorCritic,
        observations: TensorDict,
        num_steps_per_env: int,
        *,
        device: str = "cpu",
        multi_gpu_cfg: dict | None = None,
        max_iterations: int | None = None,
        rounds: int = 1,
        **options: Any,
    ) -> None:
        assert actor_critic.critic is None, "GRPO has no critic"
        checked = GrpoOptions(**options)
        checked.check_rollout(num_steps_per_env // rounds)
        self._rounds = rounds
        super().__init__(
            actor_critic,
            observations,
            num_steps_per_env,
            checked,
            device=device,
            multi_gpu_cfg=multi_gpu_cfg,
            max_iterations=max_iterations,
        )
        self.may_go_on = False
        """Whether the runner goes on until :attr:`rollout_complete`, so that groups may be tried again."""

        self._env: Any = None
        self._groups_configured = False
        self._num_groups = self._num_envs // checked.group_size
        self._baseline = group_advantages.RunningBaseline(1, checked.baseline_momentum, device)
        self._signal = SignalWatch(checked.signal_patience, checked.outcome)
        self._active = np.zeros(self._num_envs, dtype=bool)
        """Environments whose episode goes on."""

        self._ids = torch.arange(self._num_envs, device=device)
        """Indices of those."""

        self._round, self._attempt, self._step_of_round = 0, 0, 0
        self._attempted: list[int] = []
        """Groups that the attempt in progress is for."""

        self._resampled = 0
        self._in_rollout = False
        self._health: dict[str, float] = {}
        self._moved = False
        """Whether environments were set to other states since the runner observed them."""

        self.rollout_complete = False
        """Whether the rollout in progress needs no further step."""

    # Construction

    def bind(self, env: Any, observation_groups: list[str]) -> None:
        # an undiscounted sum, also inside the chunk: a discount would punish long successes
        env.unwrapped.configure_decisions(
            self.actor.chunk_length, step_discount=1.0, observation_groups=observation_groups
        )
        self._env = env

    def _configure_groups(self) -> None:
        """Before the first rollout, and not to play, where there are no groups.

        Raises:
            ValueError: The environment cannot have groups.
        """
        env, unwrapped = self._env, self._env.unwrapped
        if not hasattr(unwrapped, "configure_groups"):
            raise ValueError(
                f"The task's environment class {type(unwrapped).__name__} cannot copy the state of one environment to"
                " others, which GRPO's groups need. Register the task with"
                " entry_point='gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv', or use a PPO agent."
            )
        unwrapped.configure_groups(self.options.group_size)
        most = -(-int(env.max_episode_length) // self.actor.chunk_length)
        if most > self.storage.round_length:
            print(
                f"An episode has up to {most} decisions, a rollout {self.storage.round_length}: outcomes are what is"
                f" reached until then. For whole episodes set agent.num_steps_per_env={most}."
            )
        self._groups_configured = True

    def pretend(self, observe: Callable[[], TensorDict]) -> None:
        def nothing(*_: Any) -> None:
            pass

        groups = SimpleNamespace(start_groups=nothing, share_states=nothing, park=nothing)
        self._env, self._groups_configured = SimpleNamespace(unwrapped=groups, get_observations=observe), True
        self._host = lambda flags, assumed: np.full(flags.shape, assumed)
        self._measure_health = lambda outcomes, signal: dict.fromkeys(("grpo/kept_groups", "grpo/mean_reward"), 1.0)

    def _make_storage(self) -> GroupStorage:
        return GroupStorage(*self._storage_arguments(), rounds=self._rounds, segment_length=self.options.segment_length)

    # Rollout

    @property
    def _row(self) -> int:
        return self._round * self.storage.round_length + self._step_of_round

    def act(self, obs: TensorDict) -> Tensor:
        """Draw action chunks (num_envs, H * A) where an episode goes on, and remember the decisions.

        With the first call of a rollout all groups start new episodes.

        Args:
            obs: What the runner observed. Not read where environments were set to another state since then.

        Raises:
            SystemExit: An observation is not finite, or the members of a group are not in the same state.
        """
        with readable_errors():
            chunk = self.actor.chunk_length * self.encoder.spec.action_dim
            actions = torch.zeros(self._num_envs, chunk, device=self.device)
            if not self._in_rollout:
                self._start_rollout_of_groups()
            elif self.rollout_complete:
                return actions
            elif self._step_of_round and self._step_of_round % self.storage.segment_length == 0:
                self._share_states()
            if self._moved:
                obs = self._env.get_observations().to(self.device)
                self._moved = False
            active = obs if self._active.all() else obs[self._ids]
            require_finite_observations(active)
        if self._row == 0 and self._attempt == 0:
            # the members of a group see the same
            self._start_rollout(active[:: self.options.group_size])
        self.storage.step = self._row
        actions[self._ids] = self._decide(self.encoder.encode(active), self._ids)
        return actions

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record the outcome of decisions. Rewards are undiscounted sums.

        Raises:
            SystemExit: A reward is not finite, or the task has no success that the outcome could be.
        """
        self._share_log(extras)
        if self.rollout_complete:
            return
        with readable_errors():
            require_finite_rewards(rewards)
            outcome = Outcome.from_extras(extras, self.device)
            successes = self._successes(outcome)
        storage, row, ids = self.storage, self._row, self._ids
        executed = outcome.executed_steps
        self._statistics.record(executed[ids], rewards[ids])
        storage.observations[EXECUTED][row, ids] = executed_mask(executed[ids], storage.chunk_length)
        storage.rewards[row, ids] = rewards[ids]
        storage.successes[row, ids] = successes[ids]
        self._set_active(self._active & ~self._host(dones > 0, assumed=False))
        self._step_of_round += 1
        if self._step_of_round == storage.round_length or not self._active.any():
            with readable_errors():
                self._finish_attempt()

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

    def _host(self, flags: Tensor, assumed: bool) -> np.ndarray:
        """Flags on the CPU.

        Args:
            flags: Bool, any shape.
            assumed: What the estimate of memory, which has tensors without content, takes them for.
        """
        return flags.cpu().numpy()

    def _set_active(self, active: np.ndarray) -> None:
        self._active = active
        self._ids = torch.tensor(np.flatnonzero(active)).to(self.device)
        self._env.unwrapped.park(torch.tensor(~active).to(self.device))

    def _members(self, groups: list[int]) -> np.ndarray:
        """Which environments belong to some groups, (num_envs,) bool."""
        return np.isin(np.arange(self._num_envs) // self.options.group_size, groups)

    def _start_rollout_of_groups(self) -> None:
        if not self._groups_configured:
            self._configure_groups()
        self._in_rollout, self.rollout_complete = True, False
        self._resampled = 0
        self.storage.clear()
        self._start_round(0)

    def _start_round(self, number: int) -> None:
        self._round, self._attempt = number, 0
        self._start_attempt(list(range(self._num_groups)))

    def _start_attempt(self, groups: list[int]) -> None:
        """Begin new episodes in some groups; the decisions of earlier attempts in this round are forgotten."""
        self._step_of_round = 0
        self._attempted = groups
        active = self._members(groups)
        first = self._round * self.storage.round_length
        envs = torch.tensor(np.flatnonzero(active)).to(self.device)
        self.storage.forget(slice(first, first + self.storage.round_length), envs)
        self._env.unwrapped.start_groups(groups)
        self._moved = True
        self._set_active(active)

    def _share_states(self) -> None:
        """A segment begins: each group goes on from one of its members whose episode goes on, if there is one."""
        leaders, active = [], np.zeros_like(self._active)
        for group in self._attempted:
            members = self._members([group])
            alive = np.flatnonzero(members & self._active)
            if len(alive):
                # drawn by torch, whose generator a checkpoint keeps
                leaders.append(int(alive[int(torch.randint(len(alive), ()))]))
                active |= members
        self._env.unwrapped.share_states(leaders)
        self._moved = True
        self._set_active(active)

    def _finish_attempt(self) -> None:
        """Every episode of the attempt has ended, or its time is over."""
        storage, first = self.storage, self._round * self.storage.round_length
        rows = slice(first, first + storage.round_length)
        self._statistics.report_episodes(
            torch.tensor(self._members(self._attempted)).to(self.device),
            storage.rewards[rows].sum(0),
            storage.observations[EXECUTED][rows].sum((0, 2)),
            storage.successes[rows].any(0),
        )
        if self.may_go_on and self._attempt < self.options.max_resamples:
            outcomes = storage.outcomes()
            signal = self._has_signal(outcomes)[self._round].any(0)
            dull = np.flatnonzero(~self._host(signal, assumed=True)).tolist()
            if dull:
                self._attempt += 1
                self._resampled += len(dull)
                self._start_attempt(dull)
                return
        if self._round + 1 < storage.rounds:
            self._start_round(self._round + 1)
            return
        self.rollout_complete = True
        self._set_active(np.zeros_like(self._active))

    # Advantages

    def _grouped(self, per_env: Tensor) -> Tensor:
        """(..., N) -> (..., groups, G)."""
        return per_env.unflatten(-1, (self._num_groups, self.options.group_size))

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
            tasks = torch.zeros(int(present.sum()), dtype=torch.long, device=self.device)
            advantages[present] = self._baseline.advantages(compared[present], tasks)
            return advantages
        if options.baseline == "mean_only":
            return group_advantages.mean_only(compared)
        if options.baseline == "leave_one_out":
            return group_advantages.leave_one_out(compared)
        return group_advantages.group_relative(compared, options.std_floor)

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
        weights = group_advantages.episode_weights(outcomes.lengths * of_env, options.decision_weights)
        storage.weights.copy_(storage.per_decision(weights))
        learned = storage.observations[EXECUTED].any(-1) & storage.per_decision(of_env)
        advantages = storage.per_decision(advantages)
        if options.advantage_normalization == "rollout":
            advantages = advantages / group_advantages.spread(advantages, options.std_floor, storage.weights * learned)
        storage.advantages.copy_(advantages)
        indices = np.flatnonzero(self._host(learned, assumed=True))
        storage.learned = torch.tensor(indices).to(self.device)
        self._health = self._measure_health(outcomes, signal)
        self._in_rollout = False

    def _measure_health(self, outcomes: Outcomes, signal: Tensor) -> dict[str, float]:
        """Whether the groups have something to tell."""
        present = self._grouped(outcomes.lengths > 0).any(-1)
        compared, successes = self._compared(outcomes)[present], self._grouped(outcomes.successes)[present]
        kept = float(signal.sum() / present.sum())
        health = {
            "train/frac_zero_std": group_advantages.frac_zero_std(compared, self.options.std_floor),
            "train/return_diversity": group_advantages.return_diversity(compared),
            "grpo/mean_reward": compared.mean(),
            "grpo/reward_std": compared.std(),
            "grpo/kept_groups": kept,
            "grpo/resampled_groups": self._resampled,
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
            SystemExit: Gradients were not finite too often in a row.
        """
        # every rank must take the same steps
        if self._mean_over_ranks(float(self.storage.num_decisions > 0)) > 0:
            if self.storage.num_decisions == 0:
                # their advantages are 0
                acted = self._host(self.storage.observations[EXECUTED].any(-1), assumed=True)
                self.storage.learned = torch.tensor(np.flatnonzero(acted)).to(self.device)
            means = self._optimize()
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
        return group_advantages.spread(advantages, self.options.std_floor, weights)

    def _losses(self, batch: GroupBatch, whole: Tensor | float) -> tuple[dict[str, Tensor], Tensor]:
        options = self.options
        scored = self._score(batch)
        log_ratio = scored.current.log_ratio(scored.old).sum(1)
        advantages = batch.weights * batch.advantages / whole
        clip, clip_high = options.clip_param, options.clip_high
        losses = {
            "policy_loss": objectives.clipped_surrogate_loss(log_ratio, advantages, clip, clip_high=clip_high),
            "clipfrac": objectives.clip_fraction(log_ratio.detach(), clip, clip_high=clip_high),
        }
        if scored.base is not None:
            to_base = scored.base.log_ratio(scored.current).sum(1)
            losses["kl_divergence"] = objectives.low_variance_kl(to_base, log_ratio=log_ratio)
        return losses | self._divergences(scored), log_ratio

    def _total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        loss = losses["policy_loss"] - self.options.entropy_coef * losses["entropy"]
        if "kl_divergence" in losses:
            loss = loss + self.options.kl_to_base_coef * losses["kl_divergence"]
        return loss

    # Checkpoints

    def save(self) -> dict:
        return super().save() | {"running_baseline": self._baseline.state_dict()}

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        load_iteration = super().load(loaded_dict, load_cfg, strict)
        if load_iteration:
            self._baseline.load_state_dict(loaded_dict["running_baseline"])
        return load_iteration
