# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The pair of actor and critic that share one GR00T, and what an actor is made from."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensordict import TensorDict

from gr00t_rl_ext.options import read
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.base_checkpoint import base_directory, base_fingerprint
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.options import CriticOptions, Gr00tOptions
from gr00t_rl_ext.policy.plain import Encoder
from gr00t_rl_ext.robot.task_spec import TaskSpec

POLICIES = {
    "gr00t_rl_ext.policy.gaussian_actor:Gr00tGaussianActor": ("a Gaussian adapter", "gr00t_adapter"),
    "gr00t_rl_ext.policy.categorical_actor:Gr00tCategoricalActor": ("a categorical adapter", "gr00t_categorical"),
    "gr00t_rl_ext.policy.residual_actor:Gr00tResidualActor": ("a residual adapter", "gr00t_residual"),
    "gr00t_rl_ext.policy.steering:Gr00tSteeringActor": ("a steering adapter", "gr00t"),
    "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor": ("GR00T's action head", "gr00t_flow"),
    "gr00t_rl_ext.policy.mlp:MlpActor": ("an MLP", "mlp"),
}
"""Class of an actor -> what it is, in words, and how the names of its agents begin."""


@dataclass(frozen=True)
class ActorDefinition:
    """What an actor is made from: its class, task and settings, as plain values that a checkpoint can hold."""

    class_name: str
    """Class of the actor, ``module:name``."""

    spec: Mapping[str, Any]
    """Fields of :class:`~gr00t_rl_ext.robot.task_spec.TaskSpec`."""

    actor: Mapping[str, Any]
    """Fields of ``agent.actor`` without ``class_name``."""

    @classmethod
    def of(cls, actor_class: type[Actor], spec: TaskSpec, actor_cfg: Mapping[str, Any]) -> ActorDefinition:
        """The definition of an actor of some class for a task."""
        # what a checkpoint does not hold may mean another value than the default
        defaults = {name: getattr(actor_class.OPTIONS, name) for name in actor_class.UNRECORDED}
        return cls(
            class_path(actor_class),
            dataclasses.asdict(spec),
            defaults | copy.deepcopy(dict(actor_cfg)),
        )

    @classmethod
    def recorded(cls, fields: Mapping[str, Any]) -> ActorDefinition:
        """The definition that a checkpoint holds, of this version or an older one.

        Raises:
            ValueError: It names a class that is not known. No module is imported because a file names it.
        """
        definition = cls(**fields)
        actor_class = known_actor(definition.class_name)
        _check_class_names(definition.actor)
        return dataclasses.replace(definition, actor={**actor_class.UNRECORDED, **definition.actor})

    def overrides_for(self, other: Mapping[str, Any], section: str) -> list[str]:
        """Arguments of the command line that give ``agent.actor.<section>`` the values of another definition.

        Args:
            other: Fields of that definition.
            section: ``gr00t`` or ``freezing``.
        """
        wanted, given = other["actor"].get(section, {}), self.actor.get(section, {})
        changed = {name: value for name, value in wanted.items() if given.get(name) != value}
        return [shell_argument(f"agent.actor.{section}.{name}={_spell(value)}") for name, value in changed.items()]

    def with_gr00t(self, **changes: Any) -> ActorDefinition:
        """The same with some fields of ``agent.actor.gr00t`` changed, such as a base checkpoint that moved."""
        gr00t = {**self.actor.get("gr00t", {}), **changes}
        return dataclasses.replace(self, actor={**self.actor, "gr00t": gr00t})

    def base(self) -> tuple[Path, str]:
        """Directory and fingerprint of the GR00T that it is over.

        Raises:
            Gr00tCheckpointError: There is none.
        """
        options, spec = Gr00tOptions(**self.actor.get("gr00t", {})), TaskSpec(**self.spec)
        return base_directory(options, spec), base_fingerprint(options, spec)

    def make(self, device: str, obs: TensorDict | None = None, encoder: Encoder | None = None) -> Actor:
        """Load what the actor is over, and make the actor.

        Args:
            device: Where the networks live.
            obs: An observation; needed for an actor without GR00T.
            encoder: What it is over, where that exists already.

        Raises:
            ValueError: A field is not known or does not fit; :class:`Gr00tCheckpointError` for the checkpoint.
        """
        actor_class: Any = known_actor(self.class_name)
        options = read(actor_class.OPTIONS, self.actor, "agent.actor")
        if encoder is None:
            encoder = actor_class.load_encoder(TaskSpec(**self.spec), options, device, obs)
        return actor_class(encoder, options).to(device)


