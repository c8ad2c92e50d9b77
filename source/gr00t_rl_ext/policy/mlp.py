# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A policy without GR00T: rsl_rl's own MLP on vectors, as an actor of our algorithms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules.distribution import GaussianDistribution, HeteroscedasticGaussianDistribution
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.options import check_fields
from gr00t_rl_ext.policy.actor import Actor, Decisions, Parameters
from gr00t_rl_ext.policy.options import MlpActorOptions
from gr00t_rl_ext.policy.plain import PlainEncoder
from gr00t_rl_ext.policy.scored import GaussianScored, Scored, choose, mode, score_choices, uncertainty
from gr00t_rl_ext.robot.task_spec import TaskSpec

_WHERE = "agent.actor.distribution_cfg"
_DISTRIBUTIONS = (GaussianDistribution, HeteroscedasticGaussianDistribution)


class _Head(Protocol):
    """From the outputs of the MLP to a distribution over action chunks (B, H, A)."""

    shapes: tuple[tuple[int, ...], ...]
    """Shape of each of its parameters, for one decision."""

    def parameters(self, outputs: Tensor) -> Parameters:
        """Outputs of the MLP -> parameters."""
        ...

    def decide(self, parameters: Parameters, stochastic: bool) -> Tensor:
        """A draw, or the mode."""
        ...

    def scored(self, parameters: Parameters, decisions: Decisions) -> Scored:
        """The distribution bound to decisions."""
        ...

    def spread(self, parameters: Parameters) -> Tensor:
        """For rsl_rl's logger, any shape."""
        ...


class _Gaussian:
    def __init__(self, distribution: GaussianDistribution, chunk_length: int, action_dim: int) -> None:
        self._distribution = distribution
        self.shapes = ((chunk_length, action_dim),) * 2

    def parameters(self, outputs: Tensor) -> Parameters:
        self._distribution.update(outputs.float())
        return tuple(values.view(-1, *self.shapes[0]) for values in self._distribution.params)

    def decide(self, parameters: Parameters, stochastic: bool) -> Tensor:
        return torch.normal(*parameters) if stochastic else parameters[0]

    def scored(self, parameters: Parameters, decisions: Decisions) -> Scored:
        mean, std = parameters
        return GaussianScored(decisions.actions.view_as(mean), mean, std, decisions.valid)

    def spread(self, parameters: Parameters) -> Tensor:
        return parameters[1]


class _Categorical:
    def __init__(self, chunk_length: int, choices: tuple[int, ...]) -> None:
        self._choices = choices
        self.shapes = ((chunk_length, sum(choices)),)

    def parameters(self, outputs: Tensor) -> Parameters:
        return (outputs.float().view(-1, *self.shapes[0]),)

    def decide(self, parameters: Parameters, stochastic: bool) -> Tensor:
        (logits,) = parameters
        return choose(logits, self._choices, stochastic)

    def scored(self, parameters: Parameters, decisions: Decisions) -> Scored:
        (logits,) = parameters
        return score_choices(decisions.actions, logits, decisions.valid, self._choices)

    def spread(self, parameters: Parameters) -> Tensor:
        return uncertainty(parameters[0], self._choices)


