# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO of an action-chunk policy on what was computed of it once per decision, as an algorithm of rsl_rl 5.5."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from rsl_rl.algorithms import PPO as RslRlPPO
from rsl_rl.env import VecEnv
from rsl_rl.utils import reduce_gradients_in_buckets, resolve_optimizer
from tensordict import TensorDict
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gr00t_rl_ext.algorithms import checkpoint, objectives
from gr00t_rl_ext.algorithms.construction import build
from gr00t_rl_ext.algorithms.errors import readable_errors
from gr00t_rl_ext.algorithms.finite import (
    DivergedError,
    SkippedSteps,
    require_finite_observations,
    require_finite_rewards,
)
from gr00t_rl_ext.algorithms.normalization import RewardNormalizer
from gr00t_rl_ext.algorithms.ppo_options import PpoOptions
from gr00t_rl_ext.algorithms.returns import chunk_advantages, executed_mask, step_advantages
from gr00t_rl_ext.algorithms.schedules import LearningRates
from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.algorithms.storage import EXECUTED, Batch, DecisionStorage
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.freezing import TrainedGroup
from gr00t_rl_ext.policy.precision import half_precision
from gr00t_rl_ext.policy.protocols import ActorCritic
from gr00t_rl_ext.policy.stages import MIN_EPISODES

RECORDED = 4
"""Observations that a checkpoint keeps."""


@dataclasses.dataclass(frozen=True)
class _MiniBatchStatistics:
    """What the parts of a mini-batch must know of the whole."""

    advantage_mean: float | Tensor
    """What is subtracted from the advantages."""

    advantage_std: float | Tensor
    """What they are divided by."""

    executed: Tensor
    """Executed control steps per decision, ()."""


