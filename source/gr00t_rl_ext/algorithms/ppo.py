# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO on cached features of a frozen GR00T, as an algorithm of rsl_rl 5.5."""

from __future__ import annotations

import copy
import inspect
import time
from collections import deque
from typing import Any

import torch
from rsl_rl.algorithms import PPO as RslRlPPO
from rsl_rl.env import VecEnv
from rsl_rl.storage import RolloutStorage
from rsl_rl.utils import resolve_class, resolve_optimizer
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.algorithms import checkpoint, objectives
from gr00t_rl_ext.policy import gaussian
from gr00t_rl_ext.policy.actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic, check_fields
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.memory import require_storage

EXECUTED = "executed"
"""Key of the mask of executed control steps (num_envs, H) in stored observations."""


class Gr00tPPO(RslRlPPO):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of an action-chunk policy.

    It differs from rsl_rl's PPO, whose rollout handling it inherits, in this:

    * Image groups are replaced by the frozen backbone's features before anything is stored: one backbone call per
      decision, none in the update.
    * The time step is a chunk. Control steps after the end of an episode do not count in log-probabilities, KL and
      entropy. ``gamma`` is per decision; inside a chunk rewards are discounted with ``gamma ** (1 / H)``.
    * A KL penalty to the policy at step 0, and an early stop of the epochs at ``target_kl``.
    * Own learning rate of the critic; mini-batches are shuffled anew in every epoch.
    * Checkpoints hold what is trained and name the base checkpoint.

    Args:
        actor_critic: Actor, critic and their shared backbone.
        storage: Storage for encoded observations.
        kl_to_base_coef: Weight of KL(policy || policy at step 0), per decision.
        target_kl: No further epoch starts once the mean KL between the rollout's policy and the current one exceeded
            this in an epoch. None: never stop.
        critic_learning_rate: Learning rate of the critic. None: 20 times the actor's.
        **kwargs: Arguments of rsl_rl's PPO.
    """

    # rsl_rl declares its own model class; what it calls of it, these have
    actor: Gr00tGaussianActor  # type: ignore[assignment]
    critic: Gr00tCritic  # type: ignore[assignment]

    def __init__(
        self,
        actor_critic: Gr00tActorCritic,
        storage: RolloutStorage,
        kl_to_base_coef: float = 0.01,
        target_kl: float | None = 0.015,
        critic_learning_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        # before rsl_rl's constructor, whose optimizer would complain in its own words
        _require_positive("learning_rate", kwargs.get("learning_rate"))
        super().__init__(actor_critic.actor, actor_critic.critic, storage, **kwargs)  # type: ignore[arg-type]
        for name in ("clip_param", "num_learning_epochs", "num_mini_batches", "max_grad_norm"):
            _require_positive(name, getattr(self, name))
        _require_positive("target_kl", target_kl)
        _require_positive("critic_learning_rate", critic_learning_rate)
        if kl_to_base_coef < 0:
            raise ValueError(f"`agent.algorithm.kl_to_base_coef` is {kl_to_base_coef}; expected 0 (off) or more.")
        _require_enough_decisions(
            storage.num_envs,
            storage.num_transitions_per_env,
            self.num_mini_batches,
            self.normalize_advantage_per_mini_batch,
        )
        self.actor_critic = actor_critic
        self.encoder = actor_critic.encoder
        self.kl_to_base_coef = kl_to_base_coef
        self.target_kl = target_kl
        self.critic_learning_rate = 20.0 * self.learning_rate if critic_learning_rate is None else critic_learning_rate
        optimizer = kwargs.get("optimizer", "adam").lower()
        self.optimizer = resolve_optimizer(optimizer)(  # type: ignore[operator]
            [
                {"params": list(self.actor.parameters()), "lr": self.learning_rate, "name": "actor"},
                {"params": list(self.critic.parameters()), "lr": self.critic_learning_rate, "name": "critic"},
            ],
            # no. 3 of the 37 implementation details; SGD has no epsilon
            **({"eps": 1e-5} if optimizer in ("adam", "adamw", "rmsprop") else {}),
        )
        self.reference = copy.deepcopy(self.actor.adapter).requires_grad_(False).eval()
        """The policy at step 0. Only the adapter: it reads the same cached features."""

        self._encoded: tuple[TensorDict, TensorDict] | None = None
        """The last observation of a rollout and its encoding: the runner shows it to the next rollout again."""

        self._log: dict[str, Any] = {}
        """What the runner's logger reads at the end of the iteration: the ``log`` of the latest step's extras."""

        self._episodes: dict[str, deque[float]] = {name: deque(maxlen=100) for name in ("return", "length", "success")}
        self._control_steps, self._reward_sum = 0, 0.0
        self._iteration_start = time.perf_counter()
        self._backbone_calls = 0
        self._frozen_checked = False

    # Construction

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Gr00tPPO:
        """Build networks, storage and algorithm. Called by rsl_rl's runner, under the stock scripts as well.

        Args:
            obs: Observations of the environment, before the groups are narrowed to those in use.
            env: Isaac Lab's rsl_rl wrapper around an environment with action chunks.
            cfg: The agent's config as nested dictionaries.
            device: Device of the networks.

        Raises:
            SystemExit: With the message of :meth:`build`'s error. This is the border to Isaac Lab's command line,
                which would print two tracebacks around it.
        """
        try:
            return Gr00tPPO.build(obs, env, cfg, device)
        except ValueError as error:
            raise SystemExit(f"\nerror: {error}") from error

    @staticmethod
    def build(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Gr00tPPO:
        """Do what :meth:`construct_algorithm` describes.

        Raises:
            ValueError: If a setting is unknown or does not fit the task or the checkpoint.
        """
        alg_class, alg_cfg = resolve_class(cfg["algorithm"])
        actor_class, actor_cfg = resolve_class(cfg["actor"])
        critic_class, critic_cfg = resolve_class(cfg["critic"])
        unwrapped: Any = env.unwrapped  # type: ignore[attr-defined]
        if not hasattr(unwrapped, "configure_decisions"):
            raise ValueError(
                f"The task's environment class {type(unwrapped).__name__} has no action chunks. Register the task with"
                " entry_point='gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv', or put"
                " gr00t_rl_ext.envs.chunking.ActionChunkMixin in front of its class."
            )
        obs_groups = _require_obs_groups(cfg["obs_groups"])
        _check_algorithm_fields(alg_cfg)
        actor_critic = Gr00tActorCritic(
            unwrapped,
            obs,
            obs_groups,
            actor_cfg,
            critic_cfg,
            device,
            actor_class,  # type: ignore[arg-type]
            critic_class,  # type: ignore[arg-type]
        )
        chunk_length = actor_critic.chunk_length
        used = list(dict.fromkeys(group for groups in obs_groups.values() for group in groups))
        unwrapped.configure_decisions(
            chunk_length, step_discount=alg_cfg["gamma"] ** (1.0 / chunk_length), observation_groups=used
        )
        env.num_actions = chunk_length * actor_critic.encoder.spec.action_dim
        example = actor_critic.encoder.encoded_example(env.get_observations().to(device))
        example[EXECUTED] = torch.zeros(env.num_envs, chunk_length, dtype=torch.bool, device=device)
        print(actor_critic.describe())
        print(f"  {require_storage(example, cfg['num_steps_per_env'], env.num_actions, device)}")
        storage = RolloutStorage("rl", env.num_envs, cfg["num_steps_per_env"], example, [env.num_actions], device)
        alg = alg_class(actor_critic, storage, device=device, multi_gpu_cfg=cfg["multi_gpu"], **alg_cfg)
        alg.compile(cfg.get("torch_compile_mode"))
        return alg

    # Rollout

    def _encode(self, obs: TensorDict) -> TensorDict:
        if FEATURES in obs.keys():
            return obs
        if self._encoded is not None and self._encoded[0] is obs:
            return self._encoded[1]
        return self.encoder.encode(obs)

    def _autocast(self) -> torch.autocast:
        # in the rollout as in the update: a network in another precision is another policy
        device_type = torch.device(self.device).type
        return torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.use_mixed_precision)

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Sample an action chunk (num_envs, H * A) and remember the decision."""
        if self.storage.step == 0:
            self._iteration_start = time.perf_counter()
            self._backbone_calls = self.encoder.calls
            self._control_steps, self._reward_sum = 0, 0.0
        encoded = self._encode(obs)
        # used up: an environment may write its next observation into the same object
        self._encoded = None
        with self._autocast():
            return super().act(encoded)

    def process_env_step(
        self, obs: TensorDict, rewards: torch.Tensor, dones: torch.Tensor, extras: dict[str, Any]
    ) -> None:
        """Record the outcome of a decision."""
        executed = extras["executed_steps"].to(self.device)
        steps = torch.arange(self.actor.chunk_length, device=self.device)
        # a copy: the encoding may still be shared with the runner's observation
        stored = self.transition.observations.clone(recurse=False)  # type: ignore[union-attr]
        stored[EXECUTED] = steps < executed.unsqueeze(1)
        self.transition.observations = stored
        super().process_env_step(obs, rewards, dones, extras)
        self._control_steps += int(executed.sum())
        self._reward_sum += float(rewards.sum())
        for name, key in (("return", "episode_return"), ("length", "episode_steps"), ("success", "success")):
            if key in extras:
                self._episodes[name].extend(extras[key].to(self.device)[dones > 0].float().tolist())
        # own dictionary per step: the logger keeps a reference, and update() adds to the last one
        self._log = dict(extras.get("log", {}))
        extras["log"] = self._log

    def compute_returns(self, obs: TensorDict) -> None:
        """Generalised advantage estimation (arXiv 1506.02438) over decisions."""
        self._encoded = (obs, self._encode(obs))
        with self._autocast():
            super().compute_returns(self._encoded[1])

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
        if not self._frozen_checked:
            self.encoder.check_frozen()
            self._frozen_checked = True
            print("After the first update: no parameter of the GR00T backbone has a gradient.")
        values, returns = self.storage.values.flatten(), self.storage.returns.flatten()
        flat = self.storage.observations.flatten(0, 1)
        self.critic.update_normalization(flat)
        self.storage.clear()
        means = {name: value / num_updates for name, value in sums.items()}
        self._log_iteration(means, num_updates, first_ratio_error, stopped, values, returns)
        return {
            "value": means["value_loss"],
            "surrogate": means["policy_loss"],
            "entropy": means["entropy"],
        }

    def _update_mini_batch(self, batch: Any) -> tuple[dict[str, float], torch.Tensor]:
        # Any: rsl_rl declares every field of a batch as optional
        obs: TensorDict = batch.observations
        valid = obs[EXECUTED]
        shape = (-1, self.actor.chunk_length, self.encoder.spec.action_dim)
        actions = batch.actions.view(shape)
        old_mean, old_std = batch.old_distribution_params
        advantages: torch.Tensor = batch.advantages.squeeze(1)
        if self.normalize_advantage_per_mini_batch:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        with self._autocast():
            features, state = obs[FEATURES], self.encoder.state(obs)
            mean = self.actor.adapter.mean(features, state)
            values = self.critic(obs).squeeze(1)
            with torch.no_grad():
                base_mean = self.reference.mean(features, state)
        # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
        std, base_std = self.actor.adapter.std().expand_as(mean), self.reference.std()
        old_log_prob = gaussian.log_prob(actions, old_mean, old_std, valid)
        log_ratio = gaussian.log_prob(actions, mean, std, valid) - old_log_prob
        policy_loss = objectives.clipped_surrogate_loss(log_ratio, advantages, self.clip_param)
        value_loss = objectives.value_loss(
            values,
            batch.values.squeeze(1),
            batch.returns.squeeze(1),
            self.clip_param if self.use_clipped_value_loss else None,
        )
        entropy = gaussian.entropy(std, valid).mean()
        kl_to_base = gaussian.kl_divergence(mean, std, base_mean, base_std, valid).mean()
        loss = (
            policy_loss
            + self.value_loss_coef * value_loss
            - self.entropy_coef * entropy
            + self.kl_to_base_coef * kl_to_base
        )
        self.optimizer.zero_grad()
        loss.backward()
        if self.is_multi_gpu:
            self.reduce_parameters()
        actor_norm = nn.utils.clip_grad_norm_(self.actor.parameters(), self.max_grad_norm)
        critic_norm = nn.utils.clip_grad_norm_(self.critic.parameters(), self.max_grad_norm)
        self.optimizer.step()
        log_ratio = log_ratio.detach()
        metrics = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "kl_to_base": kl_to_base,
            "approx_kl": objectives.approximate_kl(log_ratio),
            "clipfrac": objectives.clip_fraction(log_ratio, self.clip_param),
            "grad_norm_actor": actor_norm,
            "grad_norm_critic": critic_norm,
        }
        return {name: float(value.detach()) for name, value in metrics.items()}, log_ratio

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
        elapsed = time.perf_counter() - self._iteration_start
        log = {
            "train/policy_loss": means["policy_loss"],
            "train/value_loss": means["value_loss"],
            "train/entropy_loss": -means["entropy"],
            "train/approx_kl": means["approx_kl"],
            "train/kl_to_base": means["kl_to_base"],
            "train/clipfrac": means["clipfrac"],
            "train/explained_variance": float(objectives.explained_variance(values, returns)),
            "train/learning_rate": self.optimizer.param_groups[0]["lr"],
            "train/learning_rate_critic": self.optimizer.param_groups[1]["lr"],
            "train/grad_norm_actor": means["grad_norm_actor"],
            "train/grad_norm_critic": means["grad_norm_critic"],
            "train/first_ratio_error": first_ratio_error,
            "train/num_updates": num_updates,
            "train/stopped_early": float(stopped),
            "charts/SPS": self._control_steps / elapsed,
            "charts/reward_per_step": self._reward_sum / self._control_steps,
            "perf/backbone_calls": self.encoder.calls - self._backbone_calls,
        }
        for name, key in (
            ("charts/episodic_return", "return"),
            ("charts/episodic_length", "length"),
            ("charts/success_rate", "success"),
        ):
            if self._episodes[key]:
                log[name] = sum(self._episodes[key]) / len(self._episodes[key])
        self._log.update(log)

    # Checkpoints

    def save(self) -> dict:
        """What is trained, the optimizer, the reference policy, random states and the base's fingerprint."""
        saved = super().save()
        saved["reference_state_dict"] = self.reference.state_dict()
        saved["rng_state"] = checkpoint.rng_state()
        saved["format"] = checkpoint.FORMAT
        saved["base_fingerprint"] = self.encoder.fingerprint
        saved["base_name"] = str(self.encoder.model.config.source)
        return saved

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a checkpoint of :meth:`save`.

        Raises:
            ValueError: If it is none, or belongs to another base checkpoint.
        """
        checkpoint.check_header(loaded_dict, self.encoder.fingerprint, str(self.encoder.model.config.source))
        load_iteration = super().load(loaded_dict, load_cfg, strict)
        self.reference.load_state_dict(loaded_dict["reference_state_dict"], strict=strict)
        # rank 0 wrote it; with its generator the other ranks would explore alike
        if load_cfg is None and self.gpu_global_rank == 0:
            checkpoint.restore_rng_state(loaded_dict["rng_state"])
        return load_iteration

    def broadcast_parameters(self) -> None:
        """Copy the parameters of rank 0 to all ranks, those of the reference policy included."""
        super().broadcast_parameters()
        for tensor in self.reference.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)


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


def _require_obs_groups(obs_groups: dict[str, list[str]]) -> dict[str, list[str]]:
    missing = [name for name in ("actor", "critic") if not obs_groups.get(name)]
    if missing:
        raise ValueError(
            f"`agent.obs_groups` names no observation groups for the {' and the '.join(missing)}; it has"
            f" {', '.join(obs_groups) or 'nothing'}. Expected e.g. {{'actor': ['rgb', 'state'], 'critic': ['rgb',"
            " 'state', 'privileged']}."
        )
    return obs_groups


def _check_algorithm_fields(alg_cfg: dict[str, Any]) -> None:
    internal = ("self", "actor", "critic", "storage", "device", "multi_gpu_cfg")
    inherited = [name for name in inspect.signature(RslRlPPO.__init__).parameters if name not in internal]
    own = ["kl_to_base_coef", "target_kl", "critic_learning_rate"]
    # fields of Isaac Lab's config for features of rsl_rl that this algorithm does not have
    unsupported = ("rnd_cfg", "symmetry_cfg", "share_cnn_encoders")
    for name in unsupported:
        if alg_cfg.pop(name, None):
            raise ValueError(f"`agent.algorithm.{name}` is set, which Gr00tPPO does not support. Leave it unset.")
    check_fields("agent.algorithm", alg_cfg, [name for name in (*inherited, *own) if name not in unsupported])
    if alg_cfg.get("schedule", "fixed") != "fixed":
        raise ValueError(
            f"`agent.algorithm.schedule` is {alg_cfg['schedule']!r}; Gr00tPPO supports 'fixed' and stops the epochs of"
            " an iteration at `target_kl` instead."
        )