class MlpActor(Actor):
    """Vectors -> rsl_rl's MLP -> Gaussian, or categoricals where the task's actions are discrete, over an action chunk.

    The network, its normalisation of observations, its initialisation and its Gaussian are those of
    ``rsl_rl.models.MLPModel``; the Gaussian's mean is not bounded.

    Args:
        encoder: Hands on the observations.
        options: The fields of ``agent.actor``. ``distribution_cfg`` is ``class_name`` of rsl_rl's
            ``GaussianDistribution`` or ``HeteroscedasticGaussianDistribution`` and its arguments.

    Raises:
        ValueError: The distribution does not fit the task's actions.
    """

    OPTIONS = MlpActorOptions
    over_gr00t = False

    encoder: PlainEncoder

    def __init__(self, encoder: PlainEncoder, options: MlpActorOptions) -> None:
        super().__init__(encoder, options)
        spec, chunk_length, distribution_cfg = encoder.spec, self.chunk_length, options.distribution_cfg
        _check_distribution(distribution_cfg, spec.action_choices)
        self.model = MLPModel(
            TensorDict({group: torch.empty(1, width) for group, width in encoder.group_widths.items()}, [1]),
            {"actor": list(spec.state_groups)},
            "actor",
            chunk_length * (sum(spec.action_choices) or spec.action_dim),
            hidden_dims=options.hidden_dims,
            activation=options.activation,
            obs_normalization=options.obs_normalization,
            distribution_cfg=None if distribution_cfg is None else dict(distribution_cfg),
        )
        distribution = self.model.distribution
        self._head: _Head
        if isinstance(distribution, GaussianDistribution):
            self._head = _Gaussian(distribution, chunk_length, spec.action_dim)
        else:
            self._head = _Categorical(chunk_length, spec.action_choices)

    @classmethod
    def load_encoder(cls, spec: TaskSpec, options: Any, device: str, obs: TensorDict | None) -> PlainEncoder:
        assert obs is not None
        return PlainEncoder(spec, obs)

    def _parameters_of(self, obs: TensorDict) -> Parameters:
        return self._head.parameters(self.model.mlp(self.model.get_latent(obs)))

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        parameters = self._parameters_of(obs)
        return self._head.decide(parameters, stochastic), parameters

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        return self._parameters_of(obs)

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return self._head.shapes

    def recorded_distribution(self, decisions: Decisions) -> Parameters:
        return decisions.recorded

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        return self._head.scored(distribution, decisions)

    @property
    def output_std(self) -> Tensor:
        """Std of the latest actions; of discrete ones, the probability of another choice than the likeliest one."""
        recorded = self._recorded
        if recorded is None:
            zeros = torch.zeros(1, self.model.obs_dim, device=next(self.model.parameters()).device)
            recorded = self._head.parameters(self.model.mlp(zeros))
        return self._head.spread(recorded)

    def update_normalization(self, obs: TensorDict) -> None:
        """Take observations (B, ...) into the running statistics."""
        self.model.update_normalization(obs)

    def as_jit(self) -> nn.Module:
        """rsl_rl's export: concatenated observations -> actions."""
        return self._exported(self.model.as_jit())

    def as_onnx(self, verbose: bool = False) -> nn.Module:
        """The same for ONNX."""
        return self._exported(self.model.as_onnx(verbose))

    def _exported(self, model: nn.Module) -> nn.Module:
        choices = self.encoder.spec.action_choices
        return _LikeliestChoices(model, self.chunk_length, choices, self.model.obs_dim) if choices else model


class _LikeliestChoices(nn.Module):
    """An exported MLP whose logits become choices, with what rsl_rl's ONNX export reads."""

    is_recurrent = False
    input_names = ("obs",)
    output_names = ("actions",)

    def __init__(self, model: nn.Module, chunk_length: int, choices: Sequence[int], obs_dim: int) -> None:
        super().__init__()
        self.model = model
        self.chunk_length = chunk_length
        self.choices = list(choices)
        self.obs_dim = obs_dim

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x).view(-1, self.chunk_length, sum(self.choices))
        return mode(logits, self.choices).float().flatten(1)

    @torch.jit.unused
    def get_dummy_inputs(self) -> tuple[Tensor]:
        return (torch.zeros(1, self.obs_dim),)


def _check_distribution(cfg: Mapping[str, Any] | None, choices: Sequence[int]) -> None:
    if choices:
        if cfg is not None:
            raise ValueError(
                f"`{_WHERE}` is set, but the task's actions are discrete ({', '.join(map(str, choices))} choices): each"
                f" choice has a logit of its own, and there is nothing to configure. Set `{_WHERE}=null`."
            )
        return
    available = ", ".join(known.__name__ for known in _DISTRIBUTIONS)
    if cfg is None:
        raise ValueError(
            f"`{_WHERE}` is null, but the task's actions are continuous. Expected `{_WHERE}.class_name` to be one of"
            f" {available}, and `{_WHERE}.init_std`."
        )
    try:
        found: Any = resolve_callable(cfg.get("class_name", ""))
    except (ValueError, ImportError, AttributeError):
        found = None
    if found not in _DISTRIBUTIONS:
        raise ValueError(
            f"`{_WHERE}.class_name` is {cfg.get('class_name')!r}; this actor's distributions are {available}."
        )
    arguments = [name for name in inspect.signature(found).parameters if name != "output_dim"]
    check_fields(_WHERE, [name for name in cfg if name != "class_name"], arguments)
