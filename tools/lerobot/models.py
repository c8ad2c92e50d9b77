# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Backbone features, VL features, sampled actions and loss, on checkpoints of several sizes and a trained one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.dit import ATTENTION_IMPLEMENTATIONS

from .table import Row, largest_difference

STAGES = ("features", "vl_features", "actions", "loss")
"""Backbone features, those after layer norm and VL self-attention, sampled actions, flow-matching loss."""

SIZES: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "deep": {
        "vision_layers": 6,
        "vision_heads": 4,
        "deepstack": (1, 3, 4),
        "text_layers": 6,
        "text_width": 96,
        "text_heads": 6,
        "text_kv_heads": 3,
        "vl_layers": 2,
        "vl_heads": 3,
        "dit_layers": 8,
        "dit_heads": 6,
        "dit_head_dim": 16,
        "horizon": 16,
        "max_state_dim": 24,
        "max_action_dim": 20,
    },
    "text in every third": {
        "vision_layers": 2,
        "vision_heads": 1,
        "deepstack": (1,),
        "text_layers": 3,
        "text_heads": 8,
        "text_kv_heads": 1,
        "vl_heads": 2,
        "dit_layers": 12,
        "dit_heads": 2,
        "dit_head_dim": 32,
        "attend_text_every_n_blocks": 3,
        "num_inference_timesteps": 7,
    },
    "text only": {"deepstack": (), "attend_text_every_n_blocks": 1, "dit_layers": 6, "image_size": 320},
    "levels as layers": {"deepstack": (0, 1, 3), "text_layers": 3, "dit_layers": 5},
}
"""Name -> shape of a tiny N1.7. The last has as many DeepStack levels as kept layers."""

BATCH = 3


@dataclass(frozen=True)
class ModelCase:
    """One checkpoint with one set of inputs."""

    name: str
    """For the table."""

    checkpoint: Path
    """What LeRobot loads."""

    load: Callable[[str], Gr00tModel]
    """Our model in float32, for an attention implementation."""

    cameras: int
    """Images per sample."""

    seed: int
    """Of the inputs and of the noise."""

    def job(self, folder: Path) -> dict[str, Any]:
        """Write the inputs; returns what ``reference`` is to do."""
        model = self.load("sdpa")
        folder.mkdir()
        inputs = folder / "inputs.safetensors"
        save_file(random_inputs(model, self.cameras, self.seed), inputs)
        return {
            "checkpoint": str(self.checkpoint),
            "slot": model.embodiment_slot,
            "seed": self.seed,
            "inputs": str(inputs),
            "outputs": {name: str(folder / f"{name}.safetensors") for name in ATTENTION_IMPLEMENTATIONS},
        }

    def rows(self, job: Mapping[str, Any]) -> list[Row]:
        """Differences of a job that was done, a row per attention implementation of both sides."""
        inputs, rows = load_file(job["inputs"]), []
        for implementation, file in job["outputs"].items():
            reference = load_file(file)
            ours = compute(self.load(implementation), inputs, reference)
            differences = {stage: largest_difference(stage, ours[stage], reference[stage]) for stage in STAGES}
            cameras = f"{self.cameras} camera" + "s" * (self.cameras > 1)
            rows.append(Row(f"{self.name}, {cameras}, {implementation}", differences))
        return rows


def checkpoint_cases(checkpoint: Path, **options: Any) -> list[ModelCase]:
    """A checkpoint with one and with two cameras; ``options`` go to :func:`load_gr00t`."""
    return [ModelCase(checkpoint.name, checkpoint, _loader(checkpoint, **options), n, seed=n) for n in (1, 2)]


def tiny_cases(directory: Path, sizes: Sequence[str] = tuple(SIZES), seeds: Sequence[int] = (0, 1)) -> list[ModelCase]:
    """Fresh random checkpoints in ``directory``: each size with each seed, with one and two cameras in turn."""
    cases = []
    for size in sizes:
        for seed in seeds:
            path = directory / f"{size}-{seed}".replace(" ", "-")
            build_tiny_checkpoint(path, version="N1.7", seed=seed, **SIZES[size])
            cases.append(ModelCase(size, path, _loader(path), 1 + len(cases) % 2, seed))
    return cases


