# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The pair of actor and critic that share one GR00T."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensordict import TensorDict

from gr00t_rl_ext.policy.actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import Gr00tEncoder, Gr00tOptions
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.policy.task_spec import TaskSpec


class Gr00tActorCritic:
    """Builds actor and critic over one :class:`~gr00t_rl_ext.policy.encoder.Gr00tEncoder`.

    Args:
        spec: The task.
        obs: An observation with all groups that actor and critic read.
        obs_groups: Observation groups by set, with ``actor`` and ``critic`` (``agent.obs_groups``).
        actor_cfg: Fields of ``agent.actor`` without ``class_name``.
        critic_cfg: Fields of ``agent.critic`` without ``class_name``.
        device: Where the networks live.
        actor_class: Class of the actor.
        critic_class: Class of the critic.

    Raises:
        ValueError: If a field is not known or a value does not fit; :class:`Gr00tCheckpointError` for the checkpoint.
    """

    def __init__(
        self,
        spec: TaskSpec,
        obs: TensorDict,
        obs_groups: Mapping[str, Sequence[str]],
        actor_cfg: Mapping[str, Any],
        critic_cfg: Mapping[str, Any],
        device: str,
        actor_class: type[Gr00tGaussianActor] = Gr00tGaussianActor,
        critic_class: type[Gr00tCritic] = Gr00tCritic,
    ) -> None:
        actor_cfg, critic_cfg = dict(actor_cfg), dict(critic_cfg)
        gr00t_cfg = dict(actor_cfg.pop("gr00t", {}))
        freezing_cfg = dict(actor_cfg.pop("freezing", {}))
        distribution_cfg = dict(actor_cfg.pop("distribution_cfg", {}))
        chunk_length = actor_cfg.pop("chunk_length", None)
        check_fields("agent.actor.gr00t", gr00t_cfg, [field.name for field in dataclasses.fields(Gr00tOptions)])
        check_fields(
            "agent.actor.freezing", freezing_cfg, [field.name for field in dataclasses.fields(FreezingOptions)]
        )
        check_fields("agent.actor.distribution_cfg", distribution_cfg, ("init_std", "std_range"))
        check_fields(
            "agent.actor",
            actor_cfg,
            ("gr00t", "freezing", "chunk_length", "distribution_cfg", "hidden_dims", "activation", "num_queries"),
        )
        if critic_cfg.pop("distribution_cfg", None) is not None:
            raise ValueError("`agent.critic.distribution_cfg` is set, but a critic has no output distribution.")
        check_fields("agent.critic", critic_cfg, ("hidden_dims", "activation", "obs_normalization"))
        self.encoder = Gr00tEncoder.load(
            spec,
            Gr00tOptions(**gr00t_cfg),
            device,
            FreezingOptions(**freezing_cfg),
            reads_head=actor_class.reads_head,
        )
        horizon = self.encoder.action_horizon
        self.chunk_length = horizon if chunk_length is None else chunk_length
        if not 1 <= self.chunk_length <= horizon:
            raise ValueError(
                f"`agent.actor.chunk_length` is {self.chunk_length}; the checkpoint predicts {horizon} steps, so it"
                f" must lie in 1..{horizon}, or be null for all of them."
            )
        self.actor = actor_class(self.encoder, self.chunk_length, **distribution_cfg, **actor_cfg).to(device)
        self.critic = critic_class(self.encoder, obs, obs_groups["critic"], **critic_cfg).to(device)

    def describe(self) -> str:
        """One paragraph on what was built, for the log."""
        encoder = self.encoder
        total = sum(p.numel() for p in encoder.model.parameters())
        actor = sum(p.numel() for p in self.actor.parameters())
        critic = sum(p.numel() for p in self.critic.parameters())
        tokens, width = encoder.feature_shape
        return (
            f"GR00T {encoder.model.version} from {encoder.model.config.source}\n"
            f"  {total / 1e6:.1f} M parameters, {str(encoder.dtype).removeprefix('torch.')} where frozen; features"
            f" {tokens} x {width} per decision\n"
            f"  {encoder.freezing.describe()}\n"
            f"  trains beside it: actor {actor / 1e6:.2f} M, critic {critic / 1e6:.2f} M\n"
            f"  decides {self.chunk_length} control steps x {encoder.spec.action_dim} actions from"
            f" {encoder.spec.num_cameras} camera(s) and {encoder.spec.state_dim} state dimensions\n"
            f"  instruction: {encoder.spec.instruction!r}"
        )


def check_fields(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Reject config fields that nothing reads.

    Raises:
        ValueError: Naming the unknown fields and those that exist.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(
            f"`{where}` has no field {', '.join(map(repr, unknown))}. Its fields are: {', '.join(sorted(known))}."
        )
