# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The fields of ``agent.actor`` and ``agent.critic``. Isaac Lab's config classes in :mod:`~.configs` inherit them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from gr00t_rl_ext.options import Requirements, check_fields
from gr00t_rl_ext.policy.flow_chain import FlowOptions
from gr00t_rl_ext.policy.precision import dtype_of
from gr00t_rl_ext.policy.stages import FreezingOptions

TINY = "tiny"
"""Value of ``checkpoint`` that stands for a tiny random GR00T made for the task."""


@dataclass
class Gr00tOptions:
    """Which GR00T, and how to load it (``agent.actor.gr00t``)."""

    checkpoint: str = TINY
    """Directory of a GR00T checkpoint, or a hub id such as ``nvidia/GR00T-N1.5-3B``. ``starter``: the small policy in
    this package that solves the task some of the time, where there is one. ``tiny``: a tiny random GR00T, made for the
    task. It shows the pipeline; it cannot solve anything."""

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
    as ``data_config`` or the checkpoint's processor tells."""

    data_config: str = ""
    """How an N1.5 was fine-tuned to process its numbers and images: the name of a published data config, such as
    ``libero_goal``, or a JSON file like these. Empty: as the checkpoint records; what this project did not write
    records nothing, and is guessed. N1.6 and N1.7 need none. See :mod:`~gr00t_rl_ext.gr00t.data_config`."""

    mapping: str = ""
    """YAML file that tells how the task's observations, cameras and actions correspond to the checkpoint's keys, and in
    which units; ``package:file`` for one in an installed package. Empty: by position, so that the task's terms must
    have the order, widths and units of the checkpoint's statistics. See
    :mod:`~gr00t_rl_ext.robot.embodiment_mapping`."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a data type that does not exist."""
        dtype_of(self.dtype, "cpu")


@dataclass
class BoundedStdOptions:
    """Standard deviation of a Gaussian, bounded (``agent.actor.distribution_cfg``)."""

    init_std: float = 0.1
    """Standard deviation of the actions at the start. Of the Gaussian adapter in units of the action range [-1, 1]: for
    the stack task 0.1 is 0.05 rad per joint, or 5 cm of relative gripper pose, in every control step. Of the residual
    policy in GR00T's normalised actions."""

    std_range: tuple[float, float] = (0.02, 1.0)
    """Smallest and largest standard deviation."""

    state_dependent_std: bool = False
    """Let the network output the standard deviation of each decision, instead of learning one for all."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a range that is empty or does not contain ``init_std``."""
        low, high = self.std_range
        if not 0.0 < low < self.init_std < high:
            raise ValueError(
                f"The standard deviation starts at init_std = {self.init_std} and is bounded by std_range ="
                f" ({low}, {high}); expected 0 < low < init_std < high. Set them in `agent.actor.distribution_cfg`."
            )


@dataclass
class BoundedGaussianOptions(BoundedStdOptions):
    """Gaussian with a bounded standard deviation (``agent.actor.distribution_cfg``)."""

    squash: bool = False
    """Draw before Tanh instead of around it: no sample leaves [-1, 1], so that nothing is clipped. The standard
    deviations are then those before Tanh."""


@dataclass
class ActorOptions:
    """What every actor over GR00T has."""

    gr00t: Gr00tOptions = field(default_factory=Gr00tOptions)

    freezing: FreezingOptions = field(default_factory=FreezingOptions)

    chunk_length: int | None = None
    """Control steps per decision. None: the checkpoint's whole action horizon."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a chunk without a control step."""
        Requirements(self, "agent.actor").count("chunk_length")


@dataclass
class NetworkActorOptions(ActorOptions):
    """What actors with an adapter have, a small network."""

    hidden_dims: list[int] = field(default_factory=lambda: [256, 256])
    """Widths of the adapter's hidden layers."""

    activation: str = "elu"
    """Activation of the adapter."""


@dataclass
class AdapterActorOptions(NetworkActorOptions):
    """What the adapters on GR00T's features have."""

    num_queries: int = 4
    """Queries of the attention pooling over the features."""


