# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writes a tiny checkpoint: configs, statistics, tokenizer and weights."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint import CONFIG_FILE, INDEX_FILE, new_directory, read_json
from ..model import meta_gr00t
from .n1_5 import TinyN15
from .n1_6 import TinyN16
from .n1_7 import TinyN17
from .spec import VOCAB_SIZE, TinyRobot, TinyShape

GENERATOR = "gr00t_rl_ext.gr00t.tiny"
"""Marks, in config.json, a checkpoint that this module wrote and may overwrite."""

TINY_SHAPES: Mapping[str, type[TinyShape]] = {"N1.5": TinyN15, "N1.6": TinyN16, "N1.7": TinyN17}
"""Version -> the shapes that its tiny checkpoint may have."""

DEFAULT_STATE_KEYS: Mapping[str, int] = {"joint_position": 7, "gripper_position": 2}
DEFAULT_ACTION_KEYS: Mapping[str, int] = {"joint_position": 7, "gripper_position": 1}

_RESIDUAL_OUTPUTS = (
    *("attn.o_proj.weight", "mlp.down_proj.weight"),  # language models
    *("attn.out_proj.weight", "mlp.fc2.weight", "attn.proj.weight", "mlp.linear_fc2.weight"),  # vision models
    *("attn1.to_out.0.weight", "ff.net.2.weight"),  # action head
)
"""Layers whose output is added to what went in; smaller, so that values do not grow with the number of layers."""

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


def build_tiny_checkpoint(
    directory: str | Path,
    *,
    version: str = "N1.5",
    seed: int = 0,
    state_keys: Mapping[str, int] = DEFAULT_STATE_KEYS,
    action_keys: Mapping[str, int] = DEFAULT_ACTION_KEYS,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    video_keys: Sequence[str] = ("image",),
    embodiment_tag: str = "new_embodiment",
    num_shards: int = 2,
    **shape: Any,
) -> Path:
    """Write a tiny checkpoint; the same arguments give the same bytes.

    Args:
        directory: Where to. It appears complete or not at all. An earlier tiny checkpoint there is replaced.
        version: Key of :data:`TINY_SHAPES`.
        seed: Of the weights.
        state_keys: With ``action_keys``, ``ranges`` and ``video_keys``: of the robot, see :class:`~.spec.TinyRobot`.
        embodiment_tag: Tag of the statistics; with N1.5 a published one, so that its slot is known.
        num_shards: Weight files.
        **shape: Fields of the version's shape, :class:`~.n1_5.TinyN15`, :class:`~.n1_6.TinyN16`
            or :class:`~.n1_7.TinyN17`: ``horizon``,
            ``image_size``, layers and widths.

    Returns:
        The directory.

    Raises:
        FileExistsError: The directory holds something else than a tiny checkpoint.
        ValueError: An argument does not fit; the message says which.
    """
    if version not in TINY_SHAPES:
        raise ValueError(f"version is {version!r}; expected one of {', '.join(TINY_SHAPES)}")
    fields = [field.name for field in dataclasses.fields(TINY_SHAPES[version])]
    if unknown := sorted(set(shape) - set(fields)):
        raise ValueError(f"the shape of a tiny {version} has no {', '.join(unknown)}; it has {', '.join(fields)}")
    model = TINY_SHAPES[version](**shape)
    robot = TinyRobot(embodiment_tag, state_keys, action_keys, ranges or {}, video_keys)
    model.check(robot)

    with new_directory(Path(directory), may_replace=_is_tiny) as target:
        files = model.files(robot, _write_tokenizer(target, model.SPECIAL_TOKENS))
        files[CONFIG_FILE] = {"generator": GENERATOR} | files[CONFIG_FILE]
        for name, content in files.items():
            _write_json(target / name, content)
        meta = meta_gr00t(target)
        shapes = {entry.key: entry.shape for entry in meta.checkpoint_entries().values()}
        shapes |= model.unused_shapes(meta.backbone)
        _write_shards(target, _random_tensors(shapes, seed), num_shards)
    return Path(directory)


def _is_tiny(directory: Path) -> bool:
    file = directory / CONFIG_FILE
    return file.is_file() and read_json(file).get("generator") == GENERATOR


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_tokenizer(target: Path, special_tokens: Sequence[str]) -> dict[str, int]:
    """Write a byte-level BPE tokenizer, which knows every text; returns the indices of the special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TOKENIZER_TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": list(special_tokens)})
    assert len(fast) <= VOCAB_SIZE
    fast.save_pretrained(target)
    return {token: int(fast.convert_tokens_to_ids(token)) for token in special_tokens}  # pyright: ignore[reportArgumentType]


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
            if key.endswith(_RESIDUAL_OUTPUTS):
                tensors[key] *= 0.5
    # the published language models share them, and code that does so would load one over the other
    (embedding,) = (key for key in tensors if key.endswith("embed_tokens.weight"))
    (output,) = (key for key in tensors if key.endswith("lm_head.weight"))
    tensors[output] = tensors[embedding].clone()
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
