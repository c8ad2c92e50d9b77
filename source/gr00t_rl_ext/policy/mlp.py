# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A policy without GR00T: rsl_rl's own MLP on vectors, as an actor of our algorithms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules.distribution import GaussianDistribution, HeteroscedasticGaussianDistribution
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.options import check_fields
from gr00t_rl_ext.policy.actor import Actor, Decisions, ForOnnx, Parameters
from gr00t_rl_ext.policy.options import MlpActorOptions
from gr00t_rl_ext.policy.plain import PlainEncoder
from gr00t_rl_ext.policy.scored import GaussianScored, Scored, choose, mode, score_choices, uncertainty
from gr00t_rl_ext.robot.task_spec import TaskSpec

_WHERE = "agent.actor.distribution_cfg"
_DISTRIBUTIONS = (GaussianDistribution, HeteroscedasticGaussianDistribution)


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
        spec, distribution_cfg = encoder.spec, options.distribution_cfg
        self.choices = spec.action_choices
        _check_distribution(distribution_cfg, self.choices)
        self.model = MLPModel(
            TensorDict({group: torch.empty(1, width) for group, width in encoder.group_widths.items()}, [1]),
            {"actor": list(spec.state_groups)},
            "actor",
            self.chunk_length * (sum(self.choices) or spec.action_dim),
            hidden_dims=options.hidden_dims,
            activation=options.activation,
            obs_normalization=options.obs_normalization,
            distribution_cfg=None if distribution_cfg is None else dict(distribution_cfg),
        )

    @classmethod
    def load_encoder(cls, spec: TaskSpec, options: Any, device: str, obs: TensorDict | None) -> PlainEncoder:
        assert obs is not None
        return PlainEncoder(spec, obs)

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        if self.choices:
            return ((self.chunk_length, sum(self.choices)),)
        return ((self.chunk_length, self.encoder.spec.action_dim),) * 2

    def _distribution_of(self, inputs: Tensor) -> Parameters:
        """Inputs of the MLP (B, ...) -> logits, or mean and std."""
        outputs = self.model.mlp(inputs).float()
        if self.model.distribution is None:
            parameters = (outputs,)
        else:
            self.model.distribution.update(outputs)
            parameters = self.model.distribution.params
        return tuple(values.view(-1, *self.distribution_shapes[0]) for values in parameters)

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        parameters = self._distribution_of(self.model.get_latent(obs))
        if self.choices:
            return choose(parameters[0], self.choices, stochastic), parameters
        return torch.normal(*parameters) if stochastic else parameters[0], parameters

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        return self._distribution_of(self.model.get_latent(obs))

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        if self.choices:
            return score_choices(decisions.actions, distribution[0], decisions.valid, self.choices)
        mean, std = distribution
        return GaussianScored(decisions.actions.view_as(mean), mean, std, decisions.valid)

    @property
    def output_std(self) -> Tensor:
        """Std of the latest actions; of discrete ones, the probability of another choice than the likeliest one."""
        recorded = self._recorded
        if recorded is None:
            zeros = torch.zeros(1, self.model.obs_dim, device=next(self.model.parameters()).device)
            recorded = self._distribution_of(zeros)
        return uncertainty(recorded[0], self.choices) if self.choices else recorded[1]

    def update_normalization(self, obs: TensorDict) -> None:
        """Take observations (B, ...) into the running statistics."""
        self.model.update_normalization(obs)

    def as_jit(self) -> nn.Module:
        """rsl_rl's export: concatenated observations -> actions."""
        return self._choosing(self.model.as_jit())

    def as_onnx(self, verbose: bool = False) -> nn.Module:
        model = self.model.as_onnx(verbose)
        return ForOnnx(self._choosing(model), obs=(self.model.obs_dim,)) if self.choices else model

    def _choosing(self, model: nn.Module) -> nn.Module:
        return _LikeliestChoices(model, self.chunk_length, self.choices) if self.choices else model


class _LikeliestChoices(nn.Module):
    """An exported MLP whose logits become choices."""

    def __init__(self, model: nn.Module, chunk_length: int, choices: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.chunk_length = chunk_length
        self.choices = list(choices)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(x).view(-1, self.chunk_length, sum(self.choices))
        return mode(logits, self.choices).float().flatten(1)


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
