# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a tiny checkpoint is to be: the robot it knows and the shape of its model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..backbone import Backbone
from ..checkpoint import CONFIG_FILE, PROCESSOR_FILE
from ..embodiment import STATISTICS_FILE
from ..slots import SLOTS_FILE

VOCAB_SIZE = 512
"""Rows of the token embedding; the tokenizer fits in."""

NUM_SLOTS = 32
"""Embodiment slots, as in the published checkpoints."""


@dataclass(frozen=True)
class TinyRobot:
    """The embodiment that the statistics describe.

    Raises:
        ValueError: ``ranges`` names a key that the robot does not have.
    """

    embodiment_tag: str
    """Its tag."""

    state_keys: Mapping[str, int]
    """State key -> dimensions, in order."""

    action_keys: Mapping[str, int]
    """Action key -> dimensions, in order."""

    ranges: Mapping[str, tuple[float, float]]
    """``"state.<key>"`` or ``"action.<key>"`` -> (min, max) in the statistics; (-1, 1) where not named."""

    video_keys: Sequence[str]
    """Camera names."""

    def __post_init__(self) -> None:
        known = {f"{modality}.{key}" for modality, keys in self.vectors().items() for key in keys}
        if unknown := sorted(set(self.ranges) - known):
            raise ValueError(f"ranges name {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")

    def vectors(self) -> dict[str, Mapping[str, int]]:
        """ "state" and "action" -> key -> dimensions."""
        return {"state": self.state_keys, "action": self.action_keys}

    def statistics(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """ "state" and "action" -> key -> statistics of a uniform distribution over the key's range."""
        return {
            modality: {
                key: _uniform(dim, *self.ranges.get(f"{modality}.{key}", (-1.0, 1.0))) for key, dim in keys.items()
            }
            for modality, keys in self.vectors().items()
        }


def _uniform(dim: int, low: float, high: float) -> dict[str, list[float]]:
    values = {
        "max": high,
        "min": low,
        "mean": (low + high) / 2,
        "std": (high - low) / math.sqrt(12),
        "q01": low + 0.01 * (high - low),
        "q99": low + 0.99 * (high - low),
    }
    return {name: [float(value)] * dim for name, value in values.items()}


@dataclass(frozen=True)
class TinyShape(ABC):
    """Layers and widths of a version's tiny model. A subclass adds those that only its version has."""

    SPECIAL_TOKENS: ClassVar[tuple[str, ...]]
    """Special tokens of the tokenizer."""

    image_size: int
    """Side of the vision model's input in pixels."""

    horizon: int
    """Actions per chunk."""

    max_state_dim: int
    """Padded width of the state."""

    max_action_dim: int
    """Padded width of an action."""

    vision_layers: int
    """Layers of the vision model."""

    vision_heads: int
    """Its attention heads."""

    text_layers: int
    """Layers kept of the language model. It has two more, as the published one has more than are kept."""

    text_width: int = 64
    """Width of the language model and of the features; its MLPs are twice as wide."""

    text_heads: int = 4
    """Its query heads."""

    vl_layers: int = 1
    """Layers of VL self-attention."""

    dit_layers: int = 4
    """Blocks of the diffusion transformer; those that attend to the features and to themselves alternate."""

    dit_heads: int = 4
    """Its attention heads."""

    num_inference_timesteps: int = 4
    """Euler steps at inference."""

    def check(self, robot: TinyRobot) -> None:
        """Raise a ValueError where robot and model do not fit each other."""
        for modality, keys in robot.vectors().items():
            total, limit = sum(keys.values()), getattr(self, f"max_{modality}_dim")
            if not 0 < total <= limit:
                raise ValueError(f"{modality}_keys {dict(keys)} add up to {total}; expected 1 to {limit} dimensions")

    @abstractmethod
    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Name -> content of the checkpoint's JSON files; ``token_ids`` are those of ``SPECIAL_TOKENS``."""

    @abstractmethod
    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        """Published key -> shape of the tensors that a checkpoint holds and no one reads."""

    def check_divisors(self, parts: Mapping[str, str]) -> None:
        """Raise a ValueError where one field does not divide another; ``parts``: the one -> the other."""
        for part, whole in parts.items():
            divisor, number = getattr(self, part), getattr(self, whole)
            if number % divisor:
                raise ValueError(f"{part} is {divisor}; expected a divisor of {whole} = {number}")

    def head_fields(self, width: int) -> dict[str, Any]:
        """Fields of the action head's config that depend on the shape, as far as the versions share them.

        Args:
            width: Of the vision-language features.
        """
        return {
            "action_horizon": self.horizon,
            "backbone_embedding_dim": width,
            "max_action_dim": self.max_action_dim,
            "max_num_embodiments": NUM_SLOTS,
            "max_seq_len": max(64, self.horizon),
            "max_state_dim": self.max_state_dim,
            "num_inference_timesteps": self.num_inference_timesteps,
        }

    def files_with_processor(
        self,
        template: Mapping[str, Any],
        robot: TinyRobot,
        *,
        backbone: Mapping[str, Mapping[str, Any]],
        head: Mapping[str, Any],
        images: Mapping[str, Any],
        slots: Mapping[str, int],
    ) -> dict[str, dict[str, Any]]:
        """Files of a version whose checkpoint brings its processor, N1.6 or N1.7.

        Args:
            template: File name -> content with the default shape.
            robot: The robot that the statistics describe.
            backbone: File name -> fields of the backbone's config that differ.
            head: Fields of ``config.json`` that only this version has, or that the versions do not share.
            images: Fields on images, which ``config.json`` and the processor both have.
            slots: Tag -> slot of the published tags. A tag that is none of them has the last slot.
        """
        options = {
            "max_action_dim": self.max_action_dim,
            "max_action_horizon": self.horizon,
            "max_state_dim": self.max_state_dim,
        }
        changes = {
            CONFIG_FILE: self.head_fields(self.text_width) | dict(images) | dict(head),
            PROCESSOR_FILE: {"processor_kwargs": dict(images) | options},
        }
        files = with_changes(template, changes | dict(backbone))
        modalities = _absolute_modalities(robot, self.horizon)
        files[PROCESSOR_FILE]["processor_kwargs"]["modality_configs"] = {robot.embodiment_tag: modalities}
        return files | {
            STATISTICS_FILE: {robot.embodiment_tag: robot.statistics()},
            SLOTS_FILE: {robot.embodiment_tag: NUM_SLOTS - 1} | dict(slots),
        }


def with_changes(template: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A config with the values of some fields replaced, in sections as well."""
    return dict(template) | {
        name: with_changes(template[name], value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }


def attention_fields(layers: int, heads: int, head_dim: int) -> dict[str, int]:
    """Fields of the config of a stack of the action head."""
    return {"attention_head_dim": head_dim, "num_attention_heads": heads, "num_layers": layers}


def transformer_fields(layers: int, width: int, heads: int) -> dict[str, int]:
    """Fields of the config of a vision or language model, whose MLPs are twice as wide."""
    return {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def _absolute_modalities(robot: TinyRobot, horizon: int) -> dict[str, Any]:
    """What the processor of N1.6 or N1.7 says of a robot whose actions are absolute."""
    absolute = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}
    return {
        "video": {"delta_indices": [0], "modality_keys": list(robot.video_keys), "action_configs": None},
        "state": {"delta_indices": [0], "modality_keys": list(robot.state_keys), "action_configs": None},
        "action": {
            "delta_indices": list(range(horizon)),
            "modality_keys": list(robot.action_keys),
            "action_configs": [absolute] * len(robot.action_keys),
        },
        "language": {
            "delta_indices": [0],
            "modality_keys": ["annotation.human.task_description"],
            "action_configs": None,
        },
    }
