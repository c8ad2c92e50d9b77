# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A tiny random GR00T N1.5 checkpoint in the published layout, for tests, examples and machines without a GPU.

Run ``python -m gr00t_rl_ext.gr00t.tiny OUT``. The result goes through the same loader as the real one: all published
keys (the unused ones included), 32 embodiment slots, shards with an index, statistics, and a tokenizer. About 1.3 M
parameters, 6 MB. What it cannot do is act: its weights are noise.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .action_head import ActionHead, ActionHeadConfig
from .backbone_eagle import EAGLE_CONFIG_FILE, EagleBackbone
from .checkpoint import CONFIG_FILE, INDEX_FILE, new_directory, read_json
from .embodiment import EMBODIMENT_SLOTS, METADATA_FILE
from .model import Gr00tConfig, Gr00tModel

GENERATOR = "gr00t_rl_ext.gr00t.tiny"
"""Marks, in config.json, a checkpoint that this module wrote and may overwrite."""

PATCH_SIZE = 14
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>")
VOCAB_SIZE = 512

_TOKENIZER_TEXT = (
    "system\nYou are a helpful assistant.\nuser\n<image 1><image 2><image 3>\nassistant\n",
    "pick up the red cube and place it on the green cube",
    "lift the cube to the target position",
    "stack the blue block on top of the red block",
    "open the drawer, then close the cabinet door",
    "push the button; reach the goal with the gripper",
    "move the object to the target and insert the peg into the hole",
    "perform the default behavior",
)

DEFAULT_STATE_KEYS: Mapping[str, int] = {"joint_position": 7, "gripper_position": 2}
DEFAULT_ACTION_KEYS: Mapping[str, int] = {"joint_position": 7, "gripper_position": 1}


def build_tiny_checkpoint(
    directory: str | Path,
    *,
    seed: int = 0,
    state_keys: Mapping[str, int] = DEFAULT_STATE_KEYS,
    action_keys: Mapping[str, int] = DEFAULT_ACTION_KEYS,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    video_keys: Sequence[str] = ("image",),
    embodiment_tag: str = "new_embodiment",
    image_size: int = 56,
    horizon: int = 16,
    max_state_dim: int = 64,
    max_action_dim: int = 32,
    num_inference_timesteps: int = 4,
    num_shards: int = 2,
) -> Path:
    """Write a tiny checkpoint; the same arguments give the same bytes.

    Args:
        directory: Where to. It appears complete or not at all. An earlier tiny checkpoint there is replaced.
        seed: Of the weights.
        state_keys: State key -> dimensions, in order.
        action_keys: Action key -> dimensions, in order.
        ranges: ``"state.<key>"`` or ``"action.<key>"`` -> (min, max) in the statistics; (-1, 1) where not named.
        video_keys: Camera names in the statistics.
        embodiment_tag: Tag of the statistics; a published one, so that its slot is known.
        image_size: Side of the vision model's input in pixels, a multiple of 14. Images of any size are resized to it.
        horizon: Actions per chunk.
        max_state_dim: Padded width of the state.
        max_action_dim: Padded width of an action.
        num_inference_timesteps: Euler steps at inference.
        num_shards: Weight files.

    Returns:
        The directory.

    Raises:
        FileExistsError: The directory holds something else than a tiny checkpoint.
        ValueError: An argument does not fit; the message says which.
    """
    if image_size < PATCH_SIZE or image_size % PATCH_SIZE:
        raise ValueError(f"image_size is {image_size}; expected a positive multiple of the patch size {PATCH_SIZE}")
    if embodiment_tag not in EMBODIMENT_SLOTS:
        raise ValueError(f"embodiment_tag is {embodiment_tag!r}; expected one of {', '.join(EMBODIMENT_SLOTS)}")
    for name, keys, limit in (("state", state_keys, max_state_dim), ("action", action_keys, max_action_dim)):
        if not keys or sum(keys.values()) > limit:
            raise ValueError(
                f"{name}_keys {dict(keys)} add up to {sum(keys.values())}; expected 1 to {limit} dimensions"
            )
    ranges = ranges or {}
    known = {f"state.{key}" for key in state_keys} | {f"action.{key}" for key in action_keys}
    if unknown := sorted(set(ranges) - known):
        raise ValueError(f"ranges name {', '.join(unknown)}; expected some of {', '.join(sorted(known))}")

    with new_directory(Path(directory), may_replace=_is_tiny) as target:
        image_token_index = _write_tokenizer(target)
        config = _config(horizon, max_state_dim, max_action_dim, num_inference_timesteps)
        eagle = _eagle_config(image_size, image_token_index)
        metadata = {embodiment_tag: _metadata(embodiment_tag, state_keys, action_keys, ranges, video_keys)}
        _write_json(target / CONFIG_FILE, config)
        _write_json(target / EAGLE_CONFIG_FILE, eagle)
        (target / METADATA_FILE).parent.mkdir()
        _write_json(target / METADATA_FILE, metadata)
        _write_shards(target, _random_tensors(_shapes(config, target), seed), num_shards)
    return Path(directory)


