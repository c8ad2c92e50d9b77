# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config classes of the algorithms: the fields of ``agent.algorithm``."""

from __future__ import annotations

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlPpoAlgorithmCfg


@configclass
class Gr00tPpoAlgorithmCfg(RslRlPpoAlgorithmCfg):
    """PPO with conservative settings for fine-tuning (``agent.algorithm``)."""

    class_name: str = "gr00t_rl_ext.algorithms.ppo:Gr00tPPO"

    num_learning_epochs: int = 3
    """Passes over the rollout per iteration."""

    num_mini_batches: int = 4
    """Mini-batches per pass."""

    gradient_accumulation_steps: int = 1
    """Parts that a mini-batch is split into, to save memory. The step is that of the whole mini-batch."""

    clip_param: float = 0.1
    """Clip range of the ratio, and of the value's change."""

    learning_rate: float = 1.0e-5
    """Learning rate of the actor."""

    critic_learning_rate: float | None = None
    """Learning rate of the critic. None: 20 times the actor's."""

    schedule: str = "fixed"
    """Only ``fixed``: the epochs stop at ``target_kl`` instead."""

    desired_kl: float | None = None
    """Unused with the fixed schedule."""

    gamma: float = 0.99
    """Discount per decision."""

    lam: float = 0.95
    """Lambda of generalised advantage estimation, per decision."""

    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""

    value_loss_coef: float = 1.0
    """Weight of the value loss. Actor and critic share no trained parameter, so it scales the critic's step only."""

    use_clipped_value_loss: bool = True
    """Clip the value's change by ``clip_param``."""

    max_grad_norm: float = 1.0
    """Largest norm of the gradient, of actor and critic each."""

    kl_to_base_coef: float = 0.01
    """Weight of KL(policy || policy at step 0)."""

    target_kl: float | None = 0.015
    """Mean KL of an epoch beyond which no further epoch starts. None: never stop."""
