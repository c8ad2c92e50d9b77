# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Fields of NVIDIA's config files that this package knows, so that none is passed over in silence.

``config.json`` and ``processor_config.json`` are NVIDIA's, and of a user's training: a field that is in neither list
may be of a newer GR00T. Nobody here can tell what it changes, so it is named in a warning where a run begins. The
backbone's own file is not published. There, a field that would change the network is refused.

Read in NVIDIA/Isaac-GR00T. N1.5: ``gr00t/model/gr00t_n1.py``, ``gr00t/model/action_head``. N1.6 and N1.7:
``gr00t/configs/model``, ``gr00t/model/gr00t_n1d6``, ``gr00t/model/gr00t_n1d7``, ``gr00t/data/types.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from .checkpoint import CONFIG_FILE, PROCESSOR_FILE, Gr00tCheckpointError, processor_directory, read_json

_OF_TRANSFORMERS = (
    *("architectures", "auto_map", "transformers_version", "torch_dtype", "dtype", "model_type", "_name_or_path"),
    *("attn_implementation", "_attn_implementation", "_attn_implementation_autoset", "generator"),
)
"""What transformers, and this package, write into any config."""

_HEAD = (
    *("add_pos_embed", "model_dtype", "diffusion_model_cfg", "vl_self_attention_cfg", "input_embedding_dim"),
    *("backbone_embedding_dim", "hidden_size", "max_seq_len", "action_dim", "action_horizon", "max_action_dim"),
    *("max_state_dim", "noise_beta_alpha", "noise_beta_beta", "noise_s", "num_timestep_buckets"),
    *("num_inference_timesteps", "max_num_embodiments", "tune_projector", "tune_diffusion_model", "use_vlln"),
)
"""Of the action heads of all versions."""

_IMAGES = (
    *("image_crop_size", "image_target_size", "shortest_image_edge", "crop_fraction", "random_rotation_angle"),
    *("color_jitter_params", "formalize_language", "extra_augmentation_config"),
)
_NUMBERS = (
    *("max_state_dim", "max_action_dim", "apply_sincos_state_encoding", "use_relative_action", "use_percentiles"),
    *("exclude_state", "state_dropout_prob", "use_mean_std"),
)
_FLAT = (
    *_HEAD,
    *_IMAGES,
    *_NUMBERS,
    *("model_name", "model_revision", "backbone_model_type", "tune_top_llm_layers", "tune_llm", "tune_visual"),
    *("select_layer", "reproject_vision", "use_flash_attention", "load_bf16", "backbone_trainable_params_fp32"),
    *("use_albumentations_transforms", "attn_dropout", "use_alternate_vl_dit", "attend_text_every_n_blocks"),
    "tune_vlln",
)
"""Of the one flat config of N1.6 and N1.7."""

KNOWN: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "N1.5": {
        "": (
            "backbone_cfg",
            "action_head_cfg",
            "action_horizon",
            "action_dim",
            "compute_dtype",
            "model_dtype",
            "hidden_size",
        ),
        "backbone_cfg": (
            *("eagle_path", "load_bf16", "project_to_dim", "reproject_vision", "select_layer", "tune_llm"),
            *("tune_visual", "use_flash_attention", "model_name"),
        ),
        "action_head_cfg": (
            *_HEAD,
            *("num_target_vision_tokens", "tune_vlln", "expand_batch", "freeze_decode_layer", "detection_coeff"),
            "load_pretrained_det_decode_layer_path",
        ),
    },
    "N1.6": {"": (*_FLAT, "eagle_collator", "collator_overwrite_image_inputs", "state_additive_noise_scale")},
    "N1.7": {"": (*_FLAT, "state_history_length", "rtc_ramp_rate", "use_tactile")},
}
"""Version -> section of config.json, "" for the whole -> its fields."""

PROCESSOR = (
    *_IMAGES,
    *_NUMBERS,
    *("modality_configs", "model_name", "model_type", "use_albumentations", "max_action_horizon", "clip_outliers"),
    *("letter_box_transform", "use_tactile"),
)
"""Fields of ``processor_kwargs``."""

MODALITY = ("delta_indices", "modality_keys", "sin_cos_embedding_keys", "mean_std_embedding_keys", "action_configs")
"""Fields of a modality of an embodiment; N1.7's may have ``exclude_state`` besides."""


def unknown_fields(version: str, directory: Path) -> tuple[str, ...]:
    """Fields of a checkpoint's config.json and processor_config.json that this package does not know, by their path.

    Args:
        version: Key of ``GR00T_VERSIONS``.
        directory: Of the checkpoint.
    """
    return tuple(_unknown(version, directory))


def _unknown(version: str, directory: Path) -> Iterator[str]:
    config = read_json(directory / CONFIG_FILE)
    for section, known in KNOWN[version].items():
        fields = config.get(section) if section else config
        for name in sorted(set(fields if isinstance(fields, dict) else ()) - {*known, *_OF_TRANSFORMERS}):
            yield ".".join(filter(None, (CONFIG_FILE, section, name)))
    file = processor_directory(directory) / PROCESSOR_FILE
    if version == "N1.5" or not file.is_file():
        return
    options = read_json(file).get("processor_kwargs")
    if not isinstance(options, dict):
        return
    for name in sorted(set(options) - set(PROCESSOR)):
        yield f"{PROCESSOR_FILE}.processor_kwargs.{name}"
    robots = options.get("modality_configs")
    for tag, modalities in (robots if isinstance(robots, dict) else {}).items():
        for modality in ("video", "state", "action", "language"):
            fields = modalities.get(modality) if isinstance(modalities, dict) else None
            for name in sorted(set(fields if isinstance(fields, dict) else ()) - {*MODALITY, "exclude_state"}):
                yield f"{PROCESSOR_FILE}.processor_kwargs.modality_configs.{tag}.{modality}.{name}"


WITHOUT_EFFECT = (
    *_OF_TRANSFORMERS,
    # of training
    *("attention_dropout", "initializer_range", "initializer_factor", "use_backbone_lora", "use_llm_lora"),
    *("loss_version", "mlp_checkpoint"),
    # of generating text
    *("use_cache", "bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "template"),
    *("video_token_id", "vision_start_token_id", "vision_end_token_id"),
    # of cutting images into tiles, which GR00T does not
    *("dynamic_image_size", "use_thumbnail", "min_dynamic_tiles", "max_dynamic_tiles", "force_image_size"),
    # of windows, which are refused where they are on
    *("window_size", "full_attention_indexes", "max_window_layers", "sliding_window"),
)
"""Fields of a vision-language model's config that change nothing of what is computed here."""


def check_backbone_fields(place: str, given: Mapping[str, Any], read: Collection[str], built: object = None) -> None:
    """Refuse fields of a backbone's config that are not read and may change the network.

    Args:
        place: Name of the section, for the message.
        given: What it holds.
        read: Fields that are read, or checked elsewhere.
        built: The config that was made of them. A field is fine if it says there what is built anyway.

    Raises:
        Gr00tCheckpointError: It has others, which are neither empty nor False.
    """
    for name, value in given.items():
        if name in read or name in WITHOUT_EFFECT or not value:
            continue
        if built is None or getattr(built, name, None) != value:
            raise Gr00tCheckpointError(
                f"{place} has {name}: {value!r}, which this package does not build; it reads"
                f" {', '.join(sorted(read))}. The network may be another one"
            )