@dataclass
class GaussianActorOptions(AdapterActorOptions):
    """Tanh adapter with a Gaussian over the action chunk, on GR00T's features."""

    distribution_cfg: BoundedGaussianOptions = field(default_factory=BoundedGaussianOptions)


@dataclass
class HeadActorOptions(ActorOptions):
    """What actors have that act through GR00T's action head."""

    noise_scale: float = 1.0
    """How much noise the flow of a decision begins with: ``noise_scale * N(0, I)``. 1 is as GR00T draws it, 0 is the
    centre of the flow. Flow-SDE keeps the flow's distribution of actions with 1 only."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a scale that is negative or not finite."""
        super().validate_config()
        if not 0.0 <= self.noise_scale < math.inf:
            raise ValueError(
                f"`agent.actor.noise_scale` is {self.noise_scale}; expected a finite number of at least 0: 1 for noise"
                " as GR00T draws it, 0 for the centre of its flow."
            )


@dataclass
class FrozenHeadOptions(HeadActorOptions):
    """What actors around a GR00T have that stays as it is."""

    noise_scale: float = 0.0
    """How much noise the flow begins with. Residual: GR00T's own chunk begins with ``noise_scale * N(0, I)``. Steering:
    a policy that is played begins with ``mean + noise_scale * std * N(0, I)``; while it trains, the scale is 1."""

    num_flow_steps: int = 4
    """Euler steps of GR00T's flow."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a flow without a step."""
        super().validate_config()
        if self.num_flow_steps < 1:
            raise ValueError(f"`agent.actor.num_flow_steps` is {self.num_flow_steps}; expected at least 1 Euler step.")


@dataclass
class ResidualActorOptions(AdapterActorOptions, FrozenHeadOptions):
    """GR00T's own action chunk, corrected by the adapter."""

    residual_scale: float = 2.0
    """Largest correction of the mean, in GR00T's normalised actions, of which the demonstrations span [-1, 1]: with 2 a
    gripper that GR00T closes can be opened."""

    distribution_cfg: BoundedStdOptions = field(default_factory=BoundedStdOptions)
    """Noise of the correction, in GR00T's normalised actions."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a correction that cannot change anything."""
        super().validate_config()
        if not self.residual_scale > 0.0:
            raise ValueError(
                f"`agent.actor.residual_scale` is {self.residual_scale}; expected a positive number: with 0 nothing of"
                " what GR00T does could change."
            )


@dataclass
class NoiseStdOptions:
    """Standard deviation of the noise that GR00T's flow begins with (``agent.actor.distribution_cfg``)."""

    init_std: float = 1.0
    """At the start. 1 is what GR00T draws with."""

    std_range: tuple[float, float] = (0.3, 1.5)
    """Smallest and largest standard deviation."""

    final_factor: float = 1.0
    """What the standard deviation is multiplied by at the end of the run (``agent.max_iterations``). The factor falls
    linearly from 1: what is learnt then is near what is played, which takes the mean."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a range without ``init_std`` or GR00T's 1, or a noise that grows or ends."""
        if not 0.0 < self.final_factor <= 1.0:
            raise ValueError(
                f"`agent.actor.distribution_cfg.final_factor` is {self.final_factor}; expected a number in (0, 1]."
                " Without noise nothing is explored; 1 keeps it as it is learned."
            )
        low, high = self.std_range
        if not (0.0 < low < self.init_std < high and low < 1.0 < high):
            raise ValueError(
                f"`agent.actor.distribution_cfg.std_range` is ({low}, {high}); expected positive numbers with init_std"
                f" = {self.init_std} between them, and 1, the standard deviation that GR00T draws its noise with."
            )


