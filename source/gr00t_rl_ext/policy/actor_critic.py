# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The pair of actor and critic that share one GR00T."""

from __future__ import annotations

import copy
import dataclasses
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import Gr00tEncoder, Gr00tOptions
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.protocols import Encoder
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.robot.task_spec import TaskSpec


@dataclass(frozen=True)
class ActorRecipe:
    """What an actor is made from, as plain values that a checkpoint can hold."""

    class_name: str
    """Class of the actor, ``module:name``."""

    spec: Mapping[str, Any]
    """Fields of :class:`~gr00t_rl_ext.robot.task_spec.TaskSpec`."""

    actor: Mapping[str, Any]
    """Fields of ``agent.actor`` without ``class_name``."""

    @classmethod
    def of(cls, actor_class: type[Actor], spec: TaskSpec, actor_cfg: Mapping[str, Any]) -> ActorRecipe:
        """The recipe of an actor of some class for a task."""
        return cls(
            f"{actor_class.__module__}:{actor_class.__qualname__}",
            dataclasses.asdict(spec),
            copy.deepcopy(dict(actor_cfg)),
        )

    def overrides_for(self, other: Mapping[str, Any], section: str) -> list[str]:
        """Arguments of the command line that give ``agent.actor.<section>`` the values of another recipe.

        Args:
            other: Fields of that recipe.
            section: ``gr00t`` or ``freezing``.
        """
        wanted, given = other["actor"].get(section, {}), self.actor.get(section, {})
        changed = {name: value for name, value in wanted.items() if given.get(name) != value}
        return [shell_argument(f"agent.actor.{section}.{name}={_spell(value)}") for name, value in changed.items()]

    def base(self) -> tuple[Path, str]:
        """Directory and fingerprint of the GR00T that it is over.

        Raises:
            Gr00tCheckpointError: There is none.
        """
        options, spec = Gr00tOptions(**self.actor.get("gr00t", {})), TaskSpec(**self.spec)
        return options.directory(spec), options.fingerprint(spec)

    def make(self, device: str) -> Actor:
        """Load GR00T and make the actor over it.

        Raises:
            ValueError: A field is not known or does not fit; :class:`Gr00tCheckpointError` for the checkpoint.
        """
        actor_class: Any = resolve_callable(self.class_name)
        spec = TaskSpec(**self.spec)
        cfg = dict(self.actor)
        gr00t_cfg, freezing_cfg = dict(cfg.pop("gr00t", {})), dict(cfg.pop("freezing", {}))
        chunk_length = cfg.pop("chunk_length", None)
        if "distribution_cfg" not in actor_class.SECTIONS:
            check_fields("agent.actor.distribution_cfg", cfg.pop("distribution_cfg", {}), ())
        sections = {name: dict(cfg.pop(name)) for name in actor_class.SECTIONS if name in cfg}
        for name, fields, options in (("gr00t", gr00t_cfg, Gr00tOptions), ("freezing", freezing_cfg, FreezingOptions)):
            check_fields(f"agent.actor.{name}", fields, [field.name for field in dataclasses.fields(options)])
        for name, fields in sections.items():
            check_fields(f"agent.actor.{name}", fields, actor_class.SECTIONS[name])
        known = ("gr00t", "freezing", "chunk_length", *actor_class.SECTIONS, *actor_class.FIELDS)
        check_fields("agent.actor", cfg, known)
        encoder = Gr00tEncoder.load(
            spec,
            Gr00tOptions(**gr00t_cfg),
            device,
            FreezingOptions(**freezing_cfg),
            reads_head=actor_class.reads_head,
        )
        horizon = encoder.action_horizon
        chunk_length = horizon if chunk_length is None else chunk_length
        if not 1 <= chunk_length <= horizon:
            raise ValueError(
                f"`agent.actor.chunk_length` is {chunk_length}; the checkpoint predicts {horizon} steps, so it must lie"
                f" in 1..{horizon}, or be null for all of them."
            )
        return actor_class(encoder, chunk_length, **sections, **cfg).to(device)


