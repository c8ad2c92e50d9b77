# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Random checkpoints of GR00T in the published layout and depth, with the published widths scaled down.

Benchmarks need models that are larger than the tiny one, and nothing here can download the published ones. With
``sixteenths = 16`` the result has the published shapes.

    ./isaaclab.sh -p benchmarks/scaled_checkpoint.py --like TINY --out CHECKPOINT      # 5.4 GB, one minute

writes one that training accepts: N1.5 with the statistics and the tokenizer of ``TINY``, a checkpoint that acts in the
same task, such as the one that ``train.py`` makes where none is given, and names: "GR00T N1.5 from TINY".
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from gr00t_rl_ext.gr00t import GR00T_VERSIONS, Gr00tCheckpointError
from gr00t_rl_ext.gr00t.backbone_eagle import EAGLE_CONFIG_FILE, PUBLISHED_EAGLE_CONFIG
from gr00t_rl_ext.gr00t.backbone_eagle3 import PUBLISHED_EAGLE3_CONFIG
from gr00t_rl_ext.gr00t.backbone_qwen3vl import BACKBONE_CONFIG_FILE, PUBLISHED_QWEN3VL_CONFIG
from gr00t_rl_ext.gr00t.checkpoint import CONFIG_FILE, INDEX_FILE, SINGLE_FILE
from gr00t_rl_ext.gr00t.embodiment import METADATA_FILE
from gr00t_rl_ext.gr00t.inputs import load_tokenizer
from gr00t_rl_ext.gr00t.model import meta_gr00t
from gr00t_rl_ext.gr00t.tiny.build import TINY_SHAPES

VERSIONS = tuple(GR00T_VERSIONS)
LLM_HEAD_DIM = 64
"""Below the published width: half the published one, so that any number of sixteenths gives whole heads of keys."""


