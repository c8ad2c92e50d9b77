# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The tiny reference N1.7 with the files that GR00T's fine-tuning writes beside the weights, and a tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TAG = "my_robot"
SLOT = 2
REFERENCE = Path(__file__).parent / "data" / "gr00t_n1_7_tiny"
SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")


def observing_n1_7(
    directory: Path, state_keys: Mapping[str, int], action_keys: Mapping[str, int], **processor: Any
) -> Path:
    """A copy of the reference checkpoint that can be observed through; ``processor`` goes into ``processor_kwargs``.

    Statistics are [-2, 2] for min and max and [-1, 1] for q01 and q99.
    """
    shutil.copytree(REFERENCE, directory)
    (directory / "ref_io.safetensors").unlink()
    # no merges: every byte is a token, so the vocabulary has 256 tokens and the special ones
    alphabet = {token: index for index, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.add_special_tokens({"additional_special_tokens": list(SPECIAL_TOKENS)})
    fast.save_pretrained(directory)
    file = directory / "backbone" / "config.json"
    image_token = fast.convert_tokens_to_ids("<|image_pad|>")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"image_token_id": image_token}))

    def statistics(keys: Mapping[str, int]) -> dict[str, dict[str, list[float]]]:
        values = {"min": -2.0, "max": 2.0, "mean": 0.0, "std": 0.5, "q01": -1.0, "q99": 1.0}
        return {key: {name: [value] * dim for name, value in values.items()} for key, dim in keys.items()}

    def modality(keys: Mapping[str, int], steps: int) -> dict[str, Any]:
        return {"delta_indices": list(range(steps)), "modality_keys": list(keys), "action_configs": None}

    options: dict[str, Any] = {
        "modality_configs": {
            TAG: {
                "video": {"delta_indices": [0], "modality_keys": ["image"]},
                "state": modality(state_keys, 1),
                "action": modality(action_keys, 5),
            }
        },
        "image_crop_size": [230, 230],
        "image_target_size": [256, 256],
        "shortest_image_edge": None,
        "crop_fraction": None,
        "use_albumentations": True,
        "letter_box_transform": False,
        "formalize_language": True,
        "use_percentiles": True,
        "use_mean_std": False,
        "clip_outliers": True,
        "apply_sincos_state_encoding": False,
        "use_relative_action": False,
    }
    content = {
        # the order of the statistics is not that of the vector
        "statistics.json": {
            TAG: {
                "state": statistics(dict(reversed(state_keys.items()))),
                "action": statistics(dict(reversed(action_keys.items()))),
            }
        },
        "processor_config.json": {"processor_kwargs": options | processor},
        "embodiment_id.json": {TAG: SLOT, "new_embodiment": 3},
    }
    for name, value in content.items():
        (directory / name).write_text(json.dumps(value))
    return directory