def _is_tiny(directory: Path) -> bool:
    file = directory / CONFIG_FILE
    return file.is_file() and read_json(file).get("generator") == GENERATOR


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(target: Path) -> int:
    """Write a byte-level BPE tokenizer, which knows every text; returns the index of the image token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TOKENIZER_TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    assert len(fast) <= VOCAB_SIZE
    fast.save_pretrained(target)
    return int(fast.convert_tokens_to_ids("<IMG_CONTEXT>"))  # pyright: ignore[reportArgumentType]


def _config(horizon: int, max_state_dim: int, max_action_dim: int, num_steps: int) -> dict[str, Any]:
    width = 64
    return {
        "generator": GENERATOR,
        "action_dim": max_action_dim,
        "action_head_cfg": {
            "action_dim": max_action_dim,
            "action_horizon": horizon,
            "add_pos_embed": True,
            "backbone_embedding_dim": width,
            "diffusion_model_cfg": {
                "attention_head_dim": 16,
                "cross_attention_dim": width,
                "dropout": 0.2,
                "final_dropout": True,
                "interleave_self_attention": True,
                "norm_type": "ada_norm",
                "num_attention_heads": 4,
                "num_layers": 4,
                "output_dim": width,
                "positional_embeddings": None,
            },
            "hidden_size": width,
            "input_embedding_dim": width,
            "max_action_dim": max_action_dim,
            "max_num_embodiments": 32,
            "max_seq_len": max(64, horizon),
            "max_state_dim": max_state_dim,
            "model_dtype": "float32",
            "noise_beta_alpha": 1.5,
            "noise_beta_beta": 1.0,
            "noise_s": 0.999,
            "num_inference_timesteps": num_steps,
            "num_target_vision_tokens": 4,
            "num_timestep_buckets": 1000,
            "tune_diffusion_model": True,
            "tune_projector": True,
            "use_vlln": True,
            "vl_self_attention_cfg": {
                "attention_head_dim": 16,
                "dropout": 0.2,
                "final_dropout": True,
                "num_attention_heads": 4,
                "num_layers": 1,
                "positional_embeddings": None,
            },
        },
        "action_horizon": horizon,
        "architectures": ["GR00T_N1_5"],
        "attn_implementation": None,
        "backbone_cfg": {
            "eagle_path": "NVEagle/eagle_er-qwen3_1_7B-Siglip2_400M_stage1_5_128gpu_er_v7_1mlp_nops",
            "load_bf16": False,
            "project_to_dim": None,
            "reproject_vision": False,
            "select_layer": 2,
            "tune_llm": False,
            "tune_visual": True,
            "use_flash_attention": False,
        },
        "compute_dtype": "float32",
        "hidden_size": width,
        "model_dtype": "float32",
        "model_type": "gr00t_n1_5",
        "torch_dtype": "float32",
        "transformers_version": "4.51.3",
    }


def _eagle_config(image_size: int, image_token_index: int) -> dict[str, Any]:
    return {
        "downsample_ratio": 0.5,
        "force_image_size": image_size,
        "image_token_index": image_token_index,
        "mlp_connector_layers": 1,
        "select_layer": -1,
        "template": "qwen3-chat",
        "use_pixel_shuffle": False,
        "text_config": {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "hidden_size": 64,
            "intermediate_size": 128,
            # more than backbone_cfg.select_layer keeps, as in the published model
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": VOCAB_SIZE,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000,
            "max_position_embeddings": 4096,
            "attention_bias": False,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_channels": 3,
            "image_size": image_size,
            "patch_size": PATCH_SIZE,
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu_pytorch_tanh",
        },
    }


def _metadata(
    tag: str,
    state_keys: Mapping[str, int],
    action_keys: Mapping[str, int],
    ranges: Mapping[str, tuple[float, float]],
    video_keys: Sequence[str],
) -> dict[str, Any]:
    """Statistics of a uniform distribution over each key's range, and the description of the modalities."""
    statistics, modalities = {}, {}
    for modality, keys in (("state", state_keys), ("action", action_keys)):
        statistics[modality], modalities[modality] = {}, {}
        for key, dim in keys.items():
            low, high = ranges.get(f"{modality}.{key}", (-1.0, 1.0))
            values = {
                "max": high,
                "min": low,
                "mean": (low + high) / 2,
                "std": (high - low) / math.sqrt(12),
                "q01": low + 0.01 * (high - low),
                "q99": low + 0.99 * (high - low),
            }
            statistics[modality][key] = {name: [float(value)] * dim for name, value in values.items()}
            modalities[modality][key] = {"absolute": True, "rotation_type": None, "shape": [dim], "continuous": True}
    modalities["video"] = {key: {"resolution": [256, 256], "channels": 3, "fps": 20.0} for key in video_keys}
    return {"statistics": statistics, "modalities": modalities, "embodiment_tag": tag}


