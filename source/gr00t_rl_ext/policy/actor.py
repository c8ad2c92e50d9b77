# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What every policy of ours is: a model of rsl_rl 5.5 that decides action chunks and scores stored decisions."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.policy.encoder import FEATURES, HIDDEN, Gr00tEncoder
from gr00t_rl_ext.policy.plain import Encoder
from gr00t_rl_ext.policy.scored import Scored
from gr00t_rl_ext.policy.stages import Stage
from gr00t_rl_ext.robot.task_spec import TaskSpec

Parameters = tuple[Tensor, ...]
"""Parameters of a distribution over action chunks, each with the batch as its first axis, fp32."""


@dataclass(frozen=True)
class Decisions:
    """Stored decisions, as a policy needs them to score them again."""

    actions: Tensor
    """What the policy decided, (B, H * A)."""

    recorded: Parameters
    """What the rollout recorded of them: the parameters of the distribution that they were drawn from, and whatever
    else was drawn on the way."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""


class Actor(nn.Module, ABC):
    """A policy over action chunks: H control steps with A actions each.

    rsl_rl calls it as its own models (:meth:`forward` and the ``output_*`` properties). An update scores stored
    decisions through :meth:`distribution` and :meth:`scored`, whatever the policy is.

    Args:
        encoder: Turns observations into what the policy reads.
        options: The fields of ``agent.actor``.
    """

    OPTIONS: ClassVar[type[Any]]
    """The fields of ``agent.actor``: a dataclass of :mod:`~.options`."""

    over_gr00t = True
    """Whether the policy looks through cameras, by a GR00T that may train as well."""

    reads_head = False
    """Whether it acts through GR00T's action head."""

    scores_steps = True
    """Whether each control step of a decision has a density of its own, or the decision only as a whole."""

    UNRECORDED: ClassVar[Mapping[str, Any]] = {}
    """Values of those fields of ``agent.actor`` that an older checkpoint does not hold."""

    LEARNED_WITH: ClassVar[tuple[str, ...]] = ()
    """Fields of ``agent.actor`` with another value of which what was learned is another policy."""

    encoder_class: ClassVar[type[Gr00tEncoder]] = Gr00tEncoder
    """What turns observations into what it reads, where it is over GR00T."""

    def __init__(self, encoder: Encoder, options: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.options = options
        self.chunk_length = encoder.chunk_length(options.chunk_length)
        self._recorded: Parameters | None = None

    @classmethod
    def load_encoder(cls, spec: TaskSpec, options: Any, device: str, obs: TensorDict | None) -> Encoder:
        """What a policy with some options is over.

        Args:
            spec: The task.
            options: :attr:`OPTIONS`.
            device: Where the networks live.
            obs: An observation, for the widths of groups that GR00T does not read. None where only GR00T reads.

        Raises:
            ValueError: Nothing can be loaded, or what is does not fit the task.
        """
        return cls.encoder_class.load(spec, options.gr00t, device, options.freezing, reads_head=cls.reads_head)

    @classmethod
    def check_stages(cls, stages: Sequence[Stage]) -> None:
        """Check what of GR00T shall train, beyond what :meth:`.stages.FreezingOptions.stages` knows.

        Args:
            stages: What trains from the start, and the schedule.

        Raises:
            ValueError: This policy cannot act through a GR00T that learns so.
        """

    def check_optimized(self, stages: Sequence[Stage], entropy_coef: float) -> None:
        """Check that there is something to train, and that an entropy bonus would change it.

        Raises:
            ValueError: There is not, or it would not.
        """
        if not list(self.parameters()) and not any(stage.train for stage in stages):
            raise ValueError(
                "Nothing of this policy trains: it is GR00T's action head, and `agent.actor.freezing.train` is empty."
                " Name parts of the head there, such as ['projector','dit'] or ['dit_lora']."
            )
        if entropy_coef > 0 and not self.entropy_has_gradient:
            raise ValueError(
                f"`agent.algorithm.entropy_coef` is {entropy_coef}, but the entropy of this policy is a constant, so"
                " that the bonus would change nothing. Set it to 0, or `agent.actor.flow.noise=learned`."
            )

    # What a policy must define

    @abstractmethod
    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        """Decide.

        Args:
            obs: Encoded observations.
            stochastic: Draw from the policy's distribution, instead of taking its deterministic decision.

        Returns:
            Actions (B, H, A) for the environment, and what is to be recorded of the decision; None where a
            deterministic decision has nothing to record.
        """

    @abstractmethod
    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        """Parameters of the policy's distribution over the outcomes of stored decisions, as the networks are now.

        Differentiable in what trains.

        Args:
            obs: The encoded observations of the decisions.
            decisions: The decisions.
        """

    @property
    @abstractmethod
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each of these parameters, for one decision."""

    @abstractmethod
    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        """Some distribution over the outcomes of decisions, as an object that knows their log-probabilities."""

    @property
    @abstractmethod
    def output_std(self) -> Tensor:
        """Spread of the actions, for rsl_rl's logger, any shape: std, or entropy where there is none."""

    @abstractmethod
    def as_jit(self) -> nn.Module:
        """What ``isaaclab play`` exports as TorchScript."""

    @abstractmethod
    def as_onnx(self, verbose: bool = False) -> nn.Module:
        """What ``isaaclab play`` exports as ONNX, with the attributes that rsl_rl's exporter reads."""

    entropy_has_gradient = True
    """Whether an entropy bonus can change the policy."""

    def start_iteration(self, iteration: int, total_iterations: int | None) -> None:
        """An iteration begins. For schedules inside the policy.

        Args:
            iteration: Counted from 0, those before a resume included.
            total_iterations: Iterations of the run, counted likewise. None: unknown.
        """

    def describe_start(self, obs: TensorDict) -> str | None:
        """What is worth knowing before training, of some encoded observations; None: nothing. Draws nothing."""

    def recorded_distribution(self, decisions: Decisions) -> Parameters:
        """The parameters of :meth:`distribution` as they were when the decisions were made: what is recorded first."""
        return decisions.recorded[: len(self.distribution_shapes)]

    # What all of them do

    def score(self, obs: TensorDict, decisions: Decisions) -> Scored:
        """The policy's distribution over the outcomes of stored decisions; differentiable."""
        return self.scored(self.distribution(obs, decisions), decisions)

    def score_recorded(self, decisions: Decisions) -> Scored:
        """The distribution that they were drawn from."""
        return self.scored(self.recorded_distribution(decisions), decisions)

    def frozen_copy(self) -> Self:
        """A copy of the policy's own networks as they are now, over the same encoder; it does not train."""
        copied = copy.deepcopy(self, {id(self.encoder): self.encoder}).requires_grad_(False)
        copied._recorded = None
        return copied.eval()

    def forward(self, obs: TensorDict, stochastic_output: bool = False) -> Tensor:
        """Decide, and remember what is to be recorded of it.

        Args:
            obs: Observations, encoded or with images.
            stochastic_output: Draw from the policy's distribution.

        Returns:
            The action chunk, step by step: (B, H * A).
        """
        if FEATURES not in obs.keys() or HIDDEN in obs.keys():
            obs = self.encoder.encode(obs)
        actions, self._recorded = self.decide(obs, stochastic_output)
        return actions.flatten(1)

    @property
    def output_distribution_params(self) -> Parameters:
        """What is recorded of the latest decision."""
        assert self._recorded is not None, "a stochastic forward() sets it"
        return self._recorded

    def reset(self, dones: Tensor) -> None:
        """Nothing to reset: the policy has no memory. ``isaaclab play`` calls it."""

    def share_statistics(self, total: Callable[[Tensor], Tensor]) -> None:
        """Make what the policy took from the first rollout that of all processes. Nothing, in most policies.

        Args:
            total: Sums a tensor over the processes.
        """

    def update_normalization(self, obs: TensorDict) -> None:
        """Nothing to update: the state is normalised with the checkpoint's fixed statistics."""


class AdapterActor(Actor):
    """A policy that is a small network, its ``adapter``, on GR00T's features and the robot's state."""

    encoder: Gr00tEncoder

    def as_jit(self) -> nn.Module:
        """A copy of the network: (features, state) -> action chunk. The export moves it to the CPU."""
        return copy.deepcopy(cast(nn.Module, self.adapter))

    def as_onnx(self, verbose: bool = False) -> nn.Module:
        return ForOnnx(self.as_jit(), features=self.encoder.feature_shape, state=(self.encoder.state_dim,))


class HeadActor(Actor):
    """A policy that acts through GR00T's action head.

    Args:
        encoder: The shared frozen backbone, with the head.
        options: The fields of ``agent.actor``.

    Raises:
        ValueError: The task's actions are discrete.
    """

    reads_head = True

    # before it was a field, flow and residual policies began with the noise that GR00T draws
    UNRECORDED = {"noise_scale": 1.0}

    encoder: Gr00tEncoder

    def __init__(self, encoder: Gr00tEncoder, options: Any) -> None:
        super().__init__(encoder, options)
        require_continuous_actions(encoder)
        model = encoder.model
        self.noise_shape = model.action_horizon, model.max_action_dim
        """Of one decision: what the head decides, whether it is executed or not."""

        self.action_dims = torch.tensor(encoder.action_dims, device=model.device)
        """Dimensions of the head's output that reach the robot."""

        self.noise_scale: float = options.noise_scale
        """``agent.actor.noise_scale``. Evaluations set others."""

    def draw_noise(self, obs: TensorDict, scale: float) -> Tensor:
        """``scale * N(0, I)``, (B, horizon, max_action_dim). Of torch's global generator, which 0 leaves alone."""
        shape, device = (obs.batch_size[0], *self.noise_shape), self.action_dims.device
        return scale * torch.randn(shape, device=device) if scale else torch.zeros(shape, device=device)

    def as_jit(self) -> nn.Module:
        """A note in place of the policy, see :class:`ExportedElsewhere`."""
        return ExportedElsewhere(self.chunk_length * self.encoder.spec.action_dim)

    def as_onnx(self, verbose: bool = False) -> nn.Module:
        return ForOnnx(self.as_jit(), "see_scripts_export_gr00t_py", state=(self.encoder.state_dim,))


class FrozenHeadActor(HeadActor):
    """A policy around a GR00T that stays as it is: a small network, its ``adapter``, is all that learns.

    Raises:
        ValueError: The task's actions are discrete, or something of GR00T shall train.
    """

    LEARNED_WITH = ("num_flow_steps",)

    WHY_FROZEN: ClassVar[str]
    """For the error: what the policy does with GR00T."""

    def __init__(self, encoder: Gr00tEncoder, options: Any) -> None:
        super().__init__(encoder, options)
        self.check_stages(encoder.freezing.stages)
        self.num_flow_steps = options.num_flow_steps

    @torch.no_grad()
    def run_flow(self, obs: TensorDict, noise: Tensor) -> Tensor:
        """What GR00T predicts from some noise, by its own Euler steps.

        Args:
            obs: Encoded observations.
            noise: (B, horizon, max_action_dim).

        Returns:
            Normalised actions of a decision (B, H, max_action_dim), fp32.
        """
        encoder = self.encoder
        with encoder.autocast():
            chunk = encoder.model.sample(encoder.context(obs), encoder.head_state(obs), noise, self.num_flow_steps)
        return chunk[:, : self.chunk_length]

    @classmethod
    def check_stages(cls, stages: Sequence[Stage]) -> None:
        parts = [part for stage in stages for part in stage.train]
        if parts:
            raise ValueError(
                f"`agent.actor.freezing` trains {', '.join(parts)}, but {cls.WHY_FROZEN}. Leave `agent.actor.freezing`"
                " empty, or train GR00T itself with the agent `gr00t_flow_ppo`."
            )

    @property
    def output_std(self) -> Tensor:
        init_std = self.options.distribution_cfg.init_std
        return torch.tensor(init_std) if self._recorded is None else self._recorded[1]


def require_continuous_actions(encoder: Encoder) -> None:
    """Check that a task's actions are numbers.

    Raises:
        ValueError: They are choices.
    """
    if encoder.spec.action_choices:
        choices = ", ".join(map(str, encoder.spec.action_choices))
        raise ValueError(
            f"The task's actions are discrete ({choices} choices), which this actor cannot decide. Use the agent"
            " `gr00t_categorical_ppo`, or a task with continuous actions."
        )


class ForOnnx(nn.Module):
    """A network with the names and example inputs that rsl_rl's ONNX export asks for.

    Args:
        network: From the inputs to one output.
        output: Name of the output.
        **shapes: Shape of each input, for one observation.
    """

    def __init__(self, network: nn.Module, output: str = "actions", **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.input_names, self.output_names = list(shapes), [output]
        self._shapes = list(shapes.values())

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*inputs)

    def get_dummy_inputs(self) -> tuple[Tensor, ...]:
        return tuple(torch.zeros(1, *shape) for shape in self._shapes)


class ExportedElsewhere(nn.Module):
    """What ``isaaclab play`` writes as ``policy.pt`` and ``policy.onnx`` of a policy that needs GR00T's head: NaN.

    Such a policy is a vision-language-action model of gigabytes, whose form for inference is a GR00T checkpoint
    (``scripts/export_gr00t.py``). Isaac Lab exports at every start of ``play`` and cannot be told not to.

    Args:
        num_actions: Width of an action chunk.
    """

    def __init__(self, num_actions: int) -> None:
        super().__init__()
        self.num_actions = num_actions

    def forward(self, state: Tensor) -> Tensor:
        return torch.full((state.shape[0], self.num_actions), float("nan"))
