# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config classes of the models: the fields of ``agent.actor`` and ``agent.critic``."""

from __future__ import annotations

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg


@configclass
class Gr00tModelCfg:
    """Which GR00T, and how to load it (``agent.actor.gr00t``)."""

    checkpoint: str = "tiny"
    """Directory of a GR00T checkpoint, or a hub id such as ``nvidia/GR00T-N1.5-3B``. ``tiny``: a tiny random GR00T,
    made for the task. It shows the pipeline; it cannot solve anything."""

    tokenizer: str = ""
    """Directory or hub id of the tokenizer. Empty: the checkpoint's directory."""

    embodiment_tag: str = "new_embodiment"
    """Which statistics of the checkpoint describe the robot."""

    embodiment_slot: int | None = None
    """Slot of the robot in the action head. None: the one that belongs to the tag."""

    dtype: str = "auto"
    """Data type of the frozen backbone: ``bfloat16``, ``float16``, ``float32``; ``auto`` takes bf16 on a GPU that has
    it, else fp32."""

    attn_implementation: str = "sdpa"
    """Attention kernels: ``sdpa`` or ``eager``."""

    crop_scale: float | None = None
    """Side of the centre crop relative to the image, in (0, 1]. Must be what the checkpoint was fine-tuned with. None:
    as the checkpoint says, which N1.7's do; N1.5's do not, and get no crop. GR00T's data configs for N1.5 use 0.95."""


@configclass
class BoundedGaussianCfg:
    """Gaussian whose standard deviation does not depend on the state (``agent.actor.distribution_cfg``)."""

    init_std: float = 0.1
    """Standard deviation of the actions at the start, in units of the action range [-1, 1]. For the stack task 0.1 is
    0.05 rad per joint, or 5 cm of relative gripper pose, in every control step."""

    std_range: tuple[float, float] = (0.02, 1.0)
    """Smallest and largest standard deviation."""


@configclass
class Gr00tGaussianActorCfg:
    """Tanh adapter with a Gaussian over the action chunk, on frozen features (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.actor:Gr00tGaussianActor"

    gr00t: Gr00tModelCfg = Gr00tModelCfg()

    chunk_length: int | None = None
    """Control steps per decision. None: the checkpoint's whole action horizon."""

    hidden_dims: list[int] = [256, 256]
    """Widths of the adapter's hidden layers."""

    activation: str = "elu"
    """Activation of the adapter."""

    num_queries: int = 4
    """Queries of the attention pooling over the features."""

    distribution_cfg: BoundedGaussianCfg = BoundedGaussianCfg()


@configclass
class Gr00tCriticCfg(RslRlMLPModelCfg):
    """MLP on pooled features, state and privileged state (``agent.critic``)."""

    class_name: str = "gr00t_rl_ext.policy.critic:Gr00tCritic"

    hidden_dims: list[int] = [256, 256]
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation."""

    obs_normalization: bool = True
    """Normalise state and privileged state with running statistics."""
