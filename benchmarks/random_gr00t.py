# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GR00T models with random weights, of the published shape or smaller, made without a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from scaled_checkpoint import scaled_configs, write_configs

from gr00t_rl_ext.gr00t import Gr00tModel
from gr00t_rl_ext.gr00t.backbone_eagle import EAGLE_CONFIG_FILE
from gr00t_rl_ext.gr00t.backbone_qwen3vl import BACKBONE_CONFIG_FILE
from gr00t_rl_ext.gr00t.checkpoint import CONFIG_FILE
from gr00t_rl_ext.gr00t.model import meta_gr00t


def random_gr00t(
    version: str,
    *,
    sixteenths: int = 16,
    depth: float = 1.0,
    image_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Gr00tModel:
    """A frozen model in eval mode, like one that :func:`~gr00t_rl_ext.gr00t.load_gr00t` loaded.

    On fake tensors it takes no memory, at any size.

    Args:
        version: "N1.5", "N1.6" or "N1.7".
        sixteenths: Its widths are ``sixteenths / 16`` of the published ones.
        depth: Its layers are this share of the published ones, at least 1 each.
        image_size: Side of N1.5's image in pixels. None: the published one.
        dtype: Of the parameters.
        device: Where it lives.
    """
    files = scaled_configs(version, sixteenths)
    {"N1.5": _reshape_n1_5, "N1.6": _reshape_n1_6, "N1.7": _reshape_n1_7}[version](files, depth, image_size)
    with tempfile.TemporaryDirectory() as directory:
        write_configs(Path(directory), files)
        model = meta_gr00t(Path(directory))
    model.to(dtype).to_empty(device=device)
    model.backbone.materialize_buffers(torch.device(device))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.02)
    return model.requires_grad_(False).eval()


def _scale(section: dict[str, Any], field: str, depth: float) -> None:
    section[field] = max(1, round(section[field] * depth))


def _reshape_head(head: dict[str, Any], depth: float) -> None:
    _scale(head["diffusion_model_cfg"], "num_layers", depth)
    if "vl_self_attention_cfg" in head:
        _scale(head["vl_self_attention_cfg"], "num_layers", depth)


def _reshape_n1_5(files: dict[str, Any], depth: float, image_size: int | None) -> None:
    config, vision = files[CONFIG_FILE], files[EAGLE_CONFIG_FILE]["vision_config"]
    _reshape_head(config["action_head_cfg"], depth)
    _scale(config["backbone_cfg"], "select_layer", depth)
    _scale(vision, "num_hidden_layers", depth)
    vision["image_size"] = image_size or vision["image_size"]


def _reshape_n1_6(files: dict[str, Any], depth: float, image_size: int | None) -> None:
    if image_size is not None:
        raise ValueError(f"image_size is {image_size}; GR00T N1.6's images have the published size here: pass None")
    config = files[CONFIG_FILE]
    config["select_layer"] = 16
    _reshape_head(config, depth)
    _scale(config, "select_layer", depth)
    _scale(files[EAGLE_CONFIG_FILE]["vision_config"], "num_hidden_layers", depth)


def _reshape_n1_7(files: dict[str, Any], depth: float, image_size: int | None) -> None:
    if image_size is not None:
        raise ValueError(f"image_size is {image_size}; GR00T N1.7's images have the published size here: pass None")
    config, vision = files[CONFIG_FILE], files[BACKBONE_CONFIG_FILE]["vision_config"]
    _reshape_head(config, depth)
    _scale(config, "select_layer", depth)
    _scale(vision, "depth", depth)
    levels = vision["deepstack_visual_indexes"]
    vision["deepstack_visual_indexes"] = [index for index in levels if index < vision["depth"]]
