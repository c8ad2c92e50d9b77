# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Every field of the published configs is read, checked, or named here as without effect, with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, build_tiny_checkpoint, load_embodiment
from gr00t_rl_ext.gr00t.model import meta_gr00t

IRRELEVANT = {
    "of training": (
        *("tune_llm", "tune_visual", "tune_projector", "tune_diffusion_model", "tune_vlln", "tune_top_llm_layers"),
        *("noise_beta_alpha", "noise_beta_beta", "noise_s", "attn_dropout", "state_dropout_prob"),
        *("state_additive_noise_scale", "random_rotation_angle", "color_jitter_params", "extra_augmentation_config"),
        *("backbone_trainable_params_fp32", "dropout", "final_dropout"),
    ),
    "names of what is known otherwise": (
        *("model_name", "model_revision", "eagle_path", "architectures", "processor_class", "model_type"),
        *("transformers_version", "generator"),
    ),
    "of precision and kernels, which the caller chooses": (
        *("model_dtype", "torch_dtype", "dtype", "compute_dtype", "load_bf16", "use_flash_attention"),
        "attn_implementation",
    ),
    "repeated from elsewhere": (
        # of the head's own section (N1.5), and of the processor's file
        *("action_horizon", "action_dim", "hidden_size", "max_action_horizon", "max_state_dim", "max_action_dim"),
        *("apply_sincos_state_encoding", "use_relative_action", "use_percentiles", "clip_outliers", "output_dim"),
        *("image_crop_size", "image_target_size", "shortest_image_edge", "crop_fraction", "formalize_language"),
        "use_albumentations_transforms",
    ),
    "stored by GR00T and read by nobody": ("use_mean_std", "letter_box_transform", "rtc_ramp_rate", "eagle_collator"),
}
"""Reason -> fields. Those "repeated from elsewhere" count in one place, where their change is seen."""

COUNTS = {
    "N1.5": ("action_head_cfg.action_horizon", "action_head_cfg.hidden_size", "action_head_cfg.action_dim"),
    "N1.6": ("config.action_horizon", "config.hidden_size", "processor.shortest_image_edge", "processor.crop_fraction"),
    "N1.7": (
        "config.action_horizon",
        "config.hidden_size",
        "processor.image_crop_size",
        "processor.formalize_language",
    ),
}
"""Version -> some of those that are repeated, at the place where they count."""


def leaves(content: Any, path: str) -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, dict) and value and name != "modality_configs":
            yield from leaves(value, f"{path}.{name}")
        elif name != "modality_configs":
            yield f"{path}.{name}"


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [v + 2 if isinstance(v, int) else "other" for v in value]
    return "other"


def seen(directory: Path) -> str:
    """What a checkpoint becomes, or the error with which it is refused."""
    try:
        model = meta_gr00t(directory)
        robot = load_embodiment(directory, "new_embodiment")
    except (Gr00tCheckpointError, ValueError, RuntimeError) as error:
        return f"refused: {error}"
    backbone, shapes = model.backbone, {name: tuple(p.shape) for name, p in model.named_parameters()}
    flags = backbone.image_recipe, getattr(backbone, "formalize_language", None), backbone.image_token_index
    vectors = robot.state.describe(), robot.action.describe(), robot.action_horizon, dict(robot.relative)
    return repr((model.config.action_head, flags, vectors, shapes, backbone.prompt("Go!", 1)))


@pytest.fixture(scope="module", params=["N1.5", "N1.6", "N1.7"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, build_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint", version=request.param)


def fields(directory: Path) -> list[str]:
    found = list(leaves(json.loads((directory / "config.json").read_text()), "config"))
    processor = directory / "processor_config.json"
    if processor.is_file():
        found += leaves(json.loads(processor.read_text())["processor_kwargs"], "processor")
    return found


def changed(directory: Path, target: Path, field: str) -> Path:
    """A copy with another value in a field."""
    shutil.copytree(directory, target, ignore=shutil.ignore_patterns("*.safetensors"))
    file, *path = field.split(".")
    place = target / ("config.json" if file == "config" else "processor_config.json")
    content = json.loads(place.read_text())
    part = content if file == "config" else content["processor_kwargs"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = other(part[path[-1]])
    place.write_text(json.dumps(content))
    return target


def test_every_field_is_read_checked_or_without_effect(checkpoint: tuple[str, Path], tmp_path: Path):
    _, directory = checkpoint
    before = seen(directory)
    ignored = {name for names in IRRELEVANT.values() for name in names}
    unread = [
        field
        for number, field in enumerate(fields(directory))
        if field.rpartition(".")[2] not in ignored and seen(changed(directory, tmp_path / str(number), field)) == before
    ]
    assert unread == []


def test_what_is_repeated_counts_where_it_is_read(checkpoint: tuple[str, Path], tmp_path: Path):
    version, directory = checkpoint
    before = seen(directory)
    for number, field in enumerate(COUNTS[version]):
        field = field if field.startswith(("config.", "processor.")) else f"config.{field}"
        assert seen(changed(directory, tmp_path / str(number), field)) != before, field


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"activation_fn": "geglu"},
            "diffusion_model_cfg.activation_fn is 'geglu'; only 'gelu-approximate' is",
        ),
        ({"attention_bias": False}, "diffusion_model_cfg.attention_bias is False; only True is supported"),
        ({"norm_elementwise_affine": True}, "norm_elementwise_affine is True; only False is supported"),
        ({"norm_eps": 1e-6}, "norm_eps is 1e-06; only 1e-05 is supported"),
        ({"positional_embeddings": "sinusoidal"}, "positional_embeddings is 'sinusoidal'; only None is supported"),
        ({"use_rope": True}, "the checkpoint's diffusion_model_cfg has use_rope, which this package does not know"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, changes: dict[str, Any], text: str):
    directory = build_tiny_checkpoint(tmp_path / "tiny", version="N1.6")
    file = directory / "config.json"
    content = json.loads(file.read_text())
    content["diffusion_model_cfg"] |= changes
    file.write_text(json.dumps(content))
    with pytest.raises(Gr00tCheckpointError, match=text):
        meta_gr00t(directory)


def test_positional_embeddings_that_are_not_named_are_gr00ts_default(tmp_path: Path):
    directory = build_tiny_checkpoint(tmp_path / "tiny")
    file = directory / "config.json"
    content = json.loads(file.read_text())
    del content["action_head_cfg"]["vl_self_attention_cfg"]["positional_embeddings"]
    file.write_text(json.dumps(content))
    with pytest.raises(Gr00tCheckpointError, match="vl_self_attention_cfg.positional_embeddings is 'sinusoidal'; only"):
        meta_gr00t(directory)
