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
    """Data type of the frozen backbone: ``bfloat16``, ``float16``, ``float32``; ``auto`` takes bf16 on a GPU, fp16
    on one whose hardware lacks it, and fp32 on a CPU."""

    attn_implementation: str = "sdpa"
    """Attention kernels: ``sdpa`` or ``eager``."""

    crop_scale: float | None = None
    """Side of the centre crop relative to the image, in (0, 1]. Must be what the checkpoint was fine-tuned with. None:
    as the checkpoint says, which N1.7's do; N1.5's do not, and get no crop. GR00T's data configs for N1.5 use 0.95."""

    mapping: str = ""
    """YAML file that says how the task's observations, cameras and actions correspond to the checkpoint's keys, and in
    which units; ``package:file`` for one in an installed package. Empty: by position, so that the task's terms must
    have the order, widths and units of the checkpoint's statistics. See
    :mod:`~gr00t_rl_ext.robot.embodiment_mapping`."""


@configclass
class Gr00tFreezingCfg:
    """What of GR00T trains beside the policy's own networks (``agent.actor.freezing``)."""

    train: list[str] = []
    """Parts that train from the start. Empty: none, the backbone is frozen. ``language_lora``: low-rank adapters on the
    last layers of the language model; ``language``: those layers; ``full``: everything that the actor reads. For an
    actor that acts through the action head also ``projector``, ``dit``, ``vl_self_attention`` and ``dit_lora``."""

    learning_rate: float | None = None
    """Learning rate of these parts. None: the actor's."""

    language_layers: int = 0
    """How many of the last layers of the language model ``language`` and ``language_lora`` mean."""

    lora_rank: int = 16
    """Rank of the adapters."""

    lora_alpha: float = 32.0
    """Scale of the adapters times their rank."""

    lora_dit_targets: list[str] = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
    """Linear layers of the diffusion transformer that get an adapter."""

    lora_language_targets: list[str] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    """Linear layers of the language model that get an adapter."""

    schedule: list[dict] = []
    """Progressive unfreezing: stages ``{train: [parts], at_iteration: n, at_success_rate: r, learning_rate: x}``, which
    open one after the other at the iteration or at the success rate, whichever comes first."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them: less memory, about a third more time."""


@configclass
class BoundedStdCfg:
    """Standard deviation of a Gaussian, bounded."""

    init_std: float = 0.1
    """Standard deviation of the actions at the start. Of the Gaussian adapter in units of the action range [-1, 1]: for
    the stack task 0.1 is 0.05 rad per joint, or 5 cm of relative gripper pose, in every control step. Of the residual
    policy in GR00T's normalised actions."""

    std_range: tuple[float, float] = (0.02, 1.0)
    """Smallest and largest standard deviation."""

    state_dependent_std: bool = False
    """Let the network say the standard deviation of each decision, instead of learning one for all."""


@configclass
class BoundedGaussianCfg(BoundedStdCfg):
    """Gaussian with a bounded standard deviation (``agent.actor.distribution_cfg``)."""

    squash: bool = False
    """Draw before Tanh instead of around it: no sample leaves [-1, 1], so that nothing is clipped. The standard
    deviations are then those before Tanh."""


@configclass
class Gr00tActorCfg:
    """What every actor over GR00T has (``agent.actor``)."""

    gr00t: Gr00tModelCfg = Gr00tModelCfg()

    freezing: Gr00tFreezingCfg = Gr00tFreezingCfg()

    chunk_length: int | None = None
    """Control steps per decision. None: the checkpoint's whole action horizon."""


@configclass
class Gr00tAdapterActorCfg(Gr00tActorCfg):
    """What the adapters on GR00T's features have."""

    hidden_dims: list[int] = [256, 256]
    """Widths of the adapter's hidden layers."""

    activation: str = "elu"
    """Activation of the adapter."""

    num_queries: int = 4
    """Queries of the attention pooling over the features."""