def trained_case(base: ModelCase, directory: Path) -> ModelCase:
    """The model of ``base`` with other weights, and the checkpoint that it is saved as.

    LeRobot loads that checkpoint; ours is the model in memory, so that a weight that is not saved, or saved in the
    wrong place, is a difference.
    """

    def load(implementation: str) -> Gr00tModel:
        return change_weights(base.load(implementation), base.seed)

    load("eager").save_pretrained(directory)
    return dataclasses.replace(base, name=f"{base.name} trained and saved", checkpoint=directory, load=load)


def _loader(checkpoint: Path, **options: Any) -> Callable[[str], Gr00tModel]:
    return lambda implementation: load_gr00t(
        checkpoint, dtype=torch.float32, attn_implementation=implementation, **options
    )


@torch.no_grad()
def change_weights(model: Gr00tModel, seed: int) -> Gr00tModel:
    """Move, by a fifth of their spread, the weights of the action head and of the language model's last layer."""
    generator = torch.Generator().manual_seed(seed)
    names = [name for name, _ in model.named_parameters()]
    last = max(int(name.split(".")[3]) for name in names if name.startswith("backbone.language_model.layers."))
    for name, parameter in model.named_parameters():
        if name.startswith(("action_head.", f"backbone.language_model.layers.{last}.")):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.2 * parameter.std() * noise)
    return model


def random_inputs(model: Gr00tModel, cameras: int, seed: int) -> dict[str, Tensor]:
    """Inputs of a batch, for LeRobot's model and for ours.

    Returns:
        ``images`` uint8 (B, cameras, S, S, 3) of the model's image size; ``input_ids`` and ``attention_mask`` (B, T)
        with text before, between and after the images, the first prompt shorter and padded on the left as LeRobot
        pads; ``state`` (B, 1, max_state_dim); ``action`` and ``action_mask`` (B, H, max_action_dim), the mask 0 for the
        last action and the last dimension.
    """
    generator = torch.Generator().manual_seed(seed)
    backbone, size = model.backbone, model.backbone.image_size
    image = torch.full((BATCH, backbone.tokens_per_image), backbone.image_token_index)

    def text(length: int) -> Tensor:
        # the first tokens of a vocabulary are ordinary ones
        return torch.randint(0, 200, (BATCH, length), generator=generator)

    ids = torch.cat([text(3), *[part for _ in range(cameras) for part in (image, text(2))], text(9)], dim=1)
    attention_mask = torch.ones_like(ids)
    attention_mask[0, :2] = 0
    chunk = (BATCH, model.action_horizon, model.max_action_dim)
    action_mask = torch.ones(chunk)
    action_mask[:, -1] = action_mask[:, :, -1] = 0
    return {
        "images": torch.randint(0, 256, (BATCH, cameras, size, size, 3), dtype=torch.uint8, generator=generator),
        "input_ids": ids,
        "attention_mask": attention_mask,
        "state": torch.randn(BATCH, 1, model.max_state_dim, generator=generator),
        "action": torch.randn(chunk, generator=generator),
        "action_mask": action_mask,
    }


@torch.no_grad()
def compute(model: Gr00tModel, inputs: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our outputs of the stages, with the noise and the times that the reference has drawn."""
    images = inputs["images"].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    features = model.encode(
        pixel_values=model.backbone.normalize_images(images),
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
    )
    context = model.condition(features)
    return {
        "features": features.tokens,
        "vl_features": context.tokens,
        "actions": model.sample(context, inputs["state"], reference["noise"]),
        "loss": model.flow_matching_loss(
            context,
            inputs["state"],
            inputs["action"],
            inputs["action_mask"],
            reference["loss_noise"],
            reference["loss_time"],
        ),
    }