def _shapes(config: Mapping[str, Any], directory: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the published layout, the unused ones included."""
    head = ActionHeadConfig.from_checkpoint(config["action_head_cfg"])
    with torch.device("meta"):
        backbone = EagleBackbone.from_checkpoint(config, directory, "eager")
        model = Gr00tModel(Gr00tConfig("N1.5", head, 0, directory, config), backbone, ActionHead(head))
    parameters = dict(model.named_parameters())
    shapes = {}
    for name, entry in model.checkpoint_entries().items():
        shape = tuple(parameters[name].shape)
        shape = shape[::-1] if entry.transpose else shape
        shapes[entry.key] = shape if entry.slot is None else (head.num_slots, *shape)

    vision_head, lm_head = EagleBackbone.UNUSED_PREFIXES
    vision = backbone.vision_model.config
    width, inner = vision.hidden_size, vision.intermediate_size
    unused = {
        "probe": (1, 1, width),
        "attention.in_proj_weight": (3 * width, width),
        "attention.in_proj_bias": (3 * width,),
        "attention.out_proj.weight": (width, width),
        "attention.out_proj.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
        "mlp.fc1.weight": (inner, width),
        "mlp.fc1.bias": (inner,),
        "mlp.fc2.weight": (width, inner),
        "mlp.fc2.bias": (width,),
    }
    shapes |= {vision_head + name: shape for name, shape in unused.items()}
    shapes[lm_head + "weight"] = (backbone.vocab_size, backbone.feature_dim)
    return shapes


def _random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Weights that keep activations near unit variance; drawn by name order, so independent of library versions."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for key in sorted(shapes):
        shape = shapes[key]
        noise = torch.randn(shape, generator=generator)
        if key.endswith(("bias", ".b")):
            tensors[key] = 0.02 * noise
        elif len(shape) == 1:
            tensors[key] = 1 + 0.02 * noise
        elif "embed_tokens" in key:
            tensors[key] = noise
        elif "position_embedding" in key or "future_tokens" in key or key.endswith("probe"):
            tensors[key] = 0.1 * noise
        else:
            fan_in = shape[1] if key.endswith(".W") else math.prod(shape[1:])
            tensors[key] = noise / math.sqrt(fan_in)
    return tensors


def _write_shards(directory: Path, tensors: Mapping[str, Tensor], num_shards: int) -> None:
    keys = sorted(tensors)
    per_shard = math.ceil(len(keys) / num_shards)
    weight_map = {}
    for shard in range(num_shards):
        file = f"model-{shard + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {key: tensors[key] for key in keys[shard * per_shard : (shard + 1) * per_shard]}
        save_file(part, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    _write_json(directory / INDEX_FILE, {"metadata": {"total_size": size}, "weight_map": weight_map})


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gr00t_rl_ext.gr00t.tiny", description="Write a tiny GR00T checkpoint."
    )
    parser.add_argument("directory", metavar="OUT", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default: %(default)s)")
    parser.add_argument(
        "--image-size", type=int, default=56, help="side in pixels, a multiple of 14 (default: %(default)s)"
    )
    parser.add_argument("--horizon", type=int, default=16, help="actions per chunk (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        build_tiny_checkpoint(args.directory, seed=args.seed, image_size=args.image_size, horizon=args.horizon)
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    print(args.directory)


if __name__ == "__main__":
    main()