@configclass
class Gr00tGaussianActorCfg(Gr00tAdapterActorCfg):
    """Tanh adapter with a Gaussian over the action chunk, on GR00T's features (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.gaussian_actor:Gr00tGaussianActor"

    distribution_cfg: BoundedGaussianCfg = BoundedGaussianCfg()


@configclass
class Gr00tResidualActorCfg(Gr00tAdapterActorCfg):
    """GR00T's own action chunk, corrected by the adapter (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.residual_actor:Gr00tResidualActor"

    residual_scale: float = 1.0
    """Largest correction of the mean, in GR00T's normalised actions, of which the demonstrations span [-1, 1]."""

    num_flow_steps: int = 4
    """Euler steps of GR00T's flow."""

    distribution_cfg: BoundedStdCfg = BoundedStdCfg()
    """Noise of the correction, in GR00T's normalised actions."""


@configclass
class Gr00tCategoricalActorCfg(Gr00tAdapterActorCfg):
    """Categoricals over the choices of a discrete action chunk, on GR00T's features (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.categorical_actor:Gr00tCategoricalActor"

    distribution_cfg: dict = {}
    """Empty. Isaac Lab 3.0 reads it of every actor; a categorical has no settings."""


@configclass
class MlpActorCfg(RslRlMLPModelCfg):
    """rsl_rl's MLP on vectors, without GR00T (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.mlp:MlpActor"

    hidden_dims: list[int] = [256, 128, 64]
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation."""

    obs_normalization: bool = True
    """Normalise the observations with running statistics."""

    distribution_cfg: RslRlMLPModelCfg.DistributionCfg | None = RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5)
    """``GaussianDistributionCfg`` or ``HeteroscedasticGaussianDistributionCfg``. None for discrete actions."""

    chunk_length: int = 1
    """Control steps per decision."""


@configclass
class FlowCfg:
    """How GR00T's flow becomes a stochastic policy (``agent.actor.flow``)."""

    noise: str = "sde"
    """``sde``: noise of a given level that keeps the flow's marginals. ``learned``: a network says how much."""

    score: str = "one_step"
    """``one_step``: one step per decision is random and scored, drawn for each environment; the others are the flow's.
    ``all_steps``: every random step is scored, which costs as many calls of the network in the update."""

    num_steps: int = 4
    """Euler steps of a decision while training."""

    num_eval_steps: int = 4
    """Euler steps of a deterministic decision."""

    noise_level: float = 0.5
    """Level of the noise ``sde``: the std of the first step, in units of the normalised actions."""

    final_noise_level: float | None = None
    """Level that the noise ``sde`` has reached after ``noise_level_iterations``, linearly. None: it is constant."""

    noise_level_iterations: int | None = None
    """Iterations until ``final_noise_level``."""

    std_range: tuple[float, float] = (0.08, 0.16)
    """Smallest and largest std of the noise ``learned``."""

    noise_hidden_dims: list[int] = [256]
    """Widths of the hidden layers of the network that says the std of the noise ``learned``."""

    deterministic_last_step: bool = False
    """Add no noise in the last step, which would reach the actions as it is. Only with ``score: one_step``."""

    random_steps: int | None = None
    """How many steps may be random, the last ones. None: all. With 1 all that is random and scored reaches the actions
    as it is; what earlier steps add passes through the flow, which takes a part of it away."""

    noise_correlation: float = 0.0
    """Correlation of the noise of neighbouring control steps in a chunk, in [0, 1). With 0 they are independent."""


@configclass
class Gr00tFlowActorCfg(Gr00tActorCfg):
    """GR00T's flow-matching action head as the policy (``agent.actor``)."""

    class_name: str = "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor"

    freezing: Gr00tFreezingCfg = Gr00tFreezingCfg(train=["projector", "dit"])

    flow: FlowCfg = FlowCfg()

    distribution_cfg: dict = {}
    """Empty. Isaac Lab 3.0 reads it of every actor; this one's settings are those of ``flow``."""


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

    obs_clip: float | None = 10.0
    """Largest magnitude of a normalised entry. None: unbounded."""

    values: str = "chunk"
    """``chunk``: one value, advantage and ratio per decision. ``step``: one per control step of it."""

    orthogonal_init: bool = True
    """Begin with orthogonal weights and biases of 0, instead of as rsl_rl's MLP does."""

    detach: bool = True
    """Keep the value loss from changing what of GR00T trains below the features."""