def known_actor(name: str) -> type[Actor]:
    """The class of an actor that a checkpoint names: one of this package, or one that was imported for another reason,
    such as ``agent.actor.class_name`` of the command line.

    Raises:
        ValueError: It is none of these.
    """
    for own in POLICIES:
        importlib.import_module(own.partition(":")[0])
    # the classes that others derive from are none themselves
    found = {class_path(kind): kind for kind in _subclasses(Actor) if kind.__module__ != Actor.__module__}
    if name not in found:
        raise ValueError(
            f"The checkpoint's policy is of the class {name!r}, which is not known; known are"
            f" {', '.join(sorted(found))}. A class of your own must be imported before, as"
            " `agent.actor.class_name` does it; no file makes this package import one."
        )
    return found[name]


def _subclasses(kind: type[Actor]) -> Iterator[type[Actor]]:
    for derived in kind.__subclasses__():
        yield derived
        yield from _subclasses(derived)


def _check_class_names(fields: Mapping[str, Any]) -> None:
    """Refuse classes of other packages in what a checkpoint records of an actor."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            _check_class_names(value)
        elif name == "class_name" and not re.fullmatch(r"(rsl_rl|gr00t_rl_ext)[.:][\w.:]+|\w+", str(value)):
            raise ValueError(
                f"The checkpoint names the class {value!r}; expected one of rsl_rl or of gr00t_rl_ext, which alone are"
                " imported because a file names them."
            )


def class_path(actor_class: type[Actor]) -> str:
    """Class of an actor as configs and checkpoints name it, ``module:name``."""
    return f"{actor_class.__module__}:{actor_class.__qualname__}"


@dataclass
class Gr00tActorCritic:
    """An actor and, where there is one, a critic over one GR00T, or over what stands in for it."""

    actor: Actor

    critic: Gr00tCritic | None

    definition: ActorDefinition
    """What the actor was made from."""

    @property
    def encoder(self) -> Encoder:
        """What both are over."""
        return self.actor.encoder

    @property
    def chunk_length(self) -> int:
        """Control steps per decision."""
        return self.actor.chunk_length

    @classmethod
    def build(
        cls,
        actor_class: type[Actor],
        spec: TaskSpec,
        obs: TensorDict,
        obs_groups: Mapping[str, Sequence[str]],
        actor_cfg: Mapping[str, Any],
        critic_cfg: Mapping[str, Any] | None,
        device: str,
        critic_class: type[Gr00tCritic] | None = None,
        encoder: Encoder | None = None,
    ) -> Gr00tActorCritic:
        """Build both from an agent's config.

        Args:
            actor_class: Class of the actor.
            spec: The task.
            obs: An observation with all groups that actor and critic read.
            obs_groups: Observation groups by set, with ``actor`` and ``critic`` (``agent.obs_groups``).
            actor_cfg: Fields of ``agent.actor`` without ``class_name``.
            critic_cfg: Fields of ``agent.critic`` without ``class_name``; None: there is no critic.
            device: Where the networks live.
            critic_class: Class of the critic. None: :class:`~.critic.Gr00tCritic`.
            encoder: What both are over, where that exists already; else it is loaded.

        Raises:
            ValueError: A field is not known or does not fit; :class:`Gr00tCheckpointError` for the checkpoint.
        """
        definition = ActorDefinition.of(actor_class, spec, actor_cfg)
        actor = definition.make(device, obs, encoder)
        critic = None
        if critic_cfg is not None:
            options = read(CriticOptions, critic_cfg, "agent.critic")
            critic = (critic_class or Gr00tCritic)(
                actor.encoder, obs, obs_groups["critic"], options, actor.chunk_length
            ).to(device)
        return cls(actor, critic, definition)

    def describe(self) -> str:
        """One paragraph on what was built, for the log."""
        networks = {"actor": self.actor, "critic": self.critic}
        sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in networks.items() if net is not None}
        text = ", ".join(f"{name} {size / 1e6:.2f} M" for name, size in sizes.items())
        return (
            f"{self.encoder.describe()}\n"
            f"  networks that train: {text}{'' if self.critic is not None else ', no critic'}\n"
            f"  decides {self.chunk_length} control steps x {self.encoder.spec.action_dim} actions"
        )


def shell_argument(text: str) -> str:
    """An argument as one types it in a shell: lists of names have single quotes inside, so double ones around."""
    plain = not set('"$`\\!').intersection(text)
    return f'"{text}"' if "'" in text and plain else shlex.quote(text)


def _spell(value: Any) -> str:
    """A value as the command line spells it."""
    if isinstance(value, (list, tuple)):
        return repr([dict(item) if isinstance(item, Mapping) else item for item in value]).replace(" ", "")
    return "null" if value is None else str(value)