class Gr00tActorCritic:
    """Builds actor and critic over one :class:`~gr00t_rl_ext.policy.encoder.Gr00tEncoder`.

    Args:
        spec: The task.
        obs: An observation with all groups that actor and critic read.
        obs_groups: Observation groups by set, with ``actor`` and ``critic`` (``agent.obs_groups``).
        actor_cfg: Fields of ``agent.actor`` without ``class_name``.
        critic_cfg: Fields of ``agent.critic`` without ``class_name``; None: there is no critic.
        device: Where the networks live.
        actor_class: Class of the actor.
        critic_class: Class of the critic.

    Raises:
        ValueError: If a field is not known or a value does not fit; :class:`Gr00tCheckpointError` for the checkpoint.
    """

    over_gr00t = True
    """Whether the policy looks through cameras, by a GR00T that may train as well."""

    def __init__(
        self,
        spec: TaskSpec,
        obs: TensorDict,
        obs_groups: Mapping[str, Sequence[str]],
        actor_cfg: Mapping[str, Any],
        critic_cfg: Mapping[str, Any] | None,
        device: str,
        actor_class: type[Actor] = Gr00tGaussianActor,
        critic_class: type[Gr00tCritic] = Gr00tCritic,
    ) -> None:
        self.recipe = ActorRecipe.of(actor_class, spec, actor_cfg)
        self.actor = self.recipe.make(device)
        self.encoder = cast(Gr00tEncoder, self.actor.encoder)
        self.chunk_length = self.actor.chunk_length
        self.critic = build_critic(critic_class, self.encoder, obs, obs_groups, self.chunk_length, critic_cfg, device)

    def describe(self) -> str:
        """One paragraph on what was built, for the log."""
        encoder = self.encoder
        total = sum(p.numel() for p in encoder.model.parameters())
        tokens, width = encoder.feature_shape
        return (
            f"GR00T {encoder.model.version} from {encoder.model.config.source}\n"
            f"  {total / 1e6:.1f} M parameters, {str(encoder.dtype).removeprefix('torch.')} where frozen; features"
            f" {tokens} x {width} per decision\n"
            f"  {encoder.freezing.describe()}\n"
            f"  trains beside it: {describe_networks(self.actor, self.critic)}\n"
            f"  decides {self.chunk_length} control steps x {encoder.spec.action_dim} actions from"
            f" {encoder.spec.num_cameras} camera(s) and {encoder.spec.state_dim} state dimensions\n"
            f"  instruction: {encoder.spec.instruction!r}"
        )


def build_critic(
    critic_class: type[Gr00tCritic],
    encoder: Encoder,
    obs: TensorDict,
    obs_groups: Mapping[str, Sequence[str]],
    chunk_length: int,
    critic_cfg: Mapping[str, Any] | None,
    device: str,
) -> Gr00tCritic | None:
    """The critic of a config: ``agent.critic`` without ``class_name``. None for None.

    Raises:
        ValueError: A field is not known or does not fit.
    """
    if critic_cfg is None:
        return None
    settings = dict(critic_cfg)
    if settings.pop("distribution_cfg", None) is not None:
        raise ValueError("`agent.critic.distribution_cfg` is set, but a critic has no output distribution.")
    fields = ("hidden_dims", "activation", "obs_normalization", "obs_clip", "values", "orthogonal_init", "detach")
    check_fields("agent.critic", settings, fields)
    return critic_class(encoder, obs, obs_groups["critic"], chunk_length=chunk_length, **settings).to(device)


def describe_networks(actor: nn.Module, critic: nn.Module | None) -> str:
    """Numbers of parameters, for the log."""
    networks = {"actor": actor, "critic": critic}
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items() if net is not None}
    text = ", ".join(f"{name} {size / 1e6:.2f} M" for name, size in sizes.items())
    return text if critic is not None else f"{text}, no critic"


def shell_argument(text: str) -> str:
    """An argument as one types it in a shell: lists of names have single quotes inside, so double ones around."""
    plain = not set('"$`\\!').intersection(text)
    return f'"{text}"' if "'" in text and plain else shlex.quote(text)


def _spell(value: Any) -> str:
    """A value as the command line spells it."""
    if isinstance(value, (list, tuple)):
        return repr([dict(item) if isinstance(item, Mapping) else item for item in value]).replace(" ", "")
    return "null" if value is None else str(value)


def check_fields(where: str, given: Iterable[str], known: Collection[str]) -> None:
    """Reject config fields that nothing reads.

    Raises:
        ValueError: Naming the unknown fields and those that exist.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        fields = f"Its fields are: {', '.join(sorted(known))}" if known else "It is empty for this class"
        raise ValueError(f"`{where}` has no field {', '.join(map(repr, unknown))}. {fields}.")
