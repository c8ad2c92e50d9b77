# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options of freezing and the schedule of progressive unfreezing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

_WHERE = "agent.actor.freezing"

PARTS: Mapping[str, str] = {
    "projector": "encoders of state and actions, decoder of actions, position and future tokens",
    "dit": "the diffusion transformer",
    "vl_self_attention": "layer norm and self-attention over the backbone's features",
    "dit_lora": "low-rank adapters on the diffusion transformer",
    "language_lora": "low-rank adapters on the last `language_layers` layers of the language model",
    "language": "the last `language_layers` layers of the language model and its final norm",
    "full": "everything that the policy reads, the vision model included",
}
"""Parts of a GR00T that can be trained, beside the policy's own networks, which always are."""

HEAD_PARTS = ("projector", "dit", "vl_self_attention", "dit_lora")
"""Parts of the action head."""

_CONTAINS: Mapping[str, tuple[str, ...]] = {
    "dit_lora": ("dit", "full"),
    "language_lora": ("language", "full"),
}
"""Adapters -> the parts with the weights that they stand beside."""

_DIT_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
_LANGUAGE_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

MIN_EPISODES = 20
"""Episodes that a success rate must be measured on before it opens a stage."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Stage:
    """A step of progressive unfreezing."""

    train: tuple[str, ...]
    """Parts of :data:`PARTS` that begin to train. Earlier ones go on training."""

    learning_rate: float | None = None
    """Learning rate of these parts. None: the actor's."""

    at_iteration: int | None = None
    """Iteration before which the stage opens, counted from 0."""

    at_success_rate: float | None = None
    """Success rate of the latest episodes, in (0, 1], at which the stage opens. With ``at_iteration``: whichever comes
    first."""

    def is_due(self, iteration: int, success_rate: float | None) -> bool:
        """Whether the stage opens after so many iterations at a success rate, None where that is not known."""
        if self.at_iteration is not None and iteration >= self.at_iteration:
            return True
        return self.at_success_rate is not None and success_rate is not None and success_rate >= self.at_success_rate


@dataclass
class FreezingOptions:
    """What of GR00T trains beside the policy's own networks (``agent.actor.freezing``)."""

    train: list[str] = field(default_factory=list)
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

    lora_dit_targets: list[str] = field(default_factory=lambda: list(_DIT_TARGETS))
    """Linear layers of the diffusion transformer that get an adapter."""

    lora_language_targets: list[str] = field(default_factory=lambda: list(_LANGUAGE_TARGETS))
    """Linear layers of the language model that get an adapter."""

    schedule: list[dict] = field(default_factory=list)
    """Progressive unfreezing: stages ``{train: [parts], at_iteration: n, at_success_rate: r, learning_rate: x}``, which
    open one after the other at the iteration or at the success rate, whichever comes first."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of keeping them: less memory, about a third more time."""

    def stages(self, reads_head: bool) -> list[Stage]:
        """What trains from the start, and the schedule.

        Args:
            reads_head: Whether the actor acts through GR00T's action head.

        Raises:
            ValueError: An option or a stage has an impossible value, or the schedule goes backwards.
        """
        if self.lora_rank < 1 or self.lora_alpha <= 0:
            raise ValueError(
                f"`{_WHERE}.lora_rank` is {self.lora_rank} and `lora_alpha` {self.lora_alpha}; expected a rank of at"
                " least 1 and a positive alpha."
            )
        if self.language_layers < 0:
            raise ValueError(f"`{_WHERE}.language_layers` is {self.language_layers}; expected 0 or more.")
        stages = [Stage(tuple(self.train), self.learning_rate)]
        _check_learning_rate("learning_rate", self.learning_rate)
        for index, fields in enumerate(self.schedule):
            stages.append(_read_stage(f"schedule[{index}]", fields, stages))
        seen: list[str] = []
        for index, stage in enumerate(stages):
            where = "train" if index == 0 else f"schedule[{index - 1}].train"
            for part in stage.train:
                self._check_part(f"{_WHERE}.{where}", part, seen, reads_head)
                seen.append(part)
        return stages

    def _check_part(self, where: str, part: str, seen: Sequence[str], reads_head: bool) -> None:
        trainable = [name for name in PARTS if reads_head or name not in HEAD_PARTS]
        if part not in PARTS:
            raise ValueError(f"`{where}` names {part!r}; there are the parts {', '.join(trainable)}.")
        if part not in trainable:
            raise ValueError(
                f"`{where}` names {part!r} ({PARTS[part]}), but this actor reads the backbone's features only, so that"
                f" it would not learn. This actor can train {', '.join(trainable)}."
            )
        if part in seen or ("full" in seen and not part.endswith("_lora")):
            raise ValueError(
                f"`{where}` names {part!r}, which trains already: a schedule goes forwards, and what has begun to train"
                " goes on."
            )
        clash = [p for p in seen if p in _CONTAINS.get(part, ()) or part in _CONTAINS.get(p, ())]
        if clash:
            raise ValueError(
                f"`{where}` names {part!r}, but {clash[0]!r} trains too: adapters and the weights beside them do not"
                " train together. Choose one of them."
            )
        if part.startswith("language") and self.language_layers == 0:
            raise ValueError(
                f"`{where}` names {part!r}, but `{_WHERE}.language_layers` is 0: set it to the number of layers to"
                " train, counted from the last."
            )


def _check_learning_rate(where: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"`{_WHERE}.{where}` is {value}; expected a positive number, or null.")


def _read_stage(where: str, fields: Mapping[str, Any], before: Sequence[Stage]) -> Stage:
    full = f"{_WHERE}.{where}"
    try:
        stage = TypeAdapter(Stage).validate_python(dict(fields))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(
            f"`{full}` is {dict(fields)}, which does not fit ({wrong}). Expected `train`, a list of parts, and"
            " `at_iteration` or `at_success_rate`; `learning_rate` may be set."
        ) from error
    if not stage.train:
        raise ValueError(f"`{full}.train` is empty; expected parts to train, of {', '.join(PARTS)}.")
    _check_learning_rate(f"{where}.learning_rate", stage.learning_rate)
    if stage.at_iteration is None and stage.at_success_rate is None:
        raise ValueError(f"`{full}` never opens: set `at_iteration` or `at_success_rate`.")
    if stage.at_success_rate is not None and not 0 < stage.at_success_rate <= 1:
        raise ValueError(f"`{full}.at_success_rate` is {stage.at_success_rate}; expected a rate in (0, 1].")
    for name in ("at_iteration", "at_success_rate"):
        value = getattr(stage, name)
        latest = max((rate for earlier in before if (rate := getattr(earlier, name)) is not None), default=0)
        if value is not None and value <= latest:
            raise ValueError(
                f"`{full}.{name}` is {value}, which is not after the stage before it ({latest}): a schedule goes"
                " forwards."
            )
    return stage
