# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config classes of the algorithms: the fields of ``agent.algorithm``."""

from __future__ import annotations

from dataclasses import MISSING

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlPpoAlgorithmCfg


@configclass
class OptimizationCfg:
    """What every algorithm has (``agent.algorithm``)."""

    class_name: str = MISSING  # type: ignore[assignment]
    """The algorithm, ``module:name``."""

    learning_rate: float = 1.0e-5
    """Learning rate of the actor's own networks, and of parts of GR00T that have none of their own."""

    schedule: str = "fixed"
    """Of the learning rates: ``fixed``; ``linear``, to 0 at the end of the run (``agent.max_iterations``);
    ``adaptive``, by 1.5 up or down to keep the KL of a mini-batch between half and twice ``desired_kl``."""

    gr00t_schedule: str | None = None
    """Schedule of the learning rates of parts of GR00T. None: the same."""

    desired_kl: float | None = None
    """KL per decision that the adaptive schedule aims at."""

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


@configclass
class Gr00tPpoAlgorithmCfg(OptimizationCfg, RslRlPpoAlgorithmCfg):
    """PPO with conservative settings for fine-tuning (``agent.algorithm``)."""

    class_name: str = "gr00t_rl_ext.algorithms.ppo:Gr00tPPO"

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
    """Iterations at the start in which only the critic learns."""

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
    """What follows a time-out is worth what the critic says of the state in which it happened, as if the episode went
    on (Pardo et al. 2018, arXiv 1712.00378, section 3.2). False: nothing, as after a failure. That is for tasks that
    must be solved in time and end with success: nearly all their failures are time-outs, and a critic that is
    bootstrapped at each of them never learns what a failure is worth; its values drift above those of success."""

    bootstrap_images: bool = False
    """At a time-out, render and encode what the cameras see then for the value that is bootstrapped from, which costs
    time. Else the critic takes the images of the last decision, and everything else as it is then."""


@configclass
class Gr00tGrpoAlgorithmCfg(OptimizationCfg):
    """GRPO: no critic, groups of environments that start from the same state (``agent.algorithm``)."""

    class_name: str = "gr00t_rl_ext.algorithms.grpo:Gr00tGRPO"

    clip_param: float = 0.2
    """A ratio below 1 - this gains nothing."""

    clip_high: float | None = 0.28
    """A ratio above 1 + this gains nothing ("clip-higher", DAPO). None: ``clip_param``."""

    target_kl: float | None = 0.05
    """Mean KL of an epoch beyond which no further epoch starts. None: never stop."""

    group_size: int = 8
    """Environments that start from the same state. ``--num_envs`` must be a multiple of it."""

    num_rounds: int = 1
    """Rollouts per update, one after the other: as many more groups without more environments. Takes effect with
    ``scripts/rsl_rl/train.py``; Isaac Lab's own script runs one."""

    max_resamples: int = 1
    """How often the groups without a signal begin anew in a round, from other initial states. Takes effect with
    ``scripts/rsl_rl/train.py``."""

    success_range: tuple[float, float] | None = None
    """Smallest and largest success rate of a group to learn from. None: any, if its members differ."""

    segment_length: int | None = None
    """Decisions after which a group goes on from the state of one of its members, and outcomes are compared anew. None:
    never, whole episodes are compared."""

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
    """Iterations without a signal in any group after which a warning says what to do."""
