# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO of a GR00T policy on what was computed of it once per decision, as an algorithm of rsl_rl 5.5."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import torch
from rsl_rl.algorithms import PPO as RslRlPPO
from rsl_rl.env import VecEnv
from rsl_rl.storage import RolloutStorage
from rsl_rl.utils import reduce_gradients_in_buckets, resolve_optimizer
from tensordict import TensorDict
from torch import nn
from torch.amp.grad_scaler import GradScaler

from gr00t_rl_ext.algorithms import checkpoint, objectives
from gr00t_rl_ext.algorithms.construction import build
from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.policy import gaussian
from gr00t_rl_ext.policy.actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.freezing import TrainedGroup
from gr00t_rl_ext.policy.precision import half_precision
from gr00t_rl_ext.policy.stages import MIN_EPISODES

EXECUTED = "executed"
"""Key of the mask of executed control steps (num_envs, H) in stored observations."""

RECORDED = 4
"""Observations that a checkpoint keeps."""

BASE_MEAN = "base_mean"
"""Key of the mean (num_envs, H, A) that the policy at step 0 gives, in stored observations."""


class Gr00tPPO(RslRlPPO):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of an action-chunk policy.

    It differs from rsl_rl's PPO, whose rollout handling it inherits, in this:

    * Image groups are replaced by what the frozen layers of GR00T make of them before anything is stored: one backbone
      call per decision; the update recomputes the layers that train, and nothing while none does.
    * What of GR00T trains is owned by :class:`~gr00t_rl_ext.policy.freezing.Freezing`. Its stages open between
      iterations; their parameters join the optimizer as groups of their own.
    * The time step is a chunk. Control steps after the end of an episode do not count in log-probabilities, KL and
      entropy. ``gamma`` is per decision; inside a chunk rewards are discounted with ``gamma ** (1 / H)``.
    * A KL penalty to the policy at step 0, and an early stop of the epochs at ``target_kl``.
    * Own learning rate of the critic; mini-batches are shuffled anew in every epoch.
    * Checkpoints hold what is trained and name the base checkpoint.

    Args:
        actor_critic: Actor, critic and their shared backbone.
        observations: Observations of all environments.
        num_steps_per_env: Decisions per environment and iteration.
        kl_to_base_coef: Weight of KL(policy || policy at step 0), per decision.
        target_kl: No further epoch starts once the mean KL between the rollout's policy and the current one exceeded
            this in an epoch. None: never stop.
        critic_learning_rate: Learning rate of the critic. None: 20 times the actor's.
        gradient_accumulation_steps: Parts that a mini-batch is split into, to save memory. The step is that of the
            whole mini-batch.
        **kwargs: Arguments of rsl_rl's PPO.
    """

    # rsl_rl declares its own model class; what it calls of it, these have
    actor: Gr00tGaussianActor  # type: ignore[assignment]
    critic: Gr00tCritic  # type: ignore[assignment]

    def __init__(
        self,
        actor_critic: Gr00tActorCritic,
        observations: TensorDict,
        num_steps_per_env: int,
        kl_to_base_coef: float = 0.01,
        target_kl: float | None = 0.015,
        critic_learning_rate: float | None = None,
        gradient_accumulation_steps: int = 1,
        **kwargs: Any,
    ) -> None:
        # before rsl_rl's constructor, whose optimizer would complain in its own words
        _require_positive("learning_rate", kwargs.get("learning_rate"))
        self.device = kwargs.get("device", "cpu")
        self.actor_critic = actor_critic
        self.encoder = actor_critic.encoder
        self.freezing = actor_critic.encoder.freezing
        self._example = observations[:1].clone()
        self._num_envs, self._num_steps = observations.batch_size[0], num_steps_per_env
        storage = self._make_storage()
        super().__init__(actor_critic.actor, actor_critic.critic, storage, **kwargs)  # type: ignore[arg-type]
        for name in ("clip_param", "num_learning_epochs", "num_mini_batches", "max_grad_norm"):
            _require_positive(name, getattr(self, name))
        _require_positive("target_kl", target_kl)
        _require_positive("critic_learning_rate", critic_learning_rate)
        _require_positive("gradient_accumulation_steps", gradient_accumulation_steps)
        if kl_to_base_coef < 0:
            raise ValueError(f"`agent.algorithm.kl_to_base_coef` is {kl_to_base_coef}; expected 0 (off) or more.")
        _require_enough_decisions(
            storage.num_envs,
            storage.num_transitions_per_env,
            self.num_mini_batches,
            self.normalize_advantage_per_mini_batch,
        )
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.kl_to_base_coef = kl_to_base_coef
        self.target_kl = target_kl
        self.critic_learning_rate = 20.0 * self.learning_rate if critic_learning_rate is None else critic_learning_rate
        optimizer = kwargs.get("optimizer", "adam").lower()
        self.optimizer = resolve_optimizer(optimizer)(  # type: ignore[operator]
            [
                {"params": list(self.actor.parameters()), "lr": self.learning_rate, "name": "actor"},
                {"params": list(self.critic.parameters()), "lr": self.critic_learning_rate, "name": "critic"},
                *self._optimizer_groups(self.freezing.groups),
            ],
            # no. 3 of the 37 implementation details; SGD has no epsilon
            **({"eps": 1e-5} if optimizer in ("adam", "adamw", "rmsprop") else {}),
        )
        self._scaler = self._make_scaler()
        self.reference = copy.deepcopy(self.actor.adapter).requires_grad_(False).eval()
        """The adapter at step 0. With GR00T as it was loaded, it is the policy at step 0."""

        self.iteration = 0
        """Updates done."""

        self._encoded: tuple[TensorDict, TensorDict] | None = None
        """The last observation of a rollout and its encoding: the runner shows it to the next rollout again."""

        self._log: dict[str, Any] = {}
        """What the runner's logger reads at the end of the iteration: the ``log`` of the latest step's extras."""

        self._recorded: TensorDict | None = None
        """Observations of the first decision, for checkpoints: an export is proved on them."""

        self._statistics = RolloutStatistics()
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
        try:
            return build(obs, env, cfg, device)
        except ValueError as error:
            raise SystemExit(f"\nerror: {error}") from error

    def _make_storage(self) -> RolloutStorage:
        """Storage of what is kept of a decision in the stage that is open."""
        chunk_length, action_dim = self.actor_critic.chunk_length, self.encoder.spec.action_dim
        example = self.encoder.encoded_example(self._example.expand(self._num_envs))
        example[EXECUTED] = torch.zeros(self._num_envs, chunk_length, dtype=torch.bool, device=self.device)
        example[BASE_MEAN] = torch.zeros(self._num_envs, chunk_length, action_dim, device=self.device)
        num_actions = chunk_length * action_dim
        return RolloutStorage("rl", self._num_envs, self._num_steps, example, [num_actions], self.device)

    # Rollout

    def _encode(self, obs: TensorDict) -> TensorDict:
        if self._encoded is not None and self._encoded[0] is obs:
            # what was kept of it; since then, what trains has changed
            return self.encoder.complete(self._encoded[1])
        return self.encoder.encode(obs)

    def _autocast(self) -> torch.autocast:
        # in the rollout as in the update: a network in another precision is another policy
        return torch.autocast(self.device_type, dtype=half_precision(self.device), enabled=self.use_mixed_precision)

    @property
    def device_type(self) -> str:
        return torch.device(self.device).type

    def _make_scaler(self) -> GradScaler:
        """Keeps gradients of float16 layers, whose smallest number is 6e-8, from becoming zero."""
        mixed = half_precision(self.device) if self.use_mixed_precision else torch.float32
        trained = self.encoder.dtype if self.freezing.groups else torch.float32
        return GradScaler(self.device_type, enabled=torch.float16 in (mixed, trained))

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Sample an action chunk (num_envs, H * A) and remember the decision."""
        if self._recorded is None:
            self._recorded = obs[:RECORDED].clone().to("cpu") if FEATURES not in obs.keys() else None
        if self.storage.step == 0:
            self._statistics.start()
            self._backbone_calls = self.encoder.calls
        encoded = self._encode(obs)
        # used up: an environment may write its next observation into the same object
        self._encoded = None
        with self._autocast():
            actions = super().act(encoded)
            stored = self.encoder.kept(encoded).clone(recurse=False)
            stored[BASE_MEAN] = self._base_mean(encoded)
        self.transition.observations = stored
        return actions

    @torch.no_grad()
    def _base_mean(self, encoded: TensorDict) -> torch.Tensor:
        """Mean of the policy at step 0, (B, H, A)."""
        with self.freezing.reference():
            features = self.encoder.complete(self.encoder.kept(encoded))[FEATURES]
        return self.reference.distribution(features, self.encoder.state(encoded))[0]

    def process_env_step(
        self, obs: TensorDict, rewards: torch.Tensor, dones: torch.Tensor, extras: dict[str, Any]
    ) -> None:
        """Record the outcome of a decision."""
        executed = extras["executed_steps"].to(self.device)
        steps = torch.arange(self.actor.chunk_length, device=self.device)
        self.transition.observations[EXECUTED] = steps < executed.unsqueeze(1)  # type: ignore[index]
        super().process_env_step(obs, rewards, dones, extras)
        self._statistics.record(executed, rewards, dones, extras)
        # own dictionary per step: the logger keeps a reference, and update() adds to the last one
        self._log = dict(extras.get("log", {}))
        extras["log"] = self._log

    def compute_returns(self, obs: TensorDict) -> None:
        """Generalised advantage estimation (arXiv 1506.02438) over decisions."""
        encoded = self._encode(obs)
        self._encoded = (obs, self.encoder.kept(encoded))
        with self._autocast():
            super().compute_returns(encoded)

    # Update

    def update(self) -> dict[str, float]:
        """Optimise on the stored rollout.

        Returns:
            Means over the mini-batches, under rsl_rl's names.
        """
        sums: dict[str, float] = {}
        num_updates = 0
        first_ratio_error = 0.0
        stopped = False
        epoch_kl = 0.0
        for _ in range(self.num_learning_epochs):
            epoch_kl, num_batches = 0.0, 0
            # one epoch per generator: rsl_rl draws one permutation for all epochs of a generator
            for batch in self.storage.mini_batch_generator(self.num_mini_batches, 1):
                metrics, log_ratio = self._update_mini_batch(batch)
                if num_updates == 0:
                    first_ratio_error = float((log_ratio.exp() - 1.0).abs().max())
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value
                epoch_kl += metrics["approx_kl"]
                num_updates += 1
                num_batches += 1
            epoch_kl /= max(num_batches, 1)
            if self._should_stop(epoch_kl):
                stopped = True
                break
        if not self._gradients_checked:
            # the last mini-batch's are still there
            print(f"Iteration {self.iteration}: {self.freezing.check_gradients().describe()}")
            self._gradients_checked = True
        values, returns = self.storage.values.flatten(), self.storage.returns.flatten()
        self.critic.update_normalization(self.storage.observations.flatten(0, 1))
        self.storage.clear()
        means = {name: value / num_updates for name, value in sums.items()}
        self._log_iteration(means, num_updates, first_ratio_error, stopped, values, returns)
        self.iteration += 1
        self._open_stages()
        return {
            "value": means["value_loss"],
            "surrogate": means["policy_loss"],
            "entropy": means["entropy"],
        }

    def _update_mini_batch(self, batch: Any) -> tuple[dict[str, float], torch.Tensor]:
        # Any: rsl_rl declares every field of a batch as optional
        if self.normalize_advantage_per_mini_batch:
            batch.advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
        self.optimizer.zero_grad()
        size = batch.actions.shape[0]
        sums: dict[str, torch.Tensor] = {}
        log_ratios = []
        for part in _split(batch, self.gradient_accumulation_steps):
            share = part.actions.shape[0] / size
            losses, log_ratio = self._losses(part)
            loss = (
                losses["policy_loss"]
                + self.value_loss_coef * losses["value_loss"]
                - self.entropy_coef * losses["entropy"]
                + self.kl_to_base_coef * losses["kl_to_base"]
            )
            self._scaler.scale(share * loss).backward()
            log_ratios.append(log_ratio.detach())
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + share * value.detach()
        if self.is_multi_gpu:
            self.reduce_parameters()
        self._scaler.unscale_(self.optimizer)
        norms = self._clip_gradients()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        log_ratio = torch.cat(log_ratios)
        metrics = sums | {
            "approx_kl": objectives.approximate_kl(log_ratio),
            "clipfrac": objectives.clip_fraction(log_ratio, self.clip_param),
        }
        return {name: float(value) for name, value in (metrics | norms).items()}, log_ratio

    def _losses(self, batch: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Losses of some decisions, each a mean over them, and their log-ratios (B,)."""
        with self._autocast():
            obs: TensorDict = self.encoder.complete(batch.observations)
            mean, std = self.actor.adapter.distribution(obs[FEATURES], self.encoder.state(obs))
            values = self.critic(obs).squeeze(1)
        # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
        valid, base_mean = obs[EXECUTED], obs[BASE_MEAN]
        assert self.reference.std_logit is not None
        base_std = gaussian.bounded_std(self.reference.std_logit, *self.reference.std_range)
        old_mean, old_std = batch.old_distribution_params
        actions = batch.actions.view_as(mean)
        old_log_prob = gaussian.log_prob(actions, old_mean, old_std, valid).sum(1)
        log_ratio = gaussian.log_prob(actions, mean, std, valid).sum(1) - old_log_prob
        clip = self.clip_param if self.use_clipped_value_loss else None
        losses = {
            "policy_loss": objectives.clipped_surrogate_loss(log_ratio, batch.advantages.squeeze(1), self.clip_param),
            "value_loss": objectives.value_loss(values, batch.values.squeeze(1), batch.returns.squeeze(1), clip),
            "entropy": gaussian.entropy(std, valid).sum(1).mean(),
            "kl_to_base": gaussian.kl_divergence(mean, std, base_mean, base_std, valid).sum(1).mean(),
        }
        return losses, log_ratio

    def _clip_gradients(self) -> dict[str, torch.Tensor]:
        """Clip the policy's and the critic's gradients to ``max_grad_norm`` each; norms of all groups before that."""
        norms = {
            f"grad_norm_{group['name']}": nn.utils.get_total_norm(
                [p.grad for p in group["params"] if p.grad is not None]
            )
            for group in self.optimizer.param_groups
        }
        nn.utils.clip_grad_norm_(self._policy_parameters(), self.max_grad_norm)
        nn.utils.clip_grad_norm_(self.critic.parameters(), self.max_grad_norm)
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
            self.optimizer.add_param_group(group)
        # what was kept of decisions so far stands for layers that train now
        self._encoded = None
        self._gradients_checked = False
        self._scaler = self._make_scaler()
        del self.storage
        self.storage = self._make_storage()

    def _should_stop(self, epoch_kl: float) -> bool:
        if self.target_kl is None:
            return False
        if self.is_multi_gpu:
            # every rank must take the same number of steps
            mean = torch.tensor(epoch_kl, device=self.device)
            torch.distributed.all_reduce(mean)
            epoch_kl = float(mean) / self.gpu_world_size
        return epoch_kl > self.target_kl

    def _log_iteration(
        self,
        means: dict[str, float],
        num_updates: int,
        first_ratio_error: float,
        stopped: bool,
        values: torch.Tensor,
        returns: torch.Tensor,
    ) -> None:
        log = {
            "train/policy_loss": means["policy_loss"],
            "train/value_loss": means["value_loss"],
            "train/entropy_loss": -means["entropy"],
            "train/approx_kl": means["approx_kl"],
            "train/kl_to_base": means["kl_to_base"],
            "train/clipfrac": means["clipfrac"],
            "train/explained_variance": float(objectives.explained_variance(values, returns)),
            "train/first_ratio_error": first_ratio_error,
            "train/num_updates": num_updates,
            "train/stopped_early": float(stopped),
            "train/stage": self.freezing.stage,
            "perf/backbone_calls": self.encoder.calls - self._backbone_calls,
            **self._statistics.metrics(),
        }
        for group in self.optimizer.param_groups:
            name = group["name"]
            log["train/learning_rate" + ("" if name == "actor" else f"_{name}")] = group["lr"]
            log[f"train/grad_norm_{name}"] = means[f"grad_norm_{name}"]
        self._log.update(log)

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
        saved["rng_state"] = checkpoint.rng_state()
        saved["format"] = checkpoint.FORMAT
        saved["base_fingerprint"] = self.encoder.fingerprint
        saved["base_name"] = str(self.encoder.model.config.source)
        return saved

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a checkpoint of :meth:`save`, and open the stages that were open.

        Raises:
            SystemExit: If it is none, belongs to another base checkpoint, or other parts of GR00T train; with the
                message that Isaac Lab's command line, at whose border this is, would hide below a traceback.
        """
        try:
            self._load_gr00t(loaded_dict)
        except ValueError as error:
            raise SystemExit(f"\nerror: {error}") from error
        load_iteration = super().load(loaded_dict, load_cfg, strict)
        self.reference.load_state_dict(loaded_dict["reference_state_dict"], strict=strict)
        self._encoded = None
        if self._scaler.is_enabled() and loaded_dict["scaler"]:
            self._scaler.load_state_dict(loaded_dict["scaler"])
        if load_iteration:
            self.iteration = loaded_dict["iteration"]
        # rank 0 wrote it; with its generator the other ranks would explore alike
        if load_cfg is None and self.gpu_global_rank == 0:
            checkpoint.restore_rng_state(loaded_dict["rng_state"])
        return load_iteration

    def _load_gr00t(self, loaded_dict: dict) -> None:
        checkpoint.check_header(loaded_dict, self.encoder.fingerprint, str(self.encoder.model.config.source))
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


def _split(batch: Any, num_parts: int) -> Iterator[Any]:
    """A mini-batch in parts of nearly equal size, at most one per decision."""
    for index in torch.arange(batch.actions.shape[0]).chunk(num_parts):
        part = slice(int(index[0]), int(index[-1]) + 1)
        yield RolloutStorage.Batch(
            observations=batch.observations[part],
            actions=batch.actions[part],
            values=batch.values[part],
            advantages=batch.advantages[part],
            returns=batch.returns[part],
            old_distribution_params=tuple(values[part] for values in batch.old_distribution_params),
        )


def _require_positive(name: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"`agent.algorithm.{name}` is {value}; expected a positive number.")


def _require_enough_decisions(num_envs: int, num_steps: int, num_mini_batches: int, normalized_each: bool) -> None:
    # advantages are divided by their standard deviation, which one decision does not have
    smallest = 2 if normalized_each else 1
    needed = max(2, smallest * num_mini_batches)
    if num_envs * num_steps < needed:
        raise ValueError(
            f"`agent.algorithm.num_mini_batches` is {num_mini_batches}, but an iteration has only"
            f" {num_envs * num_steps} decisions ({num_envs} environments x {num_steps} per environment); expected at"
            f" least {needed}. Raise `agent.num_steps_per_env` or `--num_envs`."
        )
