# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The versions of GR00T: how each is recognised and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .backbone import Backbone
from .backbone_eagle import EagleBackbone
from .backbone_eagle3 import Eagle3Backbone
from .backbone_qwen3vl import Qwen3VLBackbone


@dataclass(frozen=True)
class Gr00tVersion:
    """How a version of GR00T is recognised and what it is made of."""

    model_type: str
    """``model_type`` in the checkpoint's config.json."""

    architectures: tuple[str, ...]
    """Accepted entries of ``architectures`` in config.json."""

    backbone: type[Backbone]
    """Vision-language backbone."""

    head_section: str | None
    """Field of config.json that describes the action head; None where its fields stand at the top level."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of config.json -> what GR00T takes where they are missing."""


def _defaults(num_layers: int, **own: Any) -> Mapping[str, Any]:
    """Values of NVIDIA's config class of N1.6 or N1.7, as far as they say what the network computes.

    Args:
        num_layers: Of the diffusion transformer.
        **own: Those of the version.
    """
    return {
        "backbone_embedding_dim": 2048,
        "reproject_vision": False,
        "formalize_language": True,
        "hidden_size": 1024,
        "input_embedding_dim": 1536,
        "add_pos_embed": True,
        "use_vlln": True,
        "max_seq_len": 1024,
        "use_alternate_vl_dit": True,
        "attend_text_every_n_blocks": 2,
        "diffusion_model_cfg": {
            "num_layers": num_layers,
            "num_attention_heads": 32,
            "attention_head_dim": 48,
            "norm_type": "ada_norm",
            "positional_embeddings": None,
            "output_dim": 1024,
            "interleave_self_attention": True,
        },
        "num_inference_timesteps": 4,
        "num_timestep_buckets": 1000,
        "max_num_embodiments": 32,
        **own,
    }


N1_6_DEFAULTS = _defaults(
    32,
    backbone_model_type="eagle",
    select_layer=16,
    shortest_image_edge=256,
    crop_fraction=0.95,
    max_state_dim=29,
    max_action_dim=29,
    action_horizon=16,
)
"""Of ``Gr00tN1d6Config`` in NVIDIA/Isaac-GR00T."""

N1_7_DEFAULTS = _defaults(
    16,
    backbone_model_type="qwen",
    select_layer=12,
    image_crop_size=[230, 230],
    image_target_size=[256, 256],
    max_state_dim=132,
    max_action_dim=132,
    action_horizon=40,
    state_history_length=1,
)
"""Of ``Gr00tN1d7Config``."""

GR00T_VERSIONS: Mapping[str, Gr00tVersion] = {
    "N1.5": Gr00tVersion("gr00t_n1_5", ("GR00T_N1_5", "GR00TN15"), EagleBackbone, "action_head_cfg"),
    "N1.6": Gr00tVersion("Gr00tN1d6", ("Gr00tN1d6",), Eagle3Backbone, None, N1_6_DEFAULTS),
    "N1.7": Gr00tVersion("Gr00tN1d7", ("Gr00tN1d7",), Qwen3VLBackbone, None, N1_7_DEFAULTS),
}
"""Versions that can be loaded. A new one is a row here and a file with its backbone."""
