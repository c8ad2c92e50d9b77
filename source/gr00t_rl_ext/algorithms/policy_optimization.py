# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What PPO and GRPO share: an algorithm of rsl_rl 5.5 for action-chunk policies over a GR00T that may train as well."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import torch
from rsl_rl.env import VecEnv
from rsl_rl.utils import reduce_gradients_in_buckets, resolve_optimizer
from tensordict import TensorDict
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gr00t_rl_ext.algorithms import checkpoint, objectives
from gr00t_rl_ext.algorithms.construction import build
from gr00t_rl_ext.algorithms.errors import readable_errors
from gr00t_rl_ext.algorithms.finite import DivergedError, SkippedSteps
from gr00t_rl_ext.algorithms.optimization_options import OptimizationOptions
from gr00t_rl_ext.algorithms.schedules import LearningRates
from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.algorithms.storage import EXECUTED, Batch, DecisionStorage
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.freezing import TrainedGroup
from gr00t_rl_ext.policy.precision import half_precision
from gr00t_rl_ext.policy.protocols import ActorCritic
from gr00t_rl_ext.policy.scored import Scored
from gr00t_rl_ext.policy.stages import MIN_EPISODES

RECORDED = 4
"""Observations that a checkpoint keeps."""


@dataclasses.dataclass(frozen=True)
class ScoredBatch:
    """Some decisions under the policies that an objective compares."""

    observations: TensorDict
    """Encoded, as the layers that train make them now."""

    current: Scored
    """The policy as it is now; differentiable."""

    old: Scored
    """The policy of the rollout."""

    base: Scored | None
    """The policy at step 0; None where it is not kept."""