class Gr00tPPO(RslRlPPO):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of an action-chunk policy.

    The policy is any :class:`~gr00t_rl_ext.policy.actor.Actor`. Of rsl_rl's PPO it keeps the interface to the runner;
    rollout and update are its own, in this:

    * Image groups are replaced by what the frozen layers of GR00T make of them before anything is stored: one backbone
      call per decision; the update recomputes the layers that train, and nothing while none does.
    * What of GR00T trains is owned by :class:`~gr00t_rl_ext.policy.freezing.Freezing`. Its stages open between
      iterations; their parameters join the optimizer as groups of their own.
    * The time step is a chunk. Control steps after the end of an episode do not count in log-probabilities, KL and
      entropy. With a critic of control steps, ratios, advantages and values are those of control steps.
    * Time-outs are bootstrapped with the value of the state in which they happened.
    * A KL penalty to the policy at step 0, and an early stop of the epochs at ``target_kl``.
    * Learning rates and schedules of their own for actor, critic and parts of GR00T.
    * A step whose gradient is not finite is not taken.
    * Checkpoints hold what is trained and name the base checkpoint.

    docs/ppo_details.md lists where each of the 37 implementation details of PPO stands.

    Args:
        actor_critic: Actor, critic and the encoder that they share.
        observations: Observations of all environments.
        num_steps_per_env: Decisions per environment and iteration.
        device: Where all of it lives.
        multi_gpu_cfg: rsl_rl's, with several processes.
        max_iterations: Iterations of the run, for linear schedules.
        **options: Fields of :class:`~gr00t_rl_ext.algorithms.ppo_options.PpoOptions`.

    Raises:
        ValueError: An option does not fit the policy or the rollout.
    """

    OPTIONS = PpoOptions
    """The fields of ``agent.algorithm``."""

    # rsl_rl declares its own model class; what it calls of it, these have
    actor: Actor  # type: ignore[assignment]
    critic: Gr00tCritic  # type: ignore[assignment]
    storage: DecisionStorage

    def __init__(
        self,
        actor_critic: ActorCritic,
        observations: TensorDict,
        num_steps_per_env: int,
        *,
        device: str = "cpu",
        multi_gpu_cfg: dict | None = None,
        max_iterations: int | None = None,
        **options: Any,
    ) -> None:
        self.options = PpoOptions(**options)
        self.options.check_rollout(observations.batch_size[0], num_steps_per_env)
        self.device = device
        self.actor_critic = actor_critic
        self.encoder = actor_critic.encoder
        self.freezing = actor_critic.encoder.freezing
        self.reference = actor_critic.actor.frozen_copy()
        """The actor's own networks at step 0. Over GR00T as it was loaded, they are the policy at step 0."""

        self._example = observations[:1].clone()
        self._num_envs, self._num_steps = observations.batch_size[0], num_steps_per_env
        super().__init__(
            actor_critic.actor,  # type: ignore[arg-type]
            actor_critic.critic,  # type: ignore[arg-type]
            self._make_storage(actor_critic.actor, actor_critic.critic),
            device=device,
            multi_gpu_cfg=multi_gpu_cfg,
            **self.options.for_rsl_rl(),
        )
        if not list(self.actor.parameters()) and not any(stage.train for stage in self.freezing.stages):
            raise ValueError(
                "Nothing of this policy trains: it is GR00T's action head, and `agent.actor.freezing.train` is empty."
                " Name parts of the head there, such as ['projector','dit'] or ['dit_lora']."
            )
        if self.options.bootstrap_images and not self.critic.reads_features:
            raise ValueError(
                "`agent.algorithm.bootstrap_images` is set, but the critic reads no images, so that it would change"
                " nothing. Leave it unset, or name an image group in `agent.obs_groups.critic`."
            )
        if self.options.entropy_coef > 0 and not self.actor.entropy_has_gradient:
            raise ValueError(
                f"`agent.algorithm.entropy_coef` is {self.options.entropy_coef}, but the entropy of this policy is a"
                " constant, so that the bonus would change nothing. Set it to 0, or `agent.actor.flow.noise=learned`."
            )
        self.optimizer = self._make_optimizer()
        self._rates = LearningRates(
            self.optimizer,
            self.options.schedules(),
            total_iterations=max_iterations,
            desired_kl=self.options.desired_kl,
        )
        self._scaler = self._make_scaler()
        self._reward_normalizer = (
            RewardNormalizer(self._num_envs, self.gamma, self.options.reward_clip).to(device)
            if self.options.reward_normalization
            else None
        )
        self.iteration = 0
        """Updates done."""

        self._encoded: tuple[TensorDict, TensorDict] | None = None
        """The last observation of a rollout and its encoding: the runner shows it to the next rollout again."""

        self._decided: TensorDict | None = None
        """The encoded observations of the decision in progress."""

        self._log: dict[str, Any] = {}
        """What the runner's logger reads at the end of the iteration: the ``log`` of the latest step's extras."""

        self._recorded: TensorDict | None = None
        """Observations of the first decision, for checkpoints: an export is proved on them."""

        self._statistics = RolloutStatistics()
        self._skipped = SkippedSteps(self.options.max_skipped_steps)
        self._backbone_calls = 0
        self._gradients_checked = False

    # Construction

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Gr00tPPO:
        """Build networks, storage and algorithm. Called by rsl_rl's runner, under the stock scripts as well.

        Raises:
            SystemExit: With the message of :func:`~.construction.build`'s error. This is the border to Isaac Lab's
                command line, which would print two tracebacks around it.
        """
        with readable_errors():
            return build(obs, env, cfg, device)

    def _make_storage(self, actor: Actor, critic: Gr00tCritic) -> DecisionStorage:
        """Storage of what is kept of a decision in the stage that is open."""
        example = self.encoder.encoded_example(self._example.expand(self._num_envs))
        example[EXECUTED] = torch.zeros(self._num_envs, actor.chunk_length, dtype=torch.bool, device=self.device)
        kept = {"old": self._recomputes(actor), "base": self.options.kl_to_base_coef > 0}
        return DecisionStorage(
            self._num_envs,
            self._num_steps,
            example,
            actor.chunk_length,
            self.encoder.spec.action_dim,
            critic.num_values,
            tuple(name for name, wanted in kept.items() if wanted),
            actor.distribution_shapes,
            self.device,
        )

    def _recomputes(self, actor: Actor) -> bool:
        """Whether the update begins with the distributions of the rollout's decisions in its own batch size.

        Kernels for another batch size round otherwise. In float32 that moves the ratio of a chunk by up to 1e-4 through
        the layers of GR00T, and in half precision by tens of percent, which would be clipped as if it was learnt.
        """
        return actor.reads_head or bool(self.freezing.groups) or self.options.use_mixed_precision

    def _make_optimizer(self) -> torch.optim.Optimizer:
        name = self.options.optimizer.lower()
        rate, critic_rate = self.options.learning_rate, self.options.critic_learning_rate
        settings: dict[str, Any] = {}
        if name in ("adam", "adamw", "rmsprop"):
            # no. 3 of the 37 implementation details; SGD has no epsilon
            settings["eps"] = self.options.adam_epsilon
        if name in ("adam", "adamw") and self.device_type == "cuda":
            settings["fused"] = True
        return resolve_optimizer(name)(  # type: ignore[operator]
            [
                {"params": list(self.actor.parameters()), "lr": rate, "name": "actor"},
                {
                    "params": list(self.critic.parameters()),
                    "lr": 20.0 * rate if critic_rate is None else critic_rate,
                    "name": "critic",
                },
                *self._optimizer_groups(self.freezing.groups),
            ],
            lr=rate,
            **settings,
        )

    def _make_scaler(self) -> GradScaler:
        """Keeps gradients of float16 layers, whose smallest number is 6e-8, from becoming zero."""
        mixed = half_precision(self.device) if self.use_mixed_precision else torch.float32
        trained = self.encoder.dtype if self.freezing.groups else torch.float32
        return GradScaler(self.device_type, enabled=torch.float16 in (mixed, trained))

    @property
    def device_type(self) -> str:
        return torch.device(self.device).type

    @property
    def final_observation_groups(self) -> list[str]:
        """Observation groups that bootstrapping reads in the state of a time-out."""
        images = self.encoder.spec.image_groups if self.options.bootstrap_images else ()
        return [*self.critic.vector_groups, *images]

    def compile(self, mode: str | None = None) -> None:
        """Compile GR00T's diffusion transformer with ``torch.compile`` (``agent.torch_compile_mode``)."""
        if mode is not None:
            self.encoder.compile(mode)

    # Rollout

    def _encode(self, obs: TensorDict) -> TensorDict:
        if self._encoded is not None and self._encoded[0] is obs:
            # what was kept of it; since then, what trains has changed
            return self.encoder.complete(self._encoded[1])
        return self.encoder.encode(obs)

    def _autocast(self) -> torch.autocast:
        # in the rollout as in the update: a network in another precision is another policy
        return torch.autocast(self.device_type, dtype=half_precision(self.device), enabled=self.use_mixed_precision)

    def act(self, obs: TensorDict) -> Tensor:
        """Draw action chunks (num_envs, H * A) and remember the decisions.

        Raises:
            SystemExit: An observation is not finite.
        """
        with readable_errors():
            require_finite_observations(obs)
        if self._recorded is None:
            self._recorded = obs[:RECORDED].clone().to("cpu") if FEATURES not in obs.keys() else None
        if self.storage.step == 0:
            self._statistics.start()
            self._backbone_calls = self.encoder.calls
        encoded = self._encode(obs)
        # used up: an environment may write its next observation into the same object
        self._encoded = None
        self._decided = encoded
        with self._autocast():
            actions = super().act(encoded)
        self.transition.observations = self.encoder.kept(encoded).clone(recurse=False)
        return actions

    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record the outcome of decisions.

        Args:
            obs: The next observations.
            rewards: Discounted sums over the executed control steps, (num_envs,).
            dones: Ends of episodes, (num_envs,).
            extras: As :class:`~gr00t_rl_ext.envs.chunking.ActionChunkMixin` gives them, and ``time_outs``.

        Raises:
            SystemExit: A reward or an observation of a time-out is not finite.
        """
        with readable_errors():
            require_finite_rewards(rewards)
        storage, step = self.storage, self.storage.step
        executed = extras["executed_steps"].to(self.device)
        self._statistics.record(executed, rewards, dones, extras)
        normalizer = self._reward_normalizer
        if normalizer is not None:
            rewards = normalizer(rewards, dones)
        self.transition.observations[EXECUTED] = executed_mask(executed, storage.chunk_length)  # type: ignore[index]
        self.transition.rewards = rewards
        self.transition.dones = dones
        storage.final_values[step] = self._final_values(extras)
        if storage.step_rewards is not None:
            step_rewards = extras["step_rewards"].to(self.device)
            storage.step_rewards[step] = step_rewards if normalizer is None else normalizer.scaled(step_rewards)
        storage.add_transition(self.transition)
        self.transition.clear()
        # own dictionary per step: the logger keeps a reference, and update() adds to the last one
        self._log = dict(extras.get("log", {}))
        extras["log"] = self._log

    def _final_values(self, extras: dict[str, Any]) -> Tensor:
        """Value of what follows the decisions where an episode ended: 0 for a termination. (num_envs,)."""
        if "time_outs" not in extras:
            return torch.zeros(self._num_envs, device=self.device)
        time_outs = extras["time_outs"].to(self.device)
        assert self.transition.values is not None
        values = self.transition.values
        if "final_observations" in extras and self._decided is not None:
            final = TensorDict(extras["final_observations"], batch_size=[self._num_envs]).to(self.device)
            with readable_errors():
                # the episode that follows may begin with finite numbers again
                require_finite_observations(final)
            if set(self.encoder.spec.image_groups) & set(final.keys()):
                obs = self.encoder.encode(final)
            else:
                # of the images, what was seen when it was decided; all else is of the very state
                obs = TensorDict({**self._decided, **final}, batch_size=final.batch_size)
            with self._autocast():
                values = self.critic(obs)
        return torch.where(time_outs.bool(), values[:, 0], 0.0)

    def compute_returns(self, obs: TensorDict) -> None:
        """Generalised advantages, of decisions or of control steps, and returns.

        Raises:
            SystemExit: An observation is not finite.
        """
        with readable_errors():
            # its value enters advantages, and the next rollout would look at it after the update
            require_finite_observations(obs)
        encoded = self._encode(obs)
        self._encoded = (obs, self.encoder.kept(encoded))
        with self._autocast():
            last_values = self.critic(encoded)[:, 0]
        st, executed, valid = self.storage, self.storage.executed, None
        dones = st.dones.squeeze(-1).bool()
        if st.step_rewards is None:
            advantages = chunk_advantages(
                st.rewards.squeeze(-1),
                st.values.squeeze(-1),
                last_values,
                dones,
                st.final_values,
                executed,
                st.chunk_length,
                self.gamma,
                self.lam,
            ).unsqueeze(-1)
        else:
            valid = executed_mask(executed, st.chunk_length)
            per_step = 1.0 / st.chunk_length
            advantages = step_advantages(
                st.step_rewards,
                st.values,
                last_values,
                executed,
                dones,
                st.final_values,
                self.gamma**per_step,
                self.lam**per_step,
            )
        st.returns.copy_(advantages + st.values)
        if not self.normalize_advantage_per_mini_batch:
            advantages = objectives.normalize_advantages(advantages, valid)
        st.advantages.copy_(advantages)

    # Update

    @property
    def _part_size(self) -> int:
        """Decisions that go through the networks at once."""
        mini_batch = self.storage.num_decisions // self.num_mini_batches
        return -(-mini_batch // self.options.gradient_accumulation_steps)

    def update(self) -> dict[str, float]:
        """Optimise on the stored rollout.

        Returns:
            Means over the mini-batches, under rsl_rl's names.

        Raises:
            SystemExit: Gradients were not finite too often in a row.
        """
        with readable_errors():
            self._rates.start_iteration(self.iteration)
        rollout_ratio_error = self._keep_distributions() if self.storage.kept else None
        sums: dict[str, float] = {}
        num_updates = 0
        first_ratio_error = 0.0
        stopped = False
        for _ in range(self.num_learning_epochs):
            epoch_kl = 0.0
            for indices in self.storage.shuffled(self.num_mini_batches):
                metrics, log_ratio = self._update_mini_batch(indices)
                if num_updates == 0:
                    first_ratio_error = float((log_ratio.exp() - 1.0).abs().max())
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value
                epoch_kl += metrics["approx_kl"] / self.num_mini_batches
                num_updates += 1
            if self._should_stop(epoch_kl):
                stopped = True
                break
        if not self._gradients_checked and self._policy_trains:
            # the last mini-batch's are still there
            report = self.freezing.check_gradients()
            if self.encoder.base_name is not None:
                print(f"Iteration {self.iteration}: {report.describe()}")
            self._gradients_checked = True
        # gradients of a large model would lie there all through the next rollout
        self.optimizer.zero_grad(set_to_none=True)
        means = {name: value / num_updates for name, value in sums.items()}
        if "kl_to_base" not in means:
            means["kl_to_base"] = self._measure_kl_to_base()
        observations = self.storage.observations.flatten(0, 1)
        self.critic.update_normalization(observations)
        if self._policy_trains:
            self.actor.update_normalization(observations)
        self._log_iteration(
            means
            | {
                "explained_variance": float(
                    objectives.explained_variance(self.storage.values.flatten(), self.storage.returns.flatten())
                ),
                "first_ratio_error": first_ratio_error,
                "rollout_ratio_error": first_ratio_error if rollout_ratio_error is None else rollout_ratio_error,
                "num_updates": num_updates,
                "stopped_early": float(stopped),
                "skipped_steps": self._skipped.total,
                "stage": self.freezing.stage,
            }
        )
        self.storage.clear()
        self.iteration += 1
        self.actor.start_iteration(self.iteration)
        self._open_stages()
        return {
            "value": means["value_loss"],
            "surrogate": means["policy_loss"],
            "entropy": means["entropy"],
        }

    @property
    def _policy_trains(self) -> bool:
        return self.iteration >= self.options.critic_warmup_iterations

    @torch.no_grad()
    def _keep_distributions(self) -> float | None:
        """Keep with the decisions what the update compares with.

        Returns:
            The largest difference to 1 of a ratio between the policy as the update computes it and as the rollout
            recorded it; None where the update takes what the rollout recorded. More than rounding here is a mismatch
            of the two, such as dropout in one of them.
        """
        errors = []
        for which in self.storage.in_order(self._part_size):
            batch = self.storage.batch(which)
            with self._autocast():
                obs = self.encoder.complete(batch.observations)
            if "base" in self.storage.kept:
                self.storage.keep("base", which, self._base_distribution(obs, batch))
            if "old" in self.storage.kept:
                with self._autocast():
                    distribution = self.actor.distribution(obs, batch.decisions)
                self.storage.keep("old", which, distribution)
                recorded = self.actor.score_recorded(batch.decisions)
                log_ratio = self.actor.scored(distribution, batch.decisions).log_ratio(recorded).sum(1)
                errors.append((log_ratio.exp() - 1.0).abs().max())
        return float(torch.stack(errors).max()) if errors else None

    def _base_distribution(self, obs: TensorDict, batch: Batch) -> tuple[Tensor, ...]:
        """Distribution of the policy at step 0 over stored decisions."""
        with self._autocast(), self.freezing.reference():
            obs = self.encoder.complete(self.encoder.kept(obs))
            return self.reference.distribution(obs, batch.decisions)

    @torch.no_grad()
    def _measure_kl_to_base(self) -> float:
        """KL to the policy at step 0 over some decisions, where it is no part of the loss."""
        batch = self.storage.batch(next(self.storage.in_order(self._part_size)))
        with self._autocast():
            obs = self.encoder.complete(batch.observations)
            current = self.actor.score(obs, batch.decisions)
        base = self.actor.scored(self._base_distribution(obs, batch), batch.decisions)
        return float(current.kl_divergence(base).sum(1).mean())

    def _update_mini_batch(self, indices: Tensor) -> tuple[dict[str, float], Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        size = indices.shape[0]
        whole = self._mini_batch_statistics(indices)
        sums: dict[str, Tensor] = {}
        log_ratios = []
        for part in indices.split(self._part_size):
            share = part.shape[0] / size
            losses, log_ratio = self._losses(self.storage.batch(part), whole)
            loss = self.value_loss_coef * losses["value_loss"]
            if self._policy_trains:
                loss = loss + losses["policy_loss"] - self.entropy_coef * losses["entropy"]
                if "kl_to_base" in losses:
                    loss = loss + self.options.kl_to_base_coef * losses["kl_to_base"]
            self._scaler.scale(share * loss).backward()
            log_ratios.append(log_ratio.detach())
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + share * value.detach()
        if self.is_multi_gpu:
            self.reduce_parameters()
        if self._rates.is_adaptive and self._policy_trains:
            self._rates.adapt(self._mean_over_ranks(float(sums["exact_kl"])))
            self.learning_rate = self._rates.current["actor"]
        self._scaler.unscale_(self.optimizer)
        norms = self._clip_gradients()
        log_ratio = torch.cat(log_ratios)
        metrics = sums | norms | {"approx_kl": objectives.approximate_kl(log_ratio)}
        # one synchronisation with the device for all of them
        floats = dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))
        self._step(all(math.isfinite(floats[name]) for name in norms))
        return floats, log_ratio

    def _losses(self, batch: Batch, whole: _MiniBatchStatistics) -> tuple[dict[str, Tensor], Tensor]:
        """Losses of some decisions, each a mean over them, and the log-ratios of the chunks (B,)."""
        actor, options = self.actor, self.options
        with torch.set_grad_enabled(self._policy_trains), self._autocast():
            obs = self.encoder.complete(batch.observations)
            distribution = actor.distribution(obs, batch.decisions)
        with self._autocast():
            values = self.critic(obs)
        # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
        current = actor.scored(distribution, batch.decisions)
        recorded = actor.recorded_distribution(batch.decisions) if batch.old is None else batch.old
        old = actor.scored(recorded, batch.decisions)
        step_log_ratio = current.log_ratio(old)
        log_ratio = step_log_ratio.sum(1)
        advantages = (batch.advantages - whole.advantage_mean) / whole.advantage_std
        valid, ratios = None, log_ratio.unsqueeze(1)
        weight: float | Tensor = 1.0
        if values.shape[1] > 1:
            valid, ratios = current.valid, step_log_ratio
            # parts of a mini-batch count by their executed control steps
            weight = valid.sum() / (valid.shape[0] * whole.executed)
        losses = {
            "policy_loss": weight * objectives.clipped_surrogate_loss(ratios, advantages, self.clip_param, valid=valid),
            "value_loss": weight
            * objectives.value_loss(
                values,
                batch.values,
                batch.returns,
                self.clip_param if self.use_clipped_value_loss else None,
                huber_delta=options.huber_delta,
                valid=valid,
            ),
            "entropy": current.entropy().sum(1).mean(),
            "clipfrac": weight * objectives.clip_fraction(ratios.detach(), self.clip_param, valid=valid),
        }
        if batch.base is not None:
            base = actor.scored(batch.base, batch.decisions)
            losses["kl_to_base"] = current.kl_divergence(base).sum(1).mean()
        if self._rates.is_adaptive:
            with torch.no_grad():
                losses["exact_kl"] = old.kl_divergence(current).sum(1).mean()
        return losses, log_ratio

    def _mini_batch_statistics(self, indices: Tensor) -> _MiniBatchStatistics:
        executed = self.storage.observations[EXECUTED].flatten(0, 1)[indices]
        mean, std = 0.0, 1.0
        if self.normalize_advantage_per_mini_batch:
            advantages = self.storage.advantages.flatten(0, 1)[indices]
            counted = advantages[executed] if advantages.shape[1] > 1 else advantages
            mean, std = counted.mean(), counted.std() + 1e-8
        return _MiniBatchStatistics(mean, std, executed.sum() / executed.shape[0])

    def _step(self, finite: bool) -> None:
        """Take the step, unless its gradient is not finite.

        Raises:
            SystemExit: That happened too often in a row.
        """
        # with float16, gradients overflow until the scale has come down to what they can bear
        searching = self._scaler.is_enabled() and self._scaler.get_scale() > 1.0
        if not searching:
            with readable_errors(DivergedError):
                finite = self._skipped.record(finite)
        if finite:
            self._scaler.step(self.optimizer)
        self._scaler.update()

    def _clip_gradients(self) -> dict[str, Tensor]:
        """Clip the policy's and the critic's gradients to ``max_grad_norm`` each; norms of all groups before that."""
        norms = {
            f"grad_norm_{group['name']}": nn.utils.get_total_norm(
                [p.grad for p in group["params"] if p.grad is not None]
            )
            for group in self.optimizer.param_groups
            # a flow policy has no networks of its own
            if group["params"]
        }
        critic = "grad_norm_critic"
        # all that is no critic's is the policy's
        policy_norm = nn.utils.get_total_norm([norm for name, norm in norms.items() if name != critic])
        nn.utils.clip_grads_with_norm_(self._policy_parameters(), self.max_grad_norm, policy_norm)
        nn.utils.clip_grads_with_norm_(self.critic.parameters(), self.max_grad_norm, norms[critic])
        return norms

    def _policy_parameters(self) -> list[nn.Parameter]:
        """What trains of the policy: the actor's own networks, and parts of GR00T."""
        return [*self.actor.parameters(), *self.freezing.parameters().values()]

    # Unfreezing

    def _optimizer_groups(self, groups: list[TrainedGroup]) -> list[dict[str, Any]]:
        return [
            {
                "params": list(group.parameters.values()),
                "lr": self.learning_rate if group.learning_rate is None else group.learning_rate,
                "name": group.name,
            }
            for group in groups
        ]

    def _open_stages(self) -> None:
        success_rate = self._statistics.success_rate(MIN_EPISODES)
        if self.is_multi_gpu:
            # every rank must open the same stages: the mean, once all of them know a rate
            rate = torch.tensor(math.nan if success_rate is None else success_rate, device=self.device)
            torch.distributed.all_reduce(rate)
            success_rate = None if rate.isnan() else float(rate) / self.gpu_world_size
        opened = self.freezing.advance(self.iteration, success_rate)
        if opened:
            print(f"Iteration {self.iteration}: {self.freezing.describe()}")
            self._train_groups(opened)

    def open_stage(self, stage: int) -> None:
        """Open all stages up to one, whether they are due or not.

        Raises:
            ValueError: There is no such stage.
        """
        opened = self.freezing.restore(stage)
        if opened:
            self._train_groups(opened)

    def _train_groups(self, groups: list[TrainedGroup]) -> None:
        """Optimise further parameters. The optimizer keeps its state of the others."""
        for group in self._optimizer_groups(groups):
            self._rates.add_group(group)
        # what was kept of decisions so far stands for layers that train now
        self._encoded = None
        self._gradients_checked = False
        self._scaler = self._make_scaler()
        del self.storage
        self.storage = self._make_storage(self.actor, self.critic)

    def _should_stop(self, epoch_kl: float) -> bool:
        target = self.options.target_kl
        return target is not None and self._mean_over_ranks(epoch_kl) > target

    def _mean_over_ranks(self, value: float) -> float:
        """Every rank must take the same steps, so what decides on them is the mean."""
        if not self.is_multi_gpu:
            return value
        mean = torch.tensor(value, device=self.device)
        torch.distributed.all_reduce(mean)
        return float(mean) / self.gpu_world_size

    def _log_iteration(self, means: Mapping[str, float]) -> None:
        log = {f"train/{name}": value for name, value in means.items() if name != "entropy"}
        log["train/entropy_loss"] = -means["entropy"]
        for name, rate in self._rates.current.items():
            log["train/learning_rate" + ("" if name == "actor" else f"_{name}")] = rate
        log["perf/backbone_calls"] = self.encoder.calls - self._backbone_calls
        self._log.update(log | self._statistics.metrics())

    # Checkpoints

    def save(self) -> dict:
        """What is trained, the optimizer, the reference policy, random states and the base's fingerprint."""
        saved = super().save()
        saved["reference_state_dict"] = self.reference.state_dict()
        saved["gr00t_state_dict"] = self.freezing.state_dict()
        saved["actor_recipe"] = dataclasses.asdict(self.actor_critic.recipe)
        saved["recorded_observations"] = {} if self._recorded is None else dict(self._recorded.items())
        saved["stage"] = self.freezing.stage
        saved["iteration"] = self.iteration
        saved["scaler"] = self._scaler.state_dict()
        saved["learning_rates"] = self._rates.state_dict()
        if self._reward_normalizer is not None:
            saved["reward_normalizer"] = self._reward_normalizer.state_dict()
        saved["rng_state"] = checkpoint.rng_state()
        saved["format"] = checkpoint.FORMAT
        saved["base_fingerprint"] = self.encoder.fingerprint
        saved["base_name"] = self.encoder.base_name
        return saved

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a checkpoint of :meth:`save`, and open the stages that were open.

        Raises:
            SystemExit: If it is none, belongs to another base checkpoint, or other parts of GR00T train; with the
                message that Isaac Lab's command line, at whose border this is, would hide below a traceback.
        """
        with readable_errors():
            self._load_gr00t(loaded_dict)
        load_iteration = super().load(loaded_dict, load_cfg, strict)
        self.reference.load_state_dict(loaded_dict["reference_state_dict"], strict=strict)
        self._encoded = None
        if self._scaler.is_enabled() and loaded_dict["scaler"]:
            self._scaler.load_state_dict(loaded_dict["scaler"])
        if self._reward_normalizer is not None and "reward_normalizer" in loaded_dict:
            self._reward_normalizer.load_state_dict(loaded_dict["reward_normalizer"])
        if load_iteration:
            self.iteration = loaded_dict["iteration"]
            self.actor.start_iteration(self.iteration)
            # after the optimizer, whose state holds the rates as well
            self._rates.load_state_dict(loaded_dict["learning_rates"], self.iteration)
            self.learning_rate = self._rates.current["actor"]
        # rank 0 wrote it; with its generator the other ranks would explore alike
        if load_cfg is None and self.gpu_global_rank == 0:
            checkpoint.restore_rng_state(loaded_dict["rng_state"])
        return load_iteration

    def _load_gr00t(self, loaded_dict: dict) -> None:
        checkpoint.check_header(loaded_dict, self.encoder.fingerprint, self.encoder.base_name)
        try:
            self.open_stage(loaded_dict["stage"])
            self.freezing.load_state_dict(loaded_dict["gr00t_state_dict"])
        except ValueError as error:
            overrides = self.actor_critic.recipe.overrides_for(loaded_dict["actor_recipe"], "freezing")
            raise ValueError(f"{error} Add to the command line: {' '.join(overrides)}") from error

    # Several GPUs

    def broadcast_parameters(self) -> None:
        """Copy the parameters of rank 0 to all ranks, those of GR00T that train and the reference's included."""
        super().broadcast_parameters()
        for tensor in [*self.reference.state_dict().values(), *self.freezing.state_dict().values()]:
            torch.distributed.broadcast(tensor, src=0)

    def reduce_parameters(self) -> None:
        """Average the gradients over all ranks."""
        parameters = [*self._policy_parameters(), *self.critic.parameters()]
        reduce_gradients_in_buckets(parameters, self.gpu_world_size, self.grad_reduce_bucket_mb)
