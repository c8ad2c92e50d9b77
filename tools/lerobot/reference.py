# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Runs LeRobot's GR00T N1.7, unmodified, and writes what it computes. A script for the interpreter of ``environment``.

    python reference.py JOBS.json

``JOBS.json`` holds two lists. The files that they name are safetensors; ``cases`` says what the inputs are:

- ``models``: ``{"checkpoint": directory, "inputs": file, "outputs": {"eager": file, "sdpa": file}, "slot": int, "seed":
  int}``, for :func:`compute`;
- ``observations``: ``{"checkpoint": directory, "inputs": file, "outputs": file, "embodiment_tag": str, "instruction":
  str}``, for :func:`observe`.

No function of LeRobot is replaced. Its class knows the dims of the published backbone only, but takes them from the
directory ``model_name`` where that is another, and a field of config.json can be given at loading. Its noise is that of
torch's global generator, so that it is known by drawing it twice. Its processor wants to fetch tokenizer and image
processor from the hub; they are put in their place.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BatchFeature,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessor,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from lerobot.policies.groot.configuration_groot import GrootConfig  # pyright: ignore[reportMissingImports]
from lerobot.policies.groot.groot_n1_7 import GR00TN17  # pyright: ignore[reportMissingImports]
from lerobot.policies.groot.processor_groot import (  # pyright: ignore[reportMissingImports]
    GrootN17VLMEncodeStep,
    make_groot_pre_post_processors,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "gr00t_oracle"))
import qwen3_vl

VERSIONS = ("lerobot", "transformers", "diffusers", "torch", "numpy")


def load(checkpoint: Path) -> GR00TN17:
    """LeRobot's model in float32 and in eval mode."""
    backbone = checkpoint / "backbone"
    dims = {"model_name": str(backbone)} if (backbone / "config.json").is_file() else {}
    model = GR00TN17.from_pretrained(
        str(checkpoint),
        dtype=torch.float32,
        load_bf16=False,
        use_flash_attention=False,
        local_files_only=True,
        **dims,
    )
    return model.float().eval()


@torch.no_grad()
def compute(model: GR00TN17, inputs: dict[str, Tensor], slot: int, seed: int) -> dict[str, Tensor]:
    """Outputs of the stages, and the noise and times that were drawn on the way."""
    batch = inputs["input_ids"].shape[0]
    images = inputs["images"].flatten(0, 1).permute(0, 3, 1, 2)
    backbone_inputs, action_inputs = model.prepare_input(
        {name: inputs[name] for name in ("input_ids", "attention_mask", "state", "action", "action_mask")}
        | dict(Qwen2VLImageProcessor(**qwen3_vl.IMAGE_PROCESSOR)(images=list(images), return_tensors="pt"))
        | {"embodiment_id": torch.full((batch,), slot)}
    )
    encoded = model.backbone(backbone_inputs)
    features = encoded["backbone_features"].clone()

    torch.manual_seed(seed)
    noise = torch.randn(inputs["action"].shape)
    torch.manual_seed(seed)
    # an `action` among the inputs would ask for a continuation of that chunk; the head also replaces features in place
    observation = BatchFeature({name: action_inputs[name] for name in ("state", "embodiment_id")})
    sampled = model.action_head.get_action(BatchFeature(dict(encoded)), observation)

    torch.manual_seed(seed)
    loss_noise = torch.randn(inputs["action"].shape)
    loss_time = model.action_head.sample_time(batch, torch.device("cpu"), torch.float32)
    torch.manual_seed(seed)
    loss = model.action_head(BatchFeature(dict(encoded)), action_inputs)["loss"]
    return {
        "features": features,
        "vl_features": sampled["backbone_features"],
        "actions": sampled["action_pred"],
        "loss": loss,
        "noise": noise,
        "loss_noise": loss_noise,
        "loss_time": loss_time,
    }


def observe(checkpoint: Path, inputs: dict[str, Tensor], embodiment_tag: str, instruction: str) -> dict[str, Tensor]:
    """What LeRobot's processors make of an observation and of normalised actions."""
    widths = json.loads((checkpoint / "config.json").read_text())
    config = GrootConfig(
        base_model_path=str(checkpoint),
        embodiment_tag=embodiment_tag,
        device="cpu",
        **{name: widths[name] for name in ("max_state_dim", "max_action_dim")},
    )
    before, after = make_groot_pre_post_processors(config)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint, padding_side="left")
    (step,) = (step for step in before.steps if isinstance(step, GrootN17VLMEncodeStep))
    step._proc = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(**qwen3_vl.IMAGE_PROCESSOR),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=tokenizer.chat_template or qwen3_vl.CHAT_TEMPLATE,
    )
    cameras = {name: images for name, images in inputs.items() if name.startswith("observation.images.")}
    observation = {name: images.permute(0, 3, 1, 2) for name, images in cameras.items()}
    out = before(observation | {"observation.state": inputs["state"], "task": [instruction] * inputs["state"].shape[0]})
    names = ("pixel_values", "input_ids", "state", "embodiment_id")
    return {name: out[name] for name in names} | {"raw_actions": after(inputs["actions"])}


def main(file: Path) -> None:
    """Do the jobs and print the versions, as JSON, in the last line."""
    jobs = json.loads(file.read_text())
    for job in jobs["models"]:
        model, inputs = load(Path(job["checkpoint"])), load_file(job["inputs"])
        for implementation, outputs in job["outputs"].items():
            # of the backbone; the head always attends with the fused kernel
            model.backbone.model.set_attn_implementation(implementation)
            save(compute(model, inputs, job["slot"], job["seed"]), outputs)
    for job in jobs["observations"]:
        inputs = load_file(job["inputs"])
        save(observe(Path(job["checkpoint"]), inputs, job["embodiment_tag"], job["instruction"]), job["outputs"])
    print(json.dumps({name: metadata.version(name) for name in VERSIONS}))


def save(tensors: dict[str, Tensor], file: str) -> None:
    """Write a file of outputs."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
