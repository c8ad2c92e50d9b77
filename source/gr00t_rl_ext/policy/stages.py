# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options of freezing and the schedule of progressive unfreezing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIN_EPISODES = 20
"""Episodes that a success rate must be measured on before it opens a stage."""


@dataclass(frozen=True)
class Stage:
    """A step of progressive unfreezing."""

    train: tuple[str, ...]
    """Parts of :data:`~gr00t_rl_ext.policy.freezing.PARTS` that begin to train. Earlier ones go on training."""

    learning_rate: float | None = None
    """Learning rate of these parts. None: the actor's."""

    at_iteration: int | None = None
    """Iteration before which the stage opens, counted from 0."""

    at_success_rate: float | None = None
    """Success rate of the latest episodes, in (0, 1], at which the stage opens. With ``at_iteration``: whichever comes
    first."""


@dataclass(frozen=True)
class FreezingOptions:
    """The fields of ``agent.actor.freezing``; :class:`~.configs.Gr00tFreezingCfg` documents them."""

    train: Sequence[str] = ()
    learning_rate: float | None = None
    language_layers: int = 0
    lora_rank: int = 16
    lora_alpha: float = 32.0
    lora_dit_targets: Sequence[str] = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2")
    lora_language_targets: Sequence[str] = (
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    )
    schedule: Sequence[Mapping[str, Any]] = ()
    gradient_checkpointing: bool = False

    def stages(self) -> list[Stage]:
        """What trains from the start, and the schedule.

        Raises:
            ValueError: A stage has unknown fields or values, or the schedule goes backwards.
        """
        stages = [Stage(tuple(self.train), self.learning_rate)]
        _check_learning_rate("learning_rate", self.learning_rate)
        for index, fields in enumerate(self.schedule):
            stages.append(_read_stage(f"schedule[{index}]", fields, stages))
        return stages


def _check_learning_rate(where: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"`agent.actor.freezing.{where}` is {value}; expected a positive number, or null.")


def _read_stage(where: str, fields: Mapping[str, Any], before: Sequence[Stage]) -> Stage:
    full = f"agent.actor.freezing.{where}"
    known = tuple(Stage.__dataclass_fields__)
    unknown = [name for name in fields if name not in known]
    if unknown or not fields.get("train"):
        raise ValueError(
            f"`{full}` has the fields {', '.join(fields) or 'none'}; expected `train`, a list of parts, and"
            " `at_iteration` or `at_success_rate`; `learning_rate` may be set."
        )
    stage = Stage(**{**fields, "train": tuple(fields["train"])})
    _check_learning_rate(f"{where}.learning_rate", stage.learning_rate)
    if stage.at_iteration is None and stage.at_success_rate is None:
        raise ValueError(f"`{full}` never opens: set `at_iteration` or `at_success_rate`.")
    if stage.at_success_rate is not None and not 0 < stage.at_success_rate <= 1:
        raise ValueError(f"`{full}.at_success_rate` is {stage.at_success_rate}; expected a rate in (0, 1].")
    for name, latest in (
        ("at_iteration", max((s.at_iteration for s in before if s.at_iteration is not None), default=0)),
        ("at_success_rate", max((s.at_success_rate for s in before if s.at_success_rate is not None), default=0.0)),
    ):
        value = getattr(stage, name)
        if value is not None and value <= latest:
            raise ValueError(
                f"`{full}.{name}` is {value}, which is not after the stage before it ({latest}): a schedule goes"
                " forwards."
            )
    return stage


def is_due(stage: Stage, iteration: int, success_rate: float | None) -> bool:
    """Whether a stage opens after ``iteration`` iterations at a success rate, None where that is not known."""
    if stage.at_iteration is not None and iteration >= stage.at_iteration:
        return True
    return stage.at_success_rate is not None and success_rate is not None and success_rate >= stage.at_success_rate