def write_scaled_checkpoint(
    directory: Path, version: str, sixteenths: int, dtype: torch.dtype = torch.float32, num_shards: int = 1
) -> int:
    """Write a checkpoint whose widths are ``sixteenths / 16`` of the published ones.

    Args:
        directory: Where to; it must exist.
        version: Entry of :data:`VERSIONS`.
        sixteenths: 1 to 16.
        dtype: Of the stored tensors.
        num_shards: Weight files. One: a single file without an index.

    Returns:
        Bytes of all weight files.
    """
    files = scaled_configs(version, sixteenths)
    write_configs(directory, files)
    shapes = tensor_shapes(directory, version)
    keys = sorted(shapes)
    per_shard = math.ceil(len(keys) / num_shards)
    weight_map = {}
    generator = torch.Generator().manual_seed(0)
    for shard in range(num_shards):
        part = keys[shard * per_shard : (shard + 1) * per_shard]
        name = SINGLE_FILE if num_shards == 1 else f"model-{shard + 1:05d}-of-{num_shards:05d}.safetensors"
        tensors = {key: _random(key, shapes[key], generator).to(dtype) for key in part}
        save_file(tensors, directory / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    if num_shards > 1:
        (directory / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return sum(file.stat().st_size for file in directory.glob("*.safetensors"))


def add_embodiment(directory: Path, statistics: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a random checkpoint of N1.5 the statistics and the tokenizer of another one, so that it acts in its task."""
    (directory / METADATA_FILE).parent.mkdir(exist_ok=True)
    shutil.copy(statistics, directory / METADATA_FILE)
    tokenizer.save_pretrained(directory)
    file = directory / EAGLE_CONFIG_FILE
    # a smaller vocabulary than the published one numbers the tokens otherwise
    name = GR00T_VERSIONS["N1.5"].backbone.IMAGE_TOKEN
    image_token = {"image_token_index": tokenizer.convert_tokens_to_ids(name)}
    file.write_text(json.dumps(json.loads(file.read_text()) | image_token, indent=1))


def sixteenths_for(version: str, num_parameters: float) -> int:
    """The scale whose checkpoint has about ``num_parameters`` stored values."""
    published = {"N1.5": 2_724_163_520, "N1.6": 2_960_729_840, "N1.7": 3_144_016_000}[version]
    return max(1, min(16, round(16 * math.sqrt(num_parameters / published))))


def scaled_configs(version: str, sixteenths: int) -> dict[str, dict[str, Any]]:
    """The configs by file name."""
    return {"N1.5": _n1_5_configs, "N1.6": _n1_6_configs, "N1.7": _n1_7_configs}[version](sixteenths)


def write_configs(directory: Path, files: Mapping[str, Any]) -> None:
    """Write configs, by file name, to a directory."""
    for name, content in files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(json.dumps(content, indent=1))


def tensor_shapes(directory: Path, version: str) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that belongs to the configs in a directory."""
    model = meta_gr00t(directory)
    own = {entry.key: entry.shape for entry in model.checkpoint_entries().values()}
    return own | TINY_SHAPES[version]().unused_shapes(model.backbone)


def _random(key: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights that keep activations near unit variance."""
    noise = torch.randn(shape, generator=generator)
    if key.endswith(("bias", ".b")):
        return noise.mul_(0.02)
    if len(shape) == 1:
        return noise.mul_(0.02).add_(1.0)
    if "embed_tokens" in key:
        return noise
    if any(name in key for name in ("position_embedding", "pos_embed", "future_tokens")):
        return noise.mul_(0.1)
    fan_in = shape[1] if key.endswith(".W") else math.prod(shape[1:])
    return noise.mul_(1 / math.sqrt(fan_in))


def _head(sixteenths: int, dit_layers: int, **fields: Any) -> dict[str, Any]:
    """The part of the action head's config that the versions share."""
    width = 128 * sixteenths
    return {
        "add_pos_embed": True,
        "backbone_embedding_dim": width,
        "diffusion_model_cfg": {
            "attention_head_dim": 48,
            "cross_attention_dim": width,
            "interleave_self_attention": True,
            "norm_type": "ada_norm",
            "num_attention_heads": 2 * sixteenths,
            "num_layers": dit_layers,
            "output_dim": 64 * sixteenths,
            "positional_embeddings": None,
        },
        "hidden_size": 64 * sixteenths,
        "input_embedding_dim": 96 * sixteenths,
        "num_inference_timesteps": 4,
        "num_timestep_buckets": 1000,
        "use_vlln": True,
        "vl_self_attention_cfg": {
            "attention_head_dim": 64,
            "num_attention_heads": 2 * sixteenths,
            "num_layers": 4,
            "positional_embeddings": None,
        },
        **fields,
    }


def _llm(published: Mapping[str, Any], sixteenths: int) -> dict[str, Any]:
    if sixteenths == 16:
        return dict(published)
    return {
        **published,
        "head_dim": LLM_HEAD_DIM,
        "hidden_size": 128 * sixteenths,
        "intermediate_size": 384 * sixteenths,
        "num_attention_heads": 2 * sixteenths,
        "num_key_value_heads": sixteenths,
        "vocab_size": published["vocab_size"] * sixteenths // 16,
    }


def _eagle(published: Mapping[str, Any], sixteenths: int) -> dict[str, Any]:
    vision = {
        "hidden_size": 72 * sixteenths,
        "intermediate_size": 269 * sixteenths,
        "num_attention_heads": sixteenths,
    }
    return {
        **published,
        "image_token_index": 1,
        "text_config": _llm(published["text_config"], sixteenths),
        "vision_config": {**published["vision_config"], **vision},
    }


def _n1_5_configs(sixteenths: int) -> dict[str, dict[str, Any]]:
    config = {
        "architectures": ["GR00T_N1_5"],
        "model_type": "gr00t_n1_5",
        "backbone_cfg": {"select_layer": 12, "project_to_dim": None, "reproject_vision": False},
        "action_head_cfg": _head(
            sixteenths, 16, action_dim=32, action_horizon=16, max_state_dim=64, num_target_vision_tokens=32
        ),
    }
    return {CONFIG_FILE: config, EAGLE_CONFIG_FILE: _eagle(PUBLISHED_EAGLE_CONFIG, sixteenths)}


def _n1_6_configs(sixteenths: int) -> dict[str, dict[str, Any]]:
    head = _head(sixteenths, 32, action_horizon=50, max_action_dim=128, max_state_dim=128)
    del head["vl_self_attention_cfg"]
    config = {"architectures": ["Gr00tN1d6"], "model_type": "Gr00tN1d6", **head}
    return {CONFIG_FILE: config, EAGLE_CONFIG_FILE: _eagle(PUBLISHED_EAGLE3_CONFIG, sixteenths)}


def _n1_7_configs(sixteenths: int) -> dict[str, dict[str, Any]]:
    published = PUBLISHED_QWEN3VL_CONFIG
    text = _llm(published["text_config"], sixteenths)
    sections = [size * text["head_dim"] // 128 for size in text["rope_parameters"]["mrope_section"]]
    text["rope_parameters"] = {**text["rope_parameters"], "mrope_section": sections}
    vision = {
        "hidden_size": 64 * sixteenths,
        "intermediate_size": 256 * sixteenths,
        "num_heads": sixteenths,
        "out_hidden_size": 128 * sixteenths,
    }
    backbone = {
        **published,
        "image_token_id": 1,
        "text_config": text,
        "vision_config": {**published["vision_config"], **vision},
    }
    config = {
        "architectures": ["Gr00tN1d7"],
        "model_type": "Gr00tN1d7",
        "attend_text_every_n_blocks": 2,
        "formalize_language": True,
        "image_crop_size": [256, 256],
        "image_target_size": [256, 256],
        "select_layer": 16,
        "use_albumentations_transforms": True,
        "use_alternate_vl_dit": True,
        **_head(sixteenths, 32, action_horizon=40, max_action_dim=132, max_state_dim=132, max_num_embodiments=32),
    }
    return {CONFIG_FILE: config, BACKBONE_CONFIG_FILE: backbone}


def main() -> None:
    """Write a checkpoint of N1.5 that training accepts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--like", type=Path, required=True, help="Checkpoint whose statistics and tokenizer it gets.")
    parser.add_argument("--out", type=Path, required=True, help="Directory to write; it must not exist.")
    parser.add_argument("--sixteenths", type=int, default=16, help="Widths, in 16ths of the published ones.")
    args = parser.parse_args()
    if not (args.like / METADATA_FILE).is_file():
        parser.error(f"--like {str(args.like)!r} has no {METADATA_FILE}; expected a checkpoint of N1.5.")
    if args.out.exists():
        parser.error(f"--out {str(args.out)!r} exists already. Give another directory.")
    if not 1 <= args.sixteenths <= 16:
        parser.error(f"--sixteenths is {args.sixteenths}; expected 1 to 16.")
    try:
        # before gigabytes are written
        tokenizer = load_tokenizer(args.like)
    except Gr00tCheckpointError as error:
        parser.error(f"--like: {error}")
    args.out.mkdir(parents=True)
    size = write_scaled_checkpoint(args.out, "N1.5", args.sixteenths, torch.bfloat16, num_shards=2)
    add_embodiment(args.out, args.like / METADATA_FILE, tokenizer)
    print(f"{size / 1e9:.2f} GB in {args.out}")


if __name__ == "__main__":
    main()
