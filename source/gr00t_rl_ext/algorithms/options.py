# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The fields of ``agent.algorithm``, and which of their values contradict each other."""

from __future__ import annotations

from dataclasses import dataclass

from gr00t_rl_ext.algorithms.schedules import check_schedules
from gr00t_rl_ext.algorithms.task_sampling import MODES, OFF
from gr00t_rl_ext.envs.groups import check_group_size
from gr00t_rl_ext.options import Requirements

WHERE = "agent.algorithm"
"""The section of the agent's config."""


@dataclass
class OptimizationOptions:
    """What every algorithm has."""

    learning_rate: float = 1.0e-5
    """Learning rate of the actor's own networks, and of parts of GR00T that have none of their own."""

    schedule: str = "fixed"
    """Of the learning rates: ``fixed``; ``linear``, to 0 at the end of the run (``agent.max_iterations``);
    ``adaptive``, by 1.5 up or down to keep the KL of a mini-batch between half and twice ``desired_kl``."""

    gr00t_schedule: str | None = None
    """Schedule of the learning rates of parts of GR00T. None: the same."""

    desired_kl: float | None = None
    """KL per decision that the adaptive schedule aims at."""

    learning_rate_warmup_steps: int = 0
    """Steps of the optimizer over which the learning rates of the policy rise linearly from nearly 0, from the first
    one in which it trains. A part of GR00T that joins later has its own."""

    optimizer: str = "adam"
    """``adam``, ``adamw``, ``sgd`` or ``rmsprop``."""

    adam_epsilon: float = 1.0e-5
    """Epsilon of Adam, AdamW and RMSprop."""

    num_learning_epochs: int = 3
    """Passes over the rollout per iteration."""

    num_mini_batches: int = 4
    """Mini-batches per pass. The decisions of an iteration must divide into as many."""

    gradient_accumulation_steps: int = 1
    """Parts that a mini-batch is split into, to save memory. The step is that of the whole mini-batch."""

    use_mixed_precision: bool = False
    """Run networks in bfloat16, or float16 on GPUs without it, with weights and densities in float32."""

    max_grad_norm: float = 1.0
    """Largest norm of the gradient, of policy and critic each."""

    max_skipped_steps: int = 10
    """Steps in a row that may be skipped because their gradient is not finite, before the run stops."""

    clip_param: float = 0.1
    """Clip range of the ratio, and of the value's change."""

    target_kl: float | None = 0.015
    """Mean KL of an epoch beyond which no further epoch starts. None: never stop."""

    kl_to_base_coef: float = 0.01
    """Weight of KL(policy || policy at step 0)."""

    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""

    task_sampling: str = "uniform"
    """Which of several tasks environments have more often: ``uniform``; ``inverse_success``, those that fail;
    ``learning_progress``, those whose success changes."""

    task_sampling_floor: float = 0.2
    """Share of the environments that all tasks have alike, whatever their success."""

    start_sampling: str = "off"
    """Which of the task's ``starts`` episodes begin with: ``off``, none but the task's own initial states; else as
    ``task_sampling``, among all of them."""

    start_sampling_floor: float = 0.2
    """Share of the environments that all starts have alike, whatever their success."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` where an option has an impossible value, or two contradict each other."""
        require = Requirements(self, WHERE)
        require.one_of("task_sampling", MODES)
        require.one_of("start_sampling", (OFF, *MODES))
        for name in ("task_sampling_floor", "start_sampling_floor"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"`{WHERE}.{name}` is {getattr(self, name)}; expected a number in [0, 1].")
        require.positive("learning_rate", "adam_epsilon", "max_grad_norm", "clip_param", "target_kl", "desired_kl")
        require.count("num_learning_epochs", "num_mini_batches", "gradient_accumulation_steps", "max_skipped_steps")
        require.count("learning_rate_warmup_steps", at_least=0)
        require.not_negative("kl_to_base_coef", "entropy_coef")
        require.one_of("optimizer", ("adam", "adamw", "sgd", "rmsprop"), any_case=True)
        check_schedules(self.schedules(), self.desired_kl)
        if self.desired_kl is not None and "adaptive" not in self.schedules().values():
            raise ValueError(
                f"`{WHERE}.desired_kl` is {self.desired_kl}, which only the schedule 'adaptive' reads. Set"
                f" `{WHERE}.schedule=adaptive`, or leave it unset; `{WHERE}.target_kl` stops the epochs."
            )

    def schedules(self) -> dict[str, str]:
        """Schedule of the learning rate of each group of parameters; ``gr00t`` stands for every part of GR00T."""
        return {"actor": self.schedule, "gr00t": self.gr00t_schedule or self.schedule}

    def learning_rates(self) -> dict[str, float]:
        """Learning rate of each network beside GR00T at the start."""
        return {"actor": self.learning_rate}

    def steps_per_update(self, num_steps: int) -> int:
        """Decisions per environment and update, given ``agent.num_steps_per_env``."""
        return num_steps

    def check_rollout(self, num_envs: int, num_steps: int) -> None:
        """Raise a :class:`ValueError` where a rollout of so many decisions per environment does not fit."""


