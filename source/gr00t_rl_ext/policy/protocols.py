# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What an algorithm and the networks ask of what a policy is built on, with GR00T or without."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.robot.task_spec import TaskSpec

if TYPE_CHECKING:
    from gr00t_rl_ext.policy.actor import Actor
    from gr00t_rl_ext.policy.actor_critic import ActorRecipe
    from gr00t_rl_ext.policy.critic import Gr00tCritic
    from gr00t_rl_ext.policy.freezing import GradientReport, TrainedGroup
    from gr00t_rl_ext.policy.stages import Stage


class TrainedParts(Protocol):
    """Which parameters below the policy's own networks train. :class:`~.freezing.Freezing` documents each member."""

    groups: list[TrainedGroup]
    stages: list[Stage]
    stage: int

    def advance(self, iteration: int, success_rate: float | None = None) -> list[TrainedGroup]: ...
    def restore(self, stage: int) -> list[TrainedGroup]: ...
    def parameters(self) -> dict[str, nn.Parameter]: ...
    def reference(self) -> AbstractContextManager[None]: ...
    def check_gradients(self) -> GradientReport: ...
    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...
    def describe(self) -> str: ...


class Encoder(Protocol):
    """From observations to what actor and critic read. :class:`~.encoder.Gr00tEncoder` documents each member."""

    spec: TaskSpec
    calls: int

    @property
    def fingerprint(self) -> str: ...
    @property
    def base_name(self) -> str | None: ...
    @property
    def freezing(self) -> TrainedParts: ...
    @property
    def dtype(self) -> torch.dtype: ...

    def encode(self, obs: TensorDict) -> TensorDict: ...
    def complete(self, obs: TensorDict) -> TensorDict: ...
    def kept(self, obs: TensorDict) -> TensorDict: ...
    def encoded_example(self, obs: TensorDict) -> TensorDict: ...
    def compile(self, mode: str, backbone: bool | None = None) -> None: ...


class ActorCritic(Protocol):
    """An actor, and a critic where there is one, over one encoder. :class:`~.actor_critic.Gr00tActorCritic` documents
    each member."""

    recipe: ActorRecipe
    actor: Actor
    critic: Gr00tCritic | None
    chunk_length: int

    @property
    def encoder(self) -> Encoder: ...

    def describe(self) -> str: ...