class PolicyOptimization(ABC):
    """Policy gradients of an action-chunk policy, on what was computed of its decisions once.

    The policy is any :class:`~gr00t_rl_ext.policy.actor.Actor`. rsl_rl's runner calls it as its own algorithms.

    * Image groups are replaced by what the frozen layers of GR00T make of them before anything is stored: one backbone
      call per decision; the update recomputes the layers that train, and nothing while none does.
    * What of GR00T trains is owned by :class:`~gr00t_rl_ext.policy.freezing.Freezing`. Its stages open between
      iterations; their parameters join the optimizer as groups of their own.
    * The time step is a chunk. Control steps after the end of an episode do not count in log-probabilities, KL and
      entropy.
    * The policy at step 0 is kept, for a KL penalty and as a metric; epochs stop early at ``target_kl``.
    * Learning rates and schedules of their own for the networks and parts of GR00T.
    * A step whose gradient is not finite is not taken.
    * Checkpoints hold what is trained and name the base checkpoint.

    Args:
        actor_critic: Actor, encoder, and a critic where the algorithm has one.
        observations: Observations of all environments.
        num_steps: Steps of the storage: decisions per environment and update.
        options: The fields of ``agent.algorithm``.
        device: Where all of it lives.
        multi_gpu_cfg: rsl_rl's, with several processes.
        max_iterations: Iterations of the run, for linear schedules.

    Raises:
        ValueError: An option does not fit the policy.
    """

    OPTIONS: ClassVar[type[OptimizationOptions]]
    """The fields of ``agent.algorithm``."""

    HAS_CRITIC: ClassVar[bool]
    """Whether ``agent.critic`` is built."""

    RUNNER: ClassVar[str | None] = None
    """Runner that ``scripts/rsl_rl/train.py`` uses, ``module:name``; None: rsl_rl's OnPolicyRunner."""

    CLIPPED_APART: ClassVar[tuple[str, ...]] = ()
    """Parameter groups whose gradient is clipped on its own; all others together are the policy's."""

    options: OptimizationOptions
    storage: DecisionStorage

    def __init__(
        self,
        actor_critic: ActorCritic,
        observations: TensorDict,
        num_steps: int,
        options: OptimizationOptions,
        *,
        device: str,
        multi_gpu_cfg: dict | None,
        max_iterations: int | None,
    ) -> None:
        self.options = options
        self.device = device
        self.is_multi_gpu = multi_gpu_cfg is not None
        self.gpu_global_rank = 0 if multi_gpu_cfg is None else multi_gpu_cfg["global_rank"]
        self.gpu_world_size = 1 if multi_gpu_cfg is None else multi_gpu_cfg["world_size"]
        self.actor_critic = actor_critic
        self.actor: Actor = actor_critic.actor.to(device)
        self.encoder = actor_critic.encoder
        self.freezing = actor_critic.encoder.freezing
        self.reference = self.actor.frozen_copy()
        """The actor's own networks at step 0. Over GR00T as it was loaded, they are the policy at step 0."""

        self._example = observations[:1].clone()
        self._num_envs, self._num_steps = observations.batch_size[0], num_steps
        self.storage = self._make_storage()
        if not list(self.actor.parameters()) and not any(stage.train for stage in self.freezing.stages):
            raise ValueError(
                "Nothing of this policy trains: it is GR00T's action head, and `agent.actor.freezing.train` is empty."
                " Name parts of the head there, such as ['projector','dit'] or ['dit_lora']."
            )
        if options.entropy_coef > 0 and not self.actor.entropy_has_gradient:
            raise ValueError(
                f"`agent.algorithm.entropy_coef` is {options.entropy_coef}, but the entropy of this policy is a"
                " constant, so that the bonus would change nothing. Set it to 0, or `agent.actor.flow.noise=learned`."
            )
        self.learning_rate = options.learning_rate
        """Of the actor's own networks, as it is now. rsl_rl's logger reads it."""

        self.optimizer = self._make_optimizer()
        self._rates = LearningRates(
            self.optimizer,
            options.schedules(),
            total_iterations=max_iterations,
            desired_kl=options.desired_kl,
        )
        self._scaler = self._make_scaler()
        self.iteration = 0
        """Updates done."""

        self._log: dict[str, Any] = {}
        """What the runner's logger reads at the end of the iteration: the ``log`` of the latest step's extras."""

        self._recorded: TensorDict | None = None
        """Observations of the first decision, for checkpoints: an export is proved on them."""

        self._statistics = RolloutStatistics()
        self._skipped = SkippedSteps(options.max_skipped_steps)
        self._backbone_calls = 0
        self._gradients_checked = False

    # Construction

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> PolicyOptimization:
        """Build networks, storage and algorithm. Called by rsl_rl's runner, under the stock scripts as well.

        Raises:
            SystemExit: With the message of :func:`~.construction.build`'s error. This is the border to Isaac Lab's
                command line, which would print two tracebacks around it.
        """
        with readable_errors():
            return build(obs, env, cfg, device)

    @abstractmethod
    def bind(self, env: Any, observation_groups: list[str]) -> None:
        """Tell the environment what a decision is.

        Args:
            env: The runner's environment; what it wraps has action chunks.
            observation_groups: What it must compute.

        Raises:
            ValueError: It cannot do what the algorithm needs.
        """

    @property
    def final_observation_groups(self) -> list[str]:
        """Observation groups that are read in the state of a time-out."""
        return []

    @abstractmethod
    def pretend(self, observe: Callable[[], TensorDict]) -> None:
        """Be ready for rollouts without an environment and with tensors without content, to estimate memory.

        Args:
            observe: Makes observations of all environments.
        """

    @abstractmethod
    def _make_storage(self) -> DecisionStorage:
        """Storage of what is kept of a decision in the stage that is open."""

    def _storage_arguments(self) -> tuple[Any, ...]:
        """Arguments of :class:`~.storage.DecisionStorage`."""
        actor = self.actor
        example = self.encoder.encoded_example(self._example.expand(self._num_envs))
        example[EXECUTED] = torch.zeros(self._num_envs, actor.chunk_length, dtype=torch.bool, device=self.device)
        kept = {"old": self._recomputes(), "base": self.options.kl_to_base_coef > 0}
        return (
            self._num_envs,
            self._num_steps,
            example,
            actor.chunk_length,
            self.encoder.spec.action_dim,
            tuple(name for name, wanted in kept.items() if wanted),
            actor.distribution_shapes,
            self.device,
        )

    def _recomputes(self) -> bool:
        """Whether the update begins with the distributions of the rollout's decisions in its own batch size.

        Kernels for another batch size round otherwise. In float32 that moves the ratio of a chunk by up to 1e-4 through
        the layers of GR00T, and in half precision by tens of percent, which would be clipped as if it was learnt.
        """
        return self.actor.reads_head or bool(self.freezing.groups) or self.options.use_mixed_precision

    def _network_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the networks beside GR00T: ``params``, ``lr`` and ``name``."""
        return [{"params": list(self.actor.parameters()), "lr": self.options.learning_rate, "name": "actor"}]

    def _make_optimizer(self) -> torch.optim.Optimizer:
        name = self.options.optimizer.lower()
        settings: dict[str, Any] = {}
        if name in ("adam", "adamw", "rmsprop"):
            # no. 3 of the 37 implementation details; SGD has no epsilon
            settings["eps"] = self.options.adam_epsilon
        if name in ("adam", "adamw") and self.device_type == "cuda":
            settings["fused"] = True
        groups = [*self._network_groups(), *self._optimizer_groups(self.freezing.groups)]
        return resolve_optimizer(name)(groups, lr=self.options.learning_rate, **settings)  # type: ignore[operator]

    def _make_scaler(self) -> GradScaler:
        """Keeps gradients of float16 layers, whose smallest number is 6e-8, from becoming zero."""
        mixed = half_precision(self.device) if self.options.use_mixed_precision else torch.float32
        trained = self.encoder.dtype if self.freezing.groups else torch.float32
        return GradScaler(self.device_type, enabled=torch.float16 in (mixed, trained))

    @property
    def device_type(self) -> str:
        return torch.device(self.device).type

    def compile(self, mode: str | None = None) -> None:
        """Compile GR00T with ``torch.compile`` (``agent.torch_compile_mode``); see :meth:`Gr00tEncoder.compile`."""
        if mode is not None:
            self.encoder.compile(mode)

    # What rsl_rl's runner asks for

    @abstractmethod
    def act(self, obs: TensorDict) -> Tensor:
        """Draw action chunks (num_envs, H * A) and remember the decisions."""

    @abstractmethod
    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record the outcome of decisions.

        Args:
            obs: The next observations.
            rewards: Sums over the executed control steps, (num_envs,).
            dones: Ends of episodes, (num_envs,).
            extras: With an :class:`~gr00t_rl_ext.envs.decision.Outcome`.
        """

    @abstractmethod
    def compute_returns(self, obs: TensorDict) -> None:
        """Advantages of the stored decisions, given the observations after the last one."""

    @abstractmethod
    def update(self) -> dict[str, float]:
        """Optimise on the stored rollout; means of the losses under rsl_rl's names."""

    def _networks(self) -> list[nn.Module]:
        """What trains beside GR00T."""
        return [self.actor]

    def train_mode(self) -> None:
        """Networks in the mode for training."""
        for network in self._networks():
            network.train()

    def eval_mode(self) -> None:
        """Networks in the mode for evaluation."""
        for network in self._networks():
            network.eval()

    def get_policy(self) -> Actor:
        """The actor."""
        return self.actor

    # Rollout

    def _autocast(self) -> torch.autocast:
        # in the rollout as in the update: a network in another precision is another policy
        enabled = self.options.use_mixed_precision
        return torch.autocast(self.device_type, dtype=half_precision(self.device), enabled=enabled)

    def _start_rollout(self, obs: TensorDict) -> None:
        """The first decision of a rollout is to be made."""
        if self._recorded is None and FEATURES not in obs.keys():
            self._recorded = obs[:RECORDED].clone().to("cpu")
        self._statistics.start()
        self._backbone_calls = self.encoder.calls

    def _decide(self, encoded: TensorDict, envs: Tensor | slice = slice(None)) -> Tensor:
        """Draw action chunks (B, H * A) of some environments, and store the decisions."""
        with self._autocast():
            actions = self.actor(encoded, stochastic_output=True).detach()
        recorded = tuple(parameter.detach() for parameter in self.actor.output_distribution_params)
        self.storage.record(self.encoder.kept(encoded), actions, recorded, envs)
        return actions

    def _share_log(self, extras: dict[str, Any]) -> None:
        """Let the update add to what the logger reads."""
        # own dictionary per step: the logger keeps a reference, and update() adds to the last one
        self._log = dict(extras.get("log", {}))
        extras["log"] = self._log

    # Update

    @property
    def _part_size(self) -> int:
        """Decisions that go through the networks at once."""
        mini_batch = -(-self.storage.num_decisions // self.options.num_mini_batches)
        return -(-mini_batch // self.options.gradient_accumulation_steps)

    def _optimize(self) -> dict[str, float]:
        """Epochs over the stored decisions; means of losses and metrics over the mini-batches."""
        with readable_errors():
            self._rates.start_iteration(self.iteration)
        rollout_ratio_error = self._keep_distributions() if self.storage.kept else None
        sums: dict[str, float] = {}
        num_updates = 0
        first_ratio_error = 0.0
        stopped = False
        for _ in range(self.options.num_learning_epochs):
            kls = []
            for indices in self.storage.shuffled(self.options.num_mini_batches):
                metrics, log_ratio = self._update_mini_batch(indices)
                if num_updates == 0:
                    first_ratio_error = float((log_ratio.exp() - 1.0).abs().max())
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + value
                kls.append(metrics["approx_kl"])
                num_updates += 1
            if self._should_stop(sum(kls) / len(kls)):
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
        return means | {
            "first_ratio_error": first_ratio_error,
            "rollout_ratio_error": first_ratio_error if rollout_ratio_error is None else rollout_ratio_error,
            "num_updates": num_updates,
            "stopped_early": float(stopped),
        }

    def _finish_iteration(self, means: Mapping[str, float]) -> None:
        """Log an update's metrics, and make ready for the next rollout."""
        self._log_iteration(dict(means) | {"skipped_steps": self._skipped.total, "stage": self.freezing.stage})
        self.storage.clear()
        self.iteration += 1
        self.actor.start_iteration(self.iteration)
        self._open_stages()

    @property
    def _policy_trains(self) -> bool:
        return True

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
        batch = self.storage.batch(next(iter(self.storage.in_order(self._part_size))))
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
            self._scaler.scale(share * self._total_loss(losses)).backward()
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

    @abstractmethod
    def _mini_batch_statistics(self, indices: Tensor) -> Any:
        """What the parts of a mini-batch must know of the whole."""

    @abstractmethod
    def _losses(self, batch: Any, whole: Any) -> tuple[dict[str, Tensor], Tensor]:
        """Losses of some decisions, each a mean over them, and the log-ratios of the chunks (B,)."""

    @abstractmethod
    def _total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The losses by their weights."""

    def _score(self, batch: Batch) -> ScoredBatch:
        """Decisions under the policies that an objective compares."""
        actor = self.actor
        with torch.set_grad_enabled(self._policy_trains), self._autocast():
            obs = self.encoder.complete(batch.observations)
            distribution = actor.distribution(obs, batch.decisions)
        # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
        current = actor.scored(distribution, batch.decisions)
        recorded = actor.recorded_distribution(batch.decisions) if batch.old is None else batch.old
        base = None if batch.base is None else actor.scored(batch.base, batch.decisions)
        return ScoredBatch(obs, current, actor.scored(recorded, batch.decisions), base)

    def _divergences(self, scored: ScoredBatch) -> dict[str, Tensor]:
        """Entropy and KL, means over decisions."""
        current = scored.current
        means = {"entropy": current.entropy().sum(1).mean()}
        if scored.base is not None:
            means["kl_to_base"] = current.kl_divergence(scored.base).sum(1).mean()
        if self._rates.is_adaptive:
            with torch.no_grad():
                means["exact_kl"] = scored.old.kl_divergence(current).sum(1).mean()
        return means

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
        """Clip the policy's gradient, and that of each group apart, to ``max_grad_norm``; norms of all before that."""
        # a flow policy has no networks of its own
        groups: dict[str, list[nn.Parameter]] = {
            group["name"]: group["params"] for group in self.optimizer.param_groups if group["params"]
        }
        norms = {
            name: nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            for name, parameters in groups.items()
        }
        for apart in self.CLIPPED_APART:
            nn.utils.clip_grads_with_norm_(groups[apart], self.options.max_grad_norm, norms[apart])
        policy = [name for name in groups if name not in self.CLIPPED_APART]
        policy_norm = nn.utils.get_total_norm([norms[name] for name in policy])
        parameters = [parameter for name in policy for parameter in groups[name]]
        nn.utils.clip_grads_with_norm_(parameters, self.options.max_grad_norm, policy_norm)
        return {f"grad_norm_{name}": norm for name, norm in norms.items()}

    def _should_stop(self, epoch_kl: float) -> bool:
        target = self.options.target_kl
        return target is not None and self._mean_over_ranks(epoch_kl) > target

    def _log_iteration(self, means: Mapping[str, float]) -> None:
        log = {f"train/{name}": value for name, value in means.items() if name != "entropy"}
        if "entropy" in means:
            log["train/entropy_loss"] = -means["entropy"]
        for name, rate in self._rates.current.items():
            log["train/learning_rate" + ("" if name == "actor" else f"_{name}")] = rate
        log["perf/backbone_calls"] = self.encoder.calls - self._backbone_calls
        self._log.update(log | self._statistics.metrics())

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
        self._gradients_checked = False
        self._scaler = self._make_scaler()
        del self.storage
        self.storage = self._make_storage()

    # Checkpoints

    def save(self) -> dict:
        """What is trained, the optimizer, the reference policy, random states and the base's fingerprint."""
        return {
            "format": checkpoint.FORMAT,
            "algorithm": type(self).__name__,
            "base_fingerprint": self.encoder.fingerprint,
            "base_name": self.encoder.base_name,
            "actor_state_dict": self.actor.state_dict(),
            "reference_state_dict": self.reference.state_dict(),
            "gr00t_state_dict": self.freezing.state_dict(),
            "optimizer_state_dict": self.optimizer.state_dict(),
            "actor_recipe": dataclasses.asdict(self.actor_critic.recipe),
            "recorded_observations": {} if self._recorded is None else dict(self._recorded.items()),
            "stage": self.freezing.stage,
            "iteration": self.iteration,
            "scaler": self._scaler.state_dict(),
            "learning_rates": self._rates.state_dict(),
            "rng_state": checkpoint.rng_state(),
        }

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a checkpoint of :meth:`save`, and open the stages that were open.

        Args:
            loaded_dict: The checkpoint.
            load_cfg: What to load: ``actor``, ``critic``, ``optimizer``, ``iteration``; None: all of it.
            strict: Whether all weights must be there.

        Returns:
            Whether the iteration was loaded.

        Raises:
            SystemExit: If it is none, belongs to another base checkpoint or algorithm, or other parts of GR00T train;
                with the message that Isaac Lab's command line, at whose border this is, would hide below a traceback.
        """
        parts = ("actor", "critic", "optimizer", "iteration")
        wanted: dict[str, bool] = dict.fromkeys(parts, True) if load_cfg is None else load_cfg
        with readable_errors():
            self._load_gr00t(loaded_dict)
            checkpoint.check_algorithm(loaded_dict, type(self).__name__)
        self._load_networks(loaded_dict, wanted, strict)
        if wanted.get("optimizer"):
            self.optimizer.load_state_dict(loaded_dict["optimizer_state_dict"])
            self.learning_rate = self.optimizer.param_groups[0]["lr"]
        self.reference.load_state_dict(loaded_dict["reference_state_dict"], strict=strict)
        if self._scaler.is_enabled() and loaded_dict["scaler"]:
            self._scaler.load_state_dict(loaded_dict["scaler"])
        if wanted.get("iteration"):
            self.iteration = loaded_dict["iteration"]
            self.actor.start_iteration(self.iteration)
            # after the optimizer, whose state holds the rates as well
            self._rates.load_state_dict(loaded_dict["learning_rates"], self.iteration)
            self.learning_rate = self._rates.current["actor"]
        # rank 0 wrote it; with its generator the other ranks would explore alike
        if load_cfg is None and self.gpu_global_rank == 0:
            checkpoint.restore_rng_state(loaded_dict["rng_state"])
        return bool(wanted.get("iteration"))

    def _load_networks(self, loaded: Mapping[str, Any], wanted: Mapping[str, bool], strict: bool) -> None:
        if wanted.get("actor"):
            self.actor.load_state_dict(loaded["actor_state_dict"], strict=strict)

    def _load_gr00t(self, loaded_dict: dict) -> None:
        checkpoint.check_header(loaded_dict, self.encoder.fingerprint, self.encoder.base_name)
        try:
            self.open_stage(loaded_dict["stage"])
            self.freezing.load_state_dict(loaded_dict["gr00t_state_dict"])
        except ValueError as error:
            overrides = self.actor_critic.recipe.overrides_for(loaded_dict["actor_recipe"], "freezing")
            raise ValueError(f"{error} Add to the command line: {' '.join(overrides)}") from error

    # Several GPUs

    def _mean_over_ranks(self, value: float) -> float:
        """Every rank must take the same steps, so what decides on them is the mean."""
        if not self.is_multi_gpu:
            return value
        mean = torch.tensor(value, device=self.device)
        torch.distributed.all_reduce(mean)
        return float(mean) / self.gpu_world_size

    def broadcast_parameters(self) -> None:
        """Copy the parameters of rank 0 to all ranks, those of GR00T that train and the reference's included."""
        states: Iterable[Mapping[str, Tensor]] = (
            *(network.state_dict() for network in self._networks()),
            self.reference.state_dict(),
            self.freezing.state_dict(),
        )
        for tensor in [tensor for state in states for tensor in state.values()]:
            torch.distributed.broadcast(tensor, src=0)

    def reduce_parameters(self) -> None:
        """Average the gradients over all ranks."""
        parameters = [p for group in self.optimizer.param_groups for p in cast("list[nn.Parameter]", group["params"])]
        reduce_gradients_in_buckets(parameters, self.gpu_world_size, _BUCKET_MB)


_BUCKET_MB = 25.0
"""Gradients that are averaged over the ranks at once [MB], as in rsl_rl."""