@dataclass
class SteeringActorOptions(NetworkActorOptions, FrozenHeadOptions):
    """The noise that GR00T's flow begins with, decided by an adapter on the diffusion transformer's tokens."""

    noise_bound: float = 3.0
    """Largest magnitude of the mean. Noise beyond 3 is rare where GR00T learned, and what it does there is a guess."""

    distribution_cfg: NoiseStdOptions = field(default_factory=NoiseStdOptions)

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a bound that lets nothing change."""
        super().validate_config()
        if not self.noise_bound > 0.0:
            raise ValueError(
                f"`agent.actor.noise_bound` is {self.noise_bound}; expected a positive number: with 0 the adapter could"
                " change nothing."
            )


@dataclass
class _WithoutDistribution(ActorOptions):
    distribution_cfg: dict = field(default_factory=dict)
    """Empty. Isaac Lab 3.0 reads it of every actor; this one's settings have another place or do not exist."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for settings that nothing reads."""
        super().validate_config()
        check_fields("agent.actor.distribution_cfg", self.distribution_cfg, ())


@dataclass
class CategoricalActorOptions(_WithoutDistribution, AdapterActorOptions):
    """Categoricals over the choices of a discrete action chunk, on GR00T's features."""


@dataclass
class FlowActorOptions(_WithoutDistribution, HeadActorOptions):
    """GR00T's flow-matching action head as the policy."""

    freezing: FreezingOptions = field(default_factory=lambda: FreezingOptions(train=["projector", "dit"]))

    flow: FlowOptions = field(default_factory=FlowOptions)


@dataclass
class MlpActorOptions:
    """rsl_rl's MLP on vectors, without GR00T."""

    hidden_dims: list[int] = field(default_factory=lambda: [256, 128, 64])
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation."""

    obs_normalization: bool = True
    """Normalise the observations with running statistics."""

    distribution_cfg: Any = None
    """``GaussianDistributionCfg`` or ``HeteroscedasticGaussianDistributionCfg``. None for discrete actions."""

    chunk_length: int = 1
    """Control steps per decision."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for a chunk without a control step."""
        if self.chunk_length < 1:
            raise ValueError(f"`agent.actor.chunk_length` is {self.chunk_length}; expected at least 1 control step.")


@dataclass
class CriticOptions:
    """MLP on pooled features, state and privileged state (``agent.critic``)."""

    hidden_dims: list[int] = field(default_factory=lambda: [256, 256])
    """Widths of the hidden layers."""

    activation: str = "elu"
    """Activation."""

    obs_normalization: bool = True
    """Normalise state and privileged state with running statistics."""

    obs_clip: float | None = 10.0
    """Largest magnitude of a normalised entry. None: unbounded."""

    values: str = "chunk"
    """``chunk``: one value, of the state in which the decision is made, and one advantage and ratio per decision.
    ``step``: also values of the states before each further control step of the chunk, as far as that state tells."""

    orthogonal_init: bool = True
    """Begin with orthogonal weights, of gain 1 in the last layer, and biases of 0. Otherwise as torch's layers do, with
    values that are several times smaller."""

    detach: bool = True
    """Keep the value loss from changing what of GR00T trains below the features."""

    distribution_cfg: Any = None
    """None. Isaac Lab 3.0 has it for every network; a critic has no output distribution."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` for values of something else, or options that a critic does not have."""
        if self.values not in ("chunk", "step"):
            raise ValueError(f"`agent.critic.values` is {self.values!r}; expected one of chunk, step.")
        if self.obs_clip is not None and not self.obs_clip > 0:
            raise ValueError(f"`agent.critic.obs_clip` is {self.obs_clip}; expected a positive number, or null.")
        if self.distribution_cfg is not None:
            raise ValueError("`agent.critic.distribution_cfg` is set, but a critic has no output distribution.")


def chunk_within(horizon: int, wanted: int | None) -> int:
    """Control steps of a decision: as many as are wanted (``agent.actor.chunk_length``), or the whole horizon.

    Args:
        horizon: Control steps that the checkpoint predicts.
        wanted: Control steps to execute; None: all.

    Raises:
        ValueError: The checkpoint does not predict so many.
    """
    if wanted is not None and not 1 <= wanted <= horizon:
        raise ValueError(
            f"`agent.actor.chunk_length` is {wanted}; the checkpoint predicts {horizon} steps, so it must lie in"
            f" 1..{horizon}, or be null for all of them."
        )
    return horizon if wanted is None else wanted
