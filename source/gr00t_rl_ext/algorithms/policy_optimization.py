# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What PPO and GRPO share: an algorithm of rsl_rl 5.5 for action-chunk policies over a GR00T that may train as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.checkpoint import Checkpointed
from gr00t_rl_ext.algorithms.options import WHERE, OptimizationOptions
from gr00t_rl_ext.algorithms.ranks import Ranks
from gr00t_rl_ext.algorithms.reference import Reference, ratio_tolerance, warn_of_ratio
from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.algorithms.storage import DecisionStorage
from gr00t_rl_ext.algorithms.task_sampling import OFF, TaskSampler
from gr00t_rl_ext.algorithms.update import Updater
from gr00t_rl_ext.envs.start_set import StartSet
from gr00t_rl_ext.envs.task_set import TaskSet
from gr00t_rl_ext.options import read
from gr00t_rl_ext.policy.actor import Actor, Decisions
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.freezing import TrainedGroup
from gr00t_rl_ext.policy.precision import half_precision
from gr00t_rl_ext.policy.stages import MIN_EPISODES


class PolicyOptimization(Checkpointed, ABC):
    """Policy gradients of an action-chunk policy, on what was computed of its decisions once.

    The policy is any :class:`~gr00t_rl_ext.policy.actor.Actor`. rsl_rl's runner calls it as its own algorithms.

    * Image groups are replaced by what the frozen layers of GR00T make of them before anything is stored: one backbone
      call per decision; the update recomputes the layers that train, and nothing while none does.
    * What of GR00T trains is owned by :class:`~gr00t_rl_ext.policy.freezing.Freezing`. Its stages open between
      iterations; their parameters join the optimizer as groups of their own.
    * The time step is a chunk. Control steps after the end of an episode do not count in log-probabilities, KL and
      entropy.
    * The policy at step 0 is kept (:mod:`~.reference`), for a KL penalty and as a metric.
    * Epochs, gradients and learning rates are :mod:`~.update`'s.
    * Checkpoints hold what is trained and name the base checkpoint (:mod:`~.checkpoint`).

    Args:
        actor_critic: Actor, encoder, and a critic where the algorithm has one.
        observations: Observations of all environments.
        num_steps_per_env: Decisions per environment and update; for GRPO per round of one.
        device: Where all of it lives.
        multi_gpu_cfg: rsl_rl's, with several processes.
        max_iterations: Iterations of the run, for linear schedules.
        **options: The fields of ``agent.algorithm``, those of :attr:`OPTIONS`.

    Raises:
        ValueError: An option does not fit the policy or the rollout.
    """

    OPTIONS: ClassVar[type[Any]]
    """The fields of ``agent.algorithm``: a dataclass of :mod:`~.options`."""

    HAS_CRITIC: ClassVar[bool]
    """Whether ``agent.critic`` is built."""

    RUNNER: ClassVar[str | None] = None
    """Runner whose loop it is trained by, ``module:name``; None: rsl_rl's OnPolicyRunner."""

    CLIPPED_APART: ClassVar[tuple[str, ...]] = ()
    """Parameter groups whose gradient is clipped on its own; all others together are the policy's."""

    options: OptimizationOptions
    storage: DecisionStorage
    critic: Gr00tCritic | None
    _policy_trains = True

    def __init__(
        self,
        actor_critic: Gr00tActorCritic,
        observations: TensorDict,
        num_steps_per_env: int,
        *,
        device: str = "cpu",
        multi_gpu_cfg: dict | None = None,
        max_iterations: int | None = None,
        **options: Any,
    ) -> None:
        assert (actor_critic.critic is not None) == self.HAS_CRITIC
        self.options = read(self.OPTIONS, options, WHERE)
        self.device, self.ranks = device, Ranks(multi_gpu_cfg, device)
        self.actor_critic = actor_critic
        self.actor: Actor = actor_critic.actor.to(device)
        self.critic = None if actor_critic.critic is None else actor_critic.critic.to(device)
        self.encoder = actor_critic.encoder
        self.freezing = actor_critic.encoder.freezing
        self.actor.check_optimized(self.freezing.stages, self.options.entropy_coef)
        self._example = observations[:1].clone()
        self._num_envs, self._num_steps_per_env = observations.batch_size[0], num_steps_per_env
        self.storage = self._make_storage()
        self.learning_rate = self.options.learning_rate
        """Of the actor's own networks, as it is now. rsl_rl's logger reads it."""

        self.updater = Updater(
            self._networks(),
            self.freezing.groups,
            self.options,
            self.ranks,
            device=device,
            total_iterations=max_iterations,
            clipped_apart=self.CLIPPED_APART,
            has_half=torch.float16 in self._dtypes(),
        )
        self.iteration = 0
        """Updates done."""

        self._announce_iteration()
        # as it decides in the first iteration
        self.reference = Reference(self.actor, self._autocast)

        self._log: dict[str, Any] = {}
        """What the runner's logger reads at the end of the iteration: the ``log`` of the latest step's extras."""

        self._recorded: TensorDict | None = None
        """Some observations of the first decision, for checkpoints: an export is proved on them."""

        names = self.encoder.spec.task_names
        self._statistics = RolloutStatistics(names)
        if self.options.task_sampling != "uniform" and not names:
            raise ValueError(
                f"`{WHERE}.task_sampling` is {self.options.task_sampling!r}, but the environments have one task. Set it"
                " to uniform, or name several `tasks` in a task file (docs/task_files.md)."
            )
        self._sampler = TaskSampler(names, self.options.task_sampling, self.options.task_sampling_floor)
        self._task_set: TaskSet | None = None
        self._start_sampler: TaskSampler | None = None
        self._start_set: StartSet | None = None
        self._backbone_calls = 0
        self._gradients_checked = False
        self.describes_start = True
        """Whether the first decision prints what the policy finds worth knowing."""

    # Construction

    @property
    def steps_per_iteration(self) -> int:
        """Steps of the runner's loop that a rollout needs at most."""
        return self.options.steps_per_update(self._num_steps_per_env)

    def bind(self, env: Any, observation_groups: list[str]) -> None:
        """Tell the runner's environment what a decision is, and which observation groups it must compute.

        Raises:
            ValueError: It cannot do what the algorithm needs.
        """
        self._task_set = getattr(env.unwrapped, "task_set", None)
        self._use_starts(getattr(env.unwrapped, "start_set", None))
        self._configure(env, observation_groups)

    def _use_starts(self, start_set: StartSet | None) -> None:
        if self.options.start_sampling == OFF or start_set is None:
            return
        self._start_set = start_set
        names = start_set.names
        self._start_sampler = TaskSampler(names, self.options.start_sampling, self.options.start_sampling_floor)
        self._statistics = RolloutStatistics(self.encoder.spec.task_names, names)

    @abstractmethod
    def _configure(self, env: Any, observation_groups: list[str]) -> None:
        """What of :meth:`bind` is the algorithm's."""

    @property
    def final_observation_groups(self) -> list[str]:
        """Observation groups that are read in the state of a time-out."""
        return []

    @abstractmethod
    def _make_storage(self) -> DecisionStorage:
        """Storage of what is kept of a decision in the stage that is open."""

    def _storage_arguments(self) -> tuple[Any, ...]:
        """Arguments of :class:`~.storage.DecisionStorage`."""
        # Kernels for another batch size round otherwise. In float32 that moves the ratio of a chunk by up to 1e-4
        # through the layers of GR00T, and in half precision by tens of percent, which would be clipped as if it was
        # learnt: then the update begins with the distributions of the rollout's decisions in its own batch size.
        recomputes = self.actor.reads_head or bool(self.freezing.groups) or self.options.use_mixed_precision
        kept = {"old": recomputes, "base": self.options.kl_to_base_coef > 0}
        example = self._example.expand(self._num_envs)
        num_steps = self.options.steps_per_update(self._num_steps_per_env)
        return example, num_steps, self.actor, tuple(name for name, wanted in kept.items() if wanted), self.device

    def _dtypes(self) -> tuple[torch.dtype, torch.dtype]:
        """What networks compute in, and parts of GR00T that train."""
        mixed = half_precision(self.device) if self.options.use_mixed_precision else torch.float32
        return mixed, self.encoder.dtype if self.freezing.groups else torch.float32

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
        """Record the outcome of decisions: rewards (num_envs,) are sums over the executed control steps."""

    @abstractmethod
    def compute_returns(self, obs: TensorDict) -> None:
        """Advantages of the stored decisions, given the observations after the last one."""

    @abstractmethod
    def update(self) -> dict[str, float]:
        """Optimise on the stored rollout; means of the losses under rsl_rl's names."""

    def train_mode(self) -> None:
        """Networks in the mode for training. The runner's loop begins with it.

        Raises:
            ValueError: The rollout does not divide into what an update needs. Not before: to play, nothing is updated.
        """
        self.options.check_rollout(self._num_envs, self._num_steps_per_env)
        for network in self._networks().values():
            network.train()

    def eval_mode(self) -> None:
        """Networks in the mode for evaluation."""
        for network in self._networks().values():
            network.eval()

    def get_policy(self) -> Actor:
        """The actor."""
        return self.actor

    def broadcast_parameters(self) -> None:
        """Copy the parameters of rank 0 to all ranks, those of GR00T that train and the reference's included."""
        networks = [*self._networks().values(), self.reference.actor]
        self.ranks.broadcast([*(network.state_dict() for network in networks), self.freezing.state_dict()])

    # Rollout

    def _autocast(self) -> torch.autocast:
        # in the rollout as in the update: a network in another precision is another policy
        enabled, device_type = self.options.use_mixed_precision, torch.device(self.device).type
        return torch.autocast(device_type, dtype=half_precision(self.device), enabled=enabled)

    def _start_rollout(self, obs: TensorDict) -> None:
        """The first decision of a rollout is to be made."""
        if self._recorded is None and FEATURES not in obs.keys():
            self._recorded = obs[:4].clone().to("cpu")
        if self._start_set is not None and self._start_sampler is not None:
            # not before: what a preflight finds is of the task's own initial states
            self._start_set.set_weights(self._start_sampler.weights())
        self._statistics.start()
        self._backbone_calls = self.encoder.calls

    def _decide(self, encoded: TensorDict, envs: Tensor | slice = slice(None)) -> Tensor:
        """Draw action chunks (B, H * A) of some environments, and store the decisions."""
        if self.describes_start:
            self.describes_start = False
            with self._autocast():
                text = self.actor.describe_start(encoded)
            if text is not None and self.ranks.rank == 0:
                print(text)
        with self._autocast():
            actions = self.actor(encoded, stochastic_output=True).detach()
        recorded = tuple(parameter.detach() for parameter in self.actor.output_distribution_params)
        self.storage.record(self.encoder.kept(encoded), actions, recorded, envs)
        return actions

    @torch.no_grad()
    def ratio_error(self, obs: TensorDict) -> tuple[float, float]:
        """Decide, and score the decisions again as an update would. Nothing of it is remembered.

        Args:
            obs: Observations, (num_envs, ...).

        Returns:
            The largest difference of a ratio to 1, and what rounding explains.
        """
        actor, encoded = self.actor.frozen_copy().train(), self.encoder.encode(obs)
        with self._autocast():
            actions = actor(encoded, stochastic_output=True)
        recorded, kept = actor.output_distribution_params, self.encoder.kept(encoded)
        valid = torch.ones(len(actions), actor.chunk_length, dtype=torch.bool, device=actions.device)
        errors = []
        # an update takes fewer decisions at once, for which kernels round otherwise
        for rows in torch.arange(len(actions), device=actions.device).split(self.updater.part_size(self.storage)):
            decisions = Decisions(actions[rows], tuple(values[rows] for values in recorded), valid[rows])
            with self._autocast():
                distribution = actor.distribution(self.encoder.complete(kept[rows]), decisions)
            ratio = actor.scored(distribution, decisions).log_ratio(actor.score_recorded(decisions)).sum(1).exp()
            errors.append((ratio - 1.0).abs().max())
        return float(torch.stack(errors).max()), ratio_tolerance(*self._dtypes(), self.encoder.dtype)

    def _share_log(self, extras: dict[str, Any]) -> None:
        """Let the update add to what the logger reads."""
        # own dictionary per step: the logger keeps a reference, and update() adds to the last one
        self._log = dict(extras.get("log", {}))
        extras["log"] = self._log

    # Update

    def _optimize(self, whole: Any, loss: Any, counted: Sequence[int] | None = None) -> dict[str, float]:
        """Epochs over the stored decisions; means of losses and metrics over the mini-batches. Arguments are those of
        :meth:`~.update.Updater.epochs`."""
        updater, storage = self.updater, self.storage
        updater.rates.start_iteration(self.iteration)
        if self.iteration == 0 and self.ranks.are_many:
            self.actor.share_statistics(self.ranks.total)
        ratio_error = self.reference.keep_distributions(storage, updater.part_size(storage))
        means = updater.epochs(storage, whole, loss, self._policy_trains, self.options.num_learning_epochs, counted)
        self.learning_rate = updater.rates.current["actor"]
        if not self._gradients_checked and self._policy_trains:
            # the last mini-batch's are still there
            report = self.freezing.check_gradients()
            if self.encoder.base_name is not None:
                print(f"Iteration {self.iteration}: {report.describe()}")
            self._gradients_checked = True
        # gradients of a large model would lie there all through the next rollout
        updater.optimizer.zero_grad(set_to_none=True)
        if "kl_to_base" not in means:
            means["kl_to_base"] = self.reference.measure_kl(storage, updater.part_size(storage))
        means["rollout_ratio_error"] = means["first_ratio_error"] if ratio_error is None else ratio_error
        warn_of_ratio(self.iteration, means["rollout_ratio_error"], *self._dtypes(), self.encoder.dtype)
        return means

    def _finish_iteration(self, means: Mapping[str, float]) -> None:
        """Log an update's metrics, and make ready for the next rollout."""
        more = {"skipped_steps": self.updater.skipped.total, "stage": self.freezing.stage}
        log = {f"train/{name}": value for name, value in {**means, **more}.items() if name != "entropy"}
        if "entropy" in means:
            log["train/entropy_loss"] = -means["entropy"]
        for name, rate in self.updater.rates.current.items():
            log["train/learning_rate" + ("" if name == "actor" else f"_{name}")] = rate
        log["perf/backbone_calls"] = self.encoder.calls - self._backbone_calls
        self._sample_tasks()
        self._log.update(log | self._statistics.metrics(self._total_of_floats) | self._share_tasks())
        self.storage.clear()
        self.iteration += 1
        self._announce_iteration()
        # every rank must open the same stages
        success_rate = self.ranks.mean_if_known(self._statistics.success_rate(MIN_EPISODES))
        if opened := self.freezing.advance(self.iteration, success_rate):
            print(f"Iteration {self.iteration}: {self.freezing.describe()}")
            self._train_groups(opened)

    def _sample_tasks(self) -> None:
        """Look at how well each task and each start goes now."""
        for kind, sampler in (("tasks", self._sampler), ("starts", self._start_sampler)):
            if sampler is not None:
                rates = {name: self._statistics.success_rate(MIN_EPISODES, kind, name) for name in sampler.names}
                sampler.update({name: self.ranks.mean_if_known(rate) for name, rate in rates.items()})

    def _share_tasks(self) -> dict[str, float]:
        """Set how often each task is had from now on; the shares of tasks and starts, for the log."""
        shares = {}
        if self._task_set is not None and self.options.task_sampling != "uniform":
            weights = self._sampler.weights()
            self._task_set.set_weights(weights)
            shares = {f"tasks/{name}/share": weight for name, weight in weights.items()}
        if self._start_sampler is not None:
            shares |= {f"starts/{name}/share": weight for name, weight in self._start_sampler.weights().items()}
        return shares

    def _total_of_floats(self, values: list[float]) -> list[float]:
        return self.ranks.total(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()

    # Unfreezing

    def open_stage(self, stage: int) -> None:
        """Open all stages up to one, due or not. Raises a :class:`ValueError` where there is no such stage."""
        if opened := self.freezing.restore(stage):
            self._train_groups(opened)

    def _train_groups(self, groups: list[TrainedGroup]) -> None:
        """Optimise further parameters, and keep of decisions what lies below them."""
        self.updater.add_groups(groups, torch.float16 in self._dtypes())
        self._gradients_checked = False
        del self.storage
        self.storage = self._make_storage()