@dataclass
class PpoOptions(OptimizationOptions):
    """PPO with conservative settings for fine-tuning."""

    critic_learning_rate: float | None = None
    """Learning rate of the critic. None: 20 times the actor's."""

    critic_schedule: str | None = None
    """Schedule of the critic's learning rate. None: the same."""

    value_loss_coef: float = 1.0
    """Weight of the value loss."""

    use_clipped_value_loss: bool = True
    """Clip the value's change by ``clip_param``."""

    huber_delta: float | None = None
    """Error of a value beyond which the loss grows linearly (Huber). None: the squared error."""

    critic_warmup_iterations: int = 0
    """Iterations at the start in which only the critic learns. The policy learns nothing from their rollouts."""

    critic_warmup_epochs: int = 0
    """Passes over the first rollout in which the critic learns alone, before the policy learns from that rollout too.
    Values and their targets are computed anew for each pass, and advantages after the last one."""

    gamma: float = 0.99
    """Discount per decision."""

    lam: float = 0.95
    """Lambda of generalised advantage estimation, per decision."""

    normalize_advantage_per_mini_batch: bool = False
    """Normalise advantages over each mini-batch instead of the whole rollout."""

    reward_normalization: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""

    reward_clip: float | None = None
    """Largest magnitude of a normalised reward. None: unbounded."""

    bootstrap_time_outs: bool = True
    """What follows a time-out is worth what the critic predicts for the state in which it happened, as if the episode
    went on (Pardo et al. 2018, arXiv 1712.00378, section 3.2). False: nothing, as after a failure. That is for tasks
    that must be solved in time and end with success: nearly all their failures are time-outs, and a critic that is
    bootstrapped at each of them never learns what a failure is worth; its values drift above those of success."""

    bootstrap_images: bool = False
    """At a time-out, render and encode what the cameras see then for the value that is bootstrapped from, which costs
    time. Else the critic takes the images of the last decision, and everything else as it is then."""

    def validate_config(self) -> None:
        super().validate_config()
        require = Requirements(self, WHERE)
        require.positive("critic_learning_rate", "huber_delta", "reward_clip")
        require.not_negative("value_loss_coef", "critic_warmup_iterations")
        require.count("critic_warmup_epochs", at_least=0)
        for name in ("gamma", "lam"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0 or (name == "gamma" and value == 0.0):
                raise ValueError(f"`{WHERE}.{name}` is {value}; expected a number in (0, 1].")
        if self.reward_clip is not None and not self.reward_normalization:
            raise ValueError(
                f"`{WHERE}.reward_clip` is {self.reward_clip}, but `{WHERE}.reward_normalization` is off: it clips"
                " normalised rewards. Switch that on, or leave it unset."
            )
        if self.bootstrap_images and not self.bootstrap_time_outs:
            raise ValueError(
                f"`{WHERE}.bootstrap_images` is set, but `{WHERE}.bootstrap_time_outs` is off, so that no value of a"
                " time-out is computed. Switch that on, or leave bootstrap_images unset."
            )

    def schedules(self) -> dict[str, str]:
        return super().schedules() | {"critic": self.critic_schedule or self.schedule}

    def learning_rates(self) -> dict[str, float]:
        critic = 20.0 * self.learning_rate if self.critic_learning_rate is None else self.critic_learning_rate
        return super().learning_rates() | {"critic": critic}

    def check_rollout(self, num_envs: int, num_steps: int) -> None:
        """Raise a :class:`ValueError` where the decisions of an iteration cannot be split into mini-batches."""
        num_decisions = num_envs * num_steps
        have = f"an iteration has {num_decisions} decisions ({num_envs} environments x {num_steps} per environment)"
        # advantages are divided by their standard deviation, which one decision does not have
        needed = max(2, (2 if self.normalize_advantage_per_mini_batch else 1) * self.num_mini_batches)
        if num_decisions < needed:
            raise ValueError(
                f"`{WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}; expected at least {needed}. Raise"
                " `agent.num_steps_per_env` or `--num_envs`."
            )
        if num_decisions % self.num_mini_batches:
            divisors = [n for n in range(1, num_decisions // 2 + 1) if num_decisions % n == 0]
            near = sorted(divisors, key=lambda n: abs(n - self.num_mini_batches))[:2]
            raise ValueError(
                f"`{WHERE}.num_mini_batches` is {self.num_mini_batches}, but {have}, which do not divide into that"
                f" many equal parts. Set it to {' or '.join(map(str, sorted(near)))}, or change"
                " `agent.num_steps_per_env` or `--num_envs`."
            )


@dataclass
class GrpoOptions(OptimizationOptions):
    """GRPO: no critic, groups of environments that start from the same state."""

    clip_param: float = 0.2
    """A ratio below 1 - this gains nothing."""

    clip_high: float | None = 0.28
    """A ratio above 1 + this gains nothing ("clip-higher", DAPO). None: ``clip_param``."""

    target_kl: float | None = 0.05
    """Mean KL of an epoch beyond which no further epoch starts. None: never stop."""

    group_size: int = 8
    """Environments that start from the same state. ``--num_envs`` must be a multiple of it."""

    num_rounds: int = 1
    """Rollouts per update, one after the other: as many more groups without more environments."""

    max_resamples: int = 1
    """How often the groups without a signal begin anew in a round, from other initial states."""

    success_range: tuple[float, float] | None = None
    """Smallest and largest success rate of a group to learn from. None: any, if its members differ."""

    segment_length: int | None = None
    """Decisions after which a group goes on from the state of one of its members, and outcomes, which must be returns,
    are compared anew. None: never, whole episodes are compared."""

    outcome: str = "success"
    """What members are compared by: ``success``, or the undiscounted ``return``."""

    baseline: str = "group_relative"
    """Advantage of an episode: ``group_relative``, outcome minus the group's mean over its standard deviation;
    ``mean_only``, without that division; ``leave_one_out``, minus the mean of the others; ``running``, minus a running
    mean over all groups of earlier iterations."""

    baseline_momentum: float = 0.9
    """What remains of the baseline ``running`` at an iteration."""

    std_floor: float = 1.0e-4
    """Smallest standard deviation that advantages are divided by. Outcomes that differ by less are no signal."""

    advantage_normalization: str = "none"
    """Divide advantages by their standard deviation over the ``rollout`` or over the ``mini_batch`` as well."""

    decision_weights: str = "episode"
    """``episode``: every episode weighs the same; ``decision``: every decision, so that long episodes weigh more."""

    signal_patience: int = 5
    """Iterations without a signal in any group after which a warning tells what to do."""

    def validate_config(self) -> None:
        super().validate_config()
        require = Requirements(self, WHERE)
        require.positive("clip_high", "std_floor")
        require.count("num_rounds", "signal_patience", "segment_length")
        require.count("group_size", at_least=2)
        require.count("max_resamples", at_least=0)
        require.one_of("outcome", ("success", "return"))
        require.one_of("baseline", ("group_relative", "mean_only", "leave_one_out", "running"))
        require.one_of("advantage_normalization", ("none", "rollout", "mini_batch"))
        require.one_of("decision_weights", ("episode", "decision"))
        if not 0.0 <= self.baseline_momentum < 1.0:
            raise ValueError(f"`{WHERE}.baseline_momentum` is {self.baseline_momentum}; expected a number in [0, 1).")
        if self.segment_length is not None and self.outcome == "success":
            raise ValueError(
                f"`{WHERE}.segment_length` is {self.segment_length}, but `{WHERE}.outcome` is 'success'. Nothing stands"
                " in for what follows a segment, so that one without success would count as a failure although its"
                f" episode goes on. Set `{WHERE}.outcome=return`, or `{WHERE}.segment_length=null`."
            )
        if self.success_range is not None:
            low, high = self.success_range
            if not 0.0 <= low < high <= 1.0:
                raise ValueError(
                    f"`{WHERE}.success_range` is {list(self.success_range)}; expected two rising numbers in [0, 1],"
                    " such as [0.1, 0.9], or null."
                )
        if self.baseline == "running" and self.max_resamples and self.success_range is None:
            raise ValueError(
                f"`{WHERE}.baseline` is 'running', for which groups with equal outcomes have a signal as well, so that"
                f" there is nothing to resample. Set `{WHERE}.max_resamples=0`, or `{WHERE}.success_range`."
            )

    def steps_per_update(self, num_steps: int) -> int:
        return num_steps * self.num_rounds

    def check_rollout(self, num_envs: int, num_steps: int) -> None:
        """Raise a :class:`ValueError` where environments do not divide into groups, or a round of so many decisions per
        environment not into segments."""
        check_group_size(num_envs, self.group_size)
        if self.segment_length is not None and num_steps % self.segment_length:
            raise ValueError(
                f"`{WHERE}.segment_length` is {self.segment_length}, but `agent.num_steps_per_env` is {num_steps}"
                " decisions, which is no multiple of it. Change one of them."
            )
