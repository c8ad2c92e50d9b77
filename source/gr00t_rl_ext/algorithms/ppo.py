# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO of an action-chunk policy with a critic."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms import objectives
from gr00t_rl_ext.algorithms.construction import build
from gr00t_rl_ext.algorithms.finite import require_finite_observations, require_finite_rewards
from gr00t_rl_ext.algorithms.normalization import RewardNormalizer
from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.algorithms.policy_optimization import PolicyOptimization
from gr00t_rl_ext.algorithms.returns import chunk_advantages, executed_mask, step_advantages
from gr00t_rl_ext.algorithms.storage import Batch, ValueStorage
from gr00t_rl_ext.algorithms.update import Loss
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.policy.critic import Gr00tCritic


class Gr00tPPO(PolicyOptimization):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of an action-chunk policy.

    Beside what every :class:`~.policy_optimization.PolicyOptimization` does:

    * With a critic of control steps, ratios, advantages and values are those of control steps.
    * Time-outs are bootstrapped with the value of the state in which they happened, or end the episode like failures.
    * At the start, the critic may learn alone: in whole iterations, or in passes over the first rollout.

    docs/ppo_details.md lists where each of the 37 implementation details of PPO stands.

    Arguments are those of :class:`~.policy_optimization.PolicyOptimization`.
    """

    OPTIONS = PpoOptions
    HAS_CRITIC = True
    CLIPPED_APART = ("critic",)

    options: PpoOptions
    storage: ValueStorage
    critic: Gr00tCritic

    construct_algorithm = staticmethod(build)
    """Called by rsl_rl's runner, under the stock scripts as well."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if self.options.bootstrap_images and not self.critic.reads_features:
            raise ValueError(
                "`agent.algorithm.bootstrap_images` is set, but the critic reads no images, so that it would change"
                " nothing. Leave it unset, or name an image group in `agent.obs_groups.critic`."
            )
        if self.critic.num_values > 1 and not self.actor.scores_steps:
            raise ValueError(
                "`agent.critic.values` is 'step', but this policy decides the chunk as a whole: the noise of one"
                " control step changes the actions of others. Set it to 'chunk'."
            )
        self._reward_normalizer = (
            RewardNormalizer(self._num_envs, self.options.gamma, self.options.reward_clip, self.ranks.total).to(
                self.device
            )
            if self.options.reward_normalization
            else None
        )
        self._encoded: tuple[TensorDict, TensorDict] | None = None
        """The last observation of a rollout and its encoding: the runner shows it to the next rollout again."""

        self._decided: tuple[TensorDict, Tensor] | None = None
        """The encoded observations of the decision in progress, and their values (N, W)."""

        self._time_outs: list[tuple[int, Tensor, TensorDict]] = []
        """Of the first rollout, where it is valued again: step, environments (N,) bool, and what is kept of the states
        in which they timed out."""

    # Construction

    def _configure(self, env: Any, observation_groups: list[str]) -> None:
        chunk_length = self.actor.chunk_length
        env.unwrapped.configure_decisions(
            chunk_length,
            step_discount=self.options.gamma ** (1.0 / chunk_length),
            observation_groups=observation_groups,
            final_observation_groups=self.final_observation_groups,
        )

    def _make_storage(self) -> ValueStorage:
        return ValueStorage(*self._storage_arguments(), num_values=self.critic.num_values)

    @property
    def final_observation_groups(self) -> list[str]:
        """Observation groups that bootstrapping reads in the state of a time-out."""
        if not self.options.bootstrap_time_outs:
            return []
        spec = self.encoder.spec
        # what an image is encoded with
        seen = (*spec.image_groups, *spec.state_groups, *spec.used_groups) if self.options.bootstrap_images else ()
        return [*dict.fromkeys([*self.critic.vector_groups, *seen])]

    def _train_groups(self, groups: list[Any]) -> None:
        # what was kept of decisions so far stands for layers that train now
        self._encoded = None
        super()._train_groups(groups)

    # Rollout

    def _encode(self, obs: TensorDict) -> TensorDict:
        if self._encoded is not None and self._encoded[0] is obs:
            # what was kept of it; since then, what trains has changed
            return self.encoder.complete(self._encoded[1])
        return self.encoder.encode(obs)

    def act(self, obs: TensorDict) -> Tensor:
        """Draw action chunks (num_envs, H * A) and remember the decisions.

        Raises:
            ValueError: An observation is not finite.
        """
        require_finite_observations(obs)
        if self.storage.step == 0:
            self._start_rollout(obs)
        encoded = self._encode(obs)
        # used up: an environment may write its next observation into the same object
        self._encoded = None
        with self._autocast():
            values = self.critic(encoded).detach()
        self._decided = encoded, values
        self.storage.values[self.storage.step] = values
        return self._decide(encoded)

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record the outcome of decisions. Rewards are discounted inside the chunk.

        Raises:
            ValueError: A reward or an observation of a time-out is not finite.
        """
        require_finite_rewards(rewards)
        storage, step = self.storage, self.storage.step
        outcome = Outcome.from_extras(extras, self.device)
        executed = outcome.executed_steps
        self._statistics.record(executed, rewards)
        ended = dones > 0
        if outcome.dropped is not None:
            self._statistics.dropped += int(outcome.dropped.sum())
            ended = ended & ~outcome.dropped
        # the task that it had: where it ended, the environment may have another one by now
        assert self._decided is not None
        self._statistics.report_episodes(
            ended,
            outcome.episode_return,
            outcome.episode_steps,
            outcome.success,
            self.encoder.spec.task_index(self._decided[0]),
            outcome.start,
        )
        normalizer = self._reward_normalizer
        if normalizer is not None:
            rewards = normalizer(rewards, dones)
        storage.valid[step] = executed_mask(executed, storage.chunk_length)
        storage.rewards[step] = rewards
        storage.dones[step] = dones > 0
        storage.final_values[step] = self._final_values(outcome)
        if storage.step_rewards is not None:
            step_rewards = outcome.step_rewards
            storage.step_rewards[step] = step_rewards if normalizer is None else normalizer.scaled(step_rewards)
        storage.step += 1
        self._share_log(extras)

    def _final_values(self, outcome: Outcome) -> Tensor:
        """Value of what follows the decisions where an episode ended: 0 for a termination. (num_envs,)."""
        if outcome.time_outs is None or not self.options.bootstrap_time_outs:
            return torch.zeros(self._num_envs, device=self.device)
        assert self._decided is not None
        time_outs = outcome.time_outs.bool()
        if not time_outs.any():
            return torch.zeros(self._num_envs, device=self.device)
        obs, values = (each[time_outs] for each in self._decided)
        if (final := outcome.final_observations) is not None:
            # the episode that follows may begin with finite numbers again
            require_finite_observations(final)
            # of the others it has zeros, which are no states
            final = final[time_outs]
            if set(self.encoder.spec.image_groups) & set(final.keys()):
                obs = self.encoder.encode(final)
            else:
                # of the images, what was seen when it was decided; all else is of the very state
                obs = TensorDict({**obs, **final}, batch_size=final.batch_size)
            with self._autocast():
                values = self.critic(obs)
        if self._warms_up:
            self._time_outs.append((self.storage.step, time_outs, self.encoder.kept(obs)))
        following = torch.zeros(self._num_envs, dtype=values.dtype, device=self.device)
        return following.index_put((time_outs,), values[:, 0])

    def compute_returns(self, obs: TensorDict) -> None:
        """Generalised advantages, of decisions or of control steps, and returns.

        Raises:
            ValueError: An observation is not finite.
        """
        # its value enters advantages, and the next rollout would look at it after the update
        require_finite_observations(obs)
        encoded = self._encode(obs)
        self._encoded = (obs, self.encoder.kept(encoded))
        with self._autocast():
            last_values = self.critic(encoded)[:, 0]
        self._estimate_advantages(last_values)

    def _estimate_advantages(self, last_values: Tensor) -> None:
        """Returns and advantages, given the values of the observations after the last decision, (N,)."""
        st, valid, gamma, lam = self.storage, None, self.options.gamma, self.options.lam
        following = last_values, st.dones, st.final_values, st.executed
        if st.step_rewards is None:
            values = st.values.squeeze(-1)
            advantages = chunk_advantages(st.rewards, values, *following, st.chunk_length, gamma, lam).unsqueeze(-1)
        else:
            valid, per_step = st.valid, 1.0 / st.chunk_length
            advantages = step_advantages(st.step_rewards, st.values, *following, gamma**per_step, lam**per_step)
        st.returns.copy_(advantages + st.values)
        tasks = self.encoder.spec.task_index(st.observations)
        if tasks is not None:
            names = self.encoder.spec.task_names
            advantages = objectives.normalize_advantages_of_tasks(
                advantages, tasks, len(names), valid, self.ranks.total
            )
        elif not self.options.normalize_advantage_per_mini_batch:
            advantages = objectives.normalize_advantages(advantages, valid, self.ranks.total)
        st.advantages.copy_(advantages)

    # Update

    def update(self) -> dict[str, float]:
        """Optimise on the stored rollout.

        Returns:
            Means over the mini-batches, under rsl_rl's names.

        Raises:
            DivergedError: Gradients were not finite too often in a row.
        """
        policy_trained, warmed_up = self._policy_trains, self._warms_up
        observations = self.storage.observations.flatten(0, 1)
        if warmed_up:
            # first: statistics that move later would make another critic of the one that was trained
            self.critic.update_normalization(observations)
            self._warm_up_critic()
        means = self._optimize(self._mini_batch_statistics, self._loss)
        if not warmed_up:
            self.critic.update_normalization(observations)
        if policy_trained:
            self.actor.update_normalization(observations)
        explained = objectives.explained_variance(self.storage.values.flatten(), self.storage.returns.flatten())
        self._finish_iteration(means | {"explained_variance": float(explained)})
        return {
            "value": means["value_loss"],
            "surrogate": means["policy_loss"],
            "entropy": means["entropy"],
        }

    @property
    def _policy_trains(self) -> bool:
        return self.iteration >= self.options.critic_warmup_iterations

    @property
    def _warms_up(self) -> bool:
        """Whether the critic passes over the rollout alone before the policy learns from it."""
        return self.iteration == 0 and self.options.critic_warmup_epochs > 0

    def _warm_up_critic(self) -> None:
        """Let the critic alone pass over the rollout, each time towards returns of what it has become."""
        self._value_again()
        for _ in range(self.options.critic_warmup_epochs):
            self.updater.epochs(self.storage, self._mini_batch_statistics, self._critic_loss, False, 1)
            self._value_again()
        self._time_outs = []

    @torch.no_grad()
    def _value_again(self) -> None:
        """Values, returns and advantages of the stored decisions by the critic as it is now."""
        st = self.storage

        def valued(kept: TensorDict) -> Tensor:
            with self._autocast():
                return self.critic(self.encoder.complete(kept))

        observations, values = st.observations.flatten(0, 1), st.values.flatten(0, 1)
        for which in st.in_order(self.updater.part_size(st)):
            values[which] = valued(observations[which])
        for step, envs, kept in self._time_outs:
            st.final_values[step, envs] = valued(kept)[:, 0]
        assert self._encoded is not None
        self._estimate_advantages(valued(self._encoded[1])[:, 0])

    def _critic_loss(self, batch: Batch, whole: tuple[float | Tensor, float | Tensor, Tensor]) -> Loss:
        """That of the warm-up. The policy, which it does not change, is not asked."""
        with torch.no_grad(), self._autocast():
            obs = self.encoder.complete(batch.observations)
        valid, weight = self._counted(batch, whole[2])
        loss = weight * self._value_loss(obs, batch, valid)
        return Loss(
            self.options.value_loss_coef * loss, {"value_loss": loss}, torch.zeros(len(obs), device=self.device)
        )

    def _counted(self, batch: Batch, executed: Tensor) -> tuple[Tensor | None, Tensor | float]:
        """Where the critic values control steps: those that count, and the weight of a part of a mini-batch, which
        counts by its executed control steps. Else nothing."""
        if self.critic.num_values == 1:
            return None, 1.0
        valid = batch.decisions.valid
        return valid, valid.sum() / (valid.shape[0] * executed)

    def _value_loss(self, obs: TensorDict, batch: Batch, valid: Tensor | None) -> Tensor:
        options, rows = self.options, batch.rows
        with self._autocast():
            values = self.critic(obs)
        clip = options.clip_param if options.use_clipped_value_loss else None
        return objectives.value_loss(values, rows["values"], rows["returns"], clip, options.huber_delta, valid)

    def _loss(self, batch: Batch, whole: tuple[float | Tensor, float | Tensor, Tensor]) -> Loss:
        options, clip = self.options, self.options.clip_param
        mean, std, executed = whole
        scored = self.reference.score(batch, self._policy_trains)
        step_log_ratio = scored.current.log_ratio(scored.old)
        log_ratio = step_log_ratio.sum(1)
        advantages = (batch.rows["advantages"] - mean) / std
        valid, weight = self._counted(batch, executed)
        # one ratio per decision, unless the critic values control steps
        ratios = log_ratio.unsqueeze(1) if valid is None else step_log_ratio
        terms = {
            "policy_loss": objectives.clipped_surrogate_loss(ratios, advantages, clip, valid),
            "value_loss": self._value_loss(scored.observations, batch, valid),
            "clipfrac": objectives.clip_fraction(ratios.detach(), clip, valid),
        }
        parts = {name: weight * term for name, term in terms.items()}
        parts |= scored.divergences(with_exact_kl=self.updater.rates.is_adaptive)
        total = options.value_loss_coef * parts["value_loss"]
        if self._policy_trains:
            total = total + parts["policy_loss"] - options.entropy_coef * parts["entropy"]
            if "kl_to_base" in parts:
                total = total + options.kl_to_base_coef * parts["kl_to_base"]
        return Loss(total, parts, log_ratio)

    def _mini_batch_statistics(self, indices: Tensor) -> tuple[float | Tensor, float | Tensor, Tensor]:
        """What the parts of a mini-batch must know of the whole: what is subtracted from advantages, what they are
        divided by, and executed control steps per decision, () each."""
        executed, total = self.storage.valid.flatten(0, 1)[indices], self.ranks.total
        mean, std = 0.0, 1.0
        if self.options.normalize_advantage_per_mini_batch:
            advantages = self.storage.advantages.flatten(0, 1)[indices]
            mean, std = objectives.mean_and_std(advantages, executed if advantages.shape[1] > 1 else None, total)
            std = std + 1e-8
        steps, decisions = total(torch.stack((executed.sum(), executed.new_tensor(len(executed), dtype=torch.long))))
        return mean, std, steps / decisions

    # Checkpoints

    def forget_episodes(self) -> None:
        if self._reward_normalizer is not None:
            self._reward_normalizer.running_returns.zero_()

    def save(self) -> dict:
        saved = super().save()
        if self._reward_normalizer is not None:
            saved["reward_normalizer"] = self._reward_normalizer.state_dict()
            saved["running_returns"] = self._reward_normalizer.running_returns.clone()
        return saved

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        with_iteration = super().load(loaded_dict, load_cfg, strict)
        # its features were those of other weights
        self._encoded = None
        if self._reward_normalizer is not None and "reward_normalizer" in loaded_dict:
            self._reward_normalizer.load_state_dict(loaded_dict["reward_normalizer"])
            returns = loaded_dict.get("running_returns")
            if self.continues_run and returns is not None and returns.shape == (self._num_envs,):
                self._reward_normalizer.running_returns.copy_(returns)
        return with_iteration
