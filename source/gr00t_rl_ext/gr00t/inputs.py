# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a simulator's observation to the model's inputs, as tensors on the model's device throughout."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from .checkpoint import Gr00tCheckpointError
from .data_config import DataConfig
from .embodiment import Embodiment, load_embodiment
from .images import ImageTransform
from .model import Gr00tModel
from .prompts import template_difference
from .versions import GR00T_VERSIONS

TOKENIZER_FILES = ("tokenizer.json", "vocab.json")
"""Either of them marks a directory that holds a tokenizer."""


MAX_PROMPTS = 1000
"""Tokenized instructions that are kept: a policy server may be told any number of them."""


def load_tokenizer(
    checkpoint: str | Path, tokenizer: str | Path | PreTrainedTokenizerBase | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint.

    Args:
        checkpoint: Directory of the checkpoint.
        tokenizer: Directory, hub id, or a loaded tokenizer; None: the one in the checkpoint's directory.

    Raises:
        Gr00tCheckpointError: There is no tokenizer at that place.
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return tokenizer
    fix = (
        "Pass tokenizer= with a directory or hub id; "
        + ", ".join(f"GR00T {name} uses {v.backbone.PUBLISHED_TOKENIZER!r}" for name, v in GR00T_VERSIONS.items())
        + ". Without a network, copy its files into the checkpoint's directory"
    )
    if tokenizer is None:
        tokenizer = Path(checkpoint)
        if not any((tokenizer / name).is_file() for name in TOKENIZER_FILES):
            raise Gr00tCheckpointError(
                f"{str(checkpoint)!r} holds no tokenizer ({' or '.join(TOKENIZER_FILES)}), and none was given. {fix}"
            )
    try:
        if (Path(tokenizer) / "tokenizer.json").is_file():
            # not AutoTokenizer: it may look for a class in the checkpoint's config.json, which transformers can't read
            return PreTrainedTokenizerFast.from_pretrained(tokenizer)
        # foreign code is never run, nor is the user asked whether it may: the tokens are the same without
        return AutoTokenizer.from_pretrained(tokenizer, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise Gr00tCheckpointError(
            f"no tokenizer can be loaded from {str(tokenizer)!r} ({type(error).__name__}). {fix}"
        ) from error


def check_fit(model: Gr00tModel, embodiment: Embodiment, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that tokenizer, statistics and model belong together. The model may be on the meta device.

    Raises:
        Gr00tCheckpointError: They do not.
    """
    config = embodiment.data_config
    for vector, name in ((embodiment.state, "max_state_dim"), (embodiment.action, "max_action_dim")):
        for limit, whose in ((getattr(model, name), ""), (getattr(config, name, vector.dim), "the data config's ")):
            if vector.dim > limit:
                raise Gr00tCheckpointError(
                    f"{vector.dim} dimensions exceed {whose}{name} = {limit}: {vector.describe()}"
                )
    horizon = embodiment.action_horizon
    if horizon is not None and horizon > model.action_horizon:
        raise Gr00tCheckpointError(
            f"the statistics of {embodiment.tag!r} describe {horizon} actions per chunk, the model gives "
            f"{model.action_horizon}: they do not belong together"
        )
    size = model.backbone.image_recipe.size
    if config is not None and config.resize not in (None, size):
        raise Gr00tCheckpointError(
            f"the data config resizes images to {config.resize[0]} x {config.resize[1]}, the model takes "
            f"{size[0]} x {size[1]}: they do not belong together"
        )
    check_tokenizer(model, tokenizer)


def check_tokenizer(model: Gr00tModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that a tokenizer has the model's vocabulary, as far as the token of images tells.

    Raises:
        Gr00tCheckpointError: It has not.
    """
    backbone = model.backbone
    image_token = tokenizer.convert_tokens_to_ids(backbone.IMAGE_TOKEN)
    if image_token != backbone.image_token_index:
        raise Gr00tCheckpointError(
            f"the tokenizer maps {backbone.IMAGE_TOKEN} to {image_token}, the checkpoint to "
            f"{backbone.image_token_index}: they do not belong together. GR00T {model.version} uses "
            f"{backbone.PUBLISHED_TOKENIZER!r}"
        )


class Gr00tInputs:
    """Turns images, instructions and raw states into the model's inputs.

    Args:
        model: The model, already on its device, for image size, prompt template, widths and that device.
        embodiment: Statistics of the robot.
        tokenizer: From :func:`load_tokenizer`.
        num_cameras: Images per observation, in a fixed order.
        crop_scale: Side of the centre crop relative to the image, in (0, 1]. Must be what the checkpoint was fine-tuned
            with. None: as its data config (N1.5) or its processor's file says.
        instruction_format: How the instruction enters the prompt. Checkpoints fine-tuned through LeRobot have seen it
            as ``"['{instruction}']"``.

    Raises:
        Gr00tCheckpointError: Tokenizer, statistics and model do not belong together.
    """

    def __init__(
        self,
        model: Gr00tModel,
        embodiment: Embodiment,
        tokenizer: PreTrainedTokenizerBase,
        *,
        num_cameras: int = 1,
        crop_scale: float | None = None,
        instruction_format: str = "{instruction}",
    ) -> None:
        if num_cameras < 1:
            raise ValueError(f"num_cameras is {num_cameras}; expected at least 1")
        if crop_scale is not None and not 0 < crop_scale <= 1:
            raise ValueError(f"crop_scale is {crop_scale}; expected a value in (0, 1], or None for no crop")
        if "{instruction}" not in instruction_format:
            raise ValueError(f"instruction_format is {instruction_format!r}; it must contain '{{instruction}}'")
        if embodiment.slot != model.embodiment_slot:
            raise Gr00tCheckpointError(
                f"the model holds embodiment slot {model.embodiment_slot}, the statistics are of {embodiment.tag!r} "
                f"with slot {embodiment.slot}; load the model with embodiment_slot={embodiment.slot}, or the "
                f"embodiment with slot={model.embodiment_slot}"
            )
        check_fit(model, embodiment, tokenizer)
        if (difference := template_difference(tokenizer, model.version)) is not None:
            print(difference)
        backbone = model.backbone
        self.backbone = backbone
        self.device = model.device
        self.embodiment = embodiment.to(self.device)
        self.tokenizer = tokenizer
        self.max_state_dim = model.max_state_dim
        self.max_action_dim = model.max_action_dim
        self.action_horizon = model.action_horizon
        self.num_cameras = num_cameras
        recipe, config = backbone.image_recipe, embodiment.data_config
        if config is not None:
            recipe = dataclasses.replace(recipe, crop_scale=config.crop_scale)
        if crop_scale is not None:
            recipe = dataclasses.replace(recipe, crop_scale=crop_scale, crop_pixels=None)
        self.images = ImageTransform(recipe)
        self.unknown_fields = model.config.unknown_fields
        self.instruction_format = instruction_format
        self._prompts: dict[str, Tensor] = {}

    @classmethod
    def from_checkpoint(
        cls,
        model: Gr00tModel,
        embodiment_tag: str,
        *,
        tokenizer: str | Path | PreTrainedTokenizerBase | None = None,
        data_config: str | DataConfig | None = None,
        **options: Any,
    ) -> Gr00tInputs:
        """Inputs for ``model``, with statistics and tokenizer from the checkpoint it was loaded from.

        The embodiment's slot is the model's; ``data_config`` as in :func:`load_embodiment`. ``options`` go to the
        constructor.
        """
        source, slot = model.config.source, model.embodiment_slot
        embodiment = load_embodiment(source, embodiment_tag, slot=slot, data_config=data_config, device=model.device)
        return cls(model, embodiment, load_tokenizer(source, tokenizer), **options)

    def __call__(
        self, images: Tensor | Sequence[Tensor], instruction: str | Sequence[str], state: Tensor
    ) -> dict[str, Tensor]:
        """All inputs of one batch: ``pixel_values``, ``input_ids``, ``attention_mask`` and ``state``."""
        pixel_values = self.pixel_values(images)
        input_ids, attention_mask = self.prompt(instruction, pixel_values.shape[0] // self.num_cameras)
        return {
            "pixel_values": pixel_values,
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "state": self.state(state),
        }

    def pixel_values(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Pixel values (B x cameras, 3, image_size, image_size), float32, for either version.

        Args:
            images: uint8, (B, cameras, H, W, 3), or (B, H, W, 3) for one camera, or one (B, H, W, 3) per camera, which
                may differ in size.
        """
        if isinstance(images, Tensor):
            if images.ndim == 4 and self.num_cameras == 1:
                images = images[:, None]
            if images.ndim != 5 or images.shape[1] != self.num_cameras:
                raise ValueError(
                    f"images have shape {tuple(images.shape)}; expected (B, {self.num_cameras}, H, W, 3), or a "
                    "sequence of one (B, H, W, 3) per camera"
                )
            cameras = [images.flatten(0, 1)]
        else:
            if len(images) != self.num_cameras:
                raise ValueError(f"got images of {len(images)} cameras; expected num_cameras = {self.num_cameras}")
            cameras = list(images)
        views = [self._view(camera) for camera in cameras]
        if len(views) == 1:
            return views[0]
        return torch.stack(views, dim=1).flatten(0, 1)

    def _view(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> (N, 3, image_size, image_size)."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                f"images have dtype {images.dtype} and shape {tuple(images.shape)}; expected uint8 (N, H, W, 3): "
                "colour without alpha, 0 to 255"
            )
        return self.backbone.normalize_images(self.images(images.to(self.device)))

    def prompt(self, instruction: str | Sequence[str], batch_size: int) -> tuple[Tensor, Tensor]:
        """Prompt ids and attention mask, both (B, S), the mask all ones.

        Args:
            instruction: One for all samples, or one per sample. Prompts must have one length, because GR00T's head
                attends to padding; :meth:`prompts` is for those that have not.
            batch_size: B.
        """
        if isinstance(instruction, str):
            ids = self._prompt_ids(instruction).expand(batch_size, -1)
        else:
            if len(instruction) != batch_size:
                raise ValueError(f"got {len(instruction)} instructions for a batch of {batch_size}")
            rows = [self._prompt_ids(text) for text in instruction]
            lengths = {text: row.shape[0] for text, row in zip(instruction, rows, strict=True)}
            if len(set(lengths.values())) > 1:
                raise ValueError(
                    "the instructions of one batch must give prompts of one length, because GR00T's action head "
                    f"attends to padding; got {lengths}. Encode them with prompts() and Gr00tModel.encode_prompts(), "
                    "or reword them"
                )
            ids = torch.stack(rows)
        return ids, torch.ones_like(ids)

    def prompts(self, instructions: Sequence[str]) -> list[Tensor]:
        """Prompt ids (S_i,) of one instruction per sample, of any lengths, for :meth:`Gr00tModel.encode_prompts`."""
        return [self._prompt_ids(text) for text in instructions]

    def prompt_length(self, instruction: str) -> int:
        """Number S of tokens in the prompt of an instruction."""
        return self._prompt_ids(instruction).shape[0]

    def _prompt_ids(self, instruction: str) -> Tensor:
        if instruction not in self._prompts:
            text = self.backbone.prompt(self.instruction_format.format(instruction=instruction), self.num_cameras)
            ids = torch.tensor(self.tokenizer(text, add_special_tokens=False)["input_ids"], device=self.device)
            if int(ids.max()) >= self.backbone.vocab_size:
                raise Gr00tCheckpointError(
                    f"the tokenizer gives token {int(ids.max())} for {instruction!r}; the checkpoint's embedding has "
                    f"{self.backbone.vocab_size} rows: they do not belong together"
                )
            if len(self._prompts) == MAX_PROMPTS:
                self._prompts.clear()
            self._prompts[instruction] = ids
        return self._prompts[instruction]

    def state(self, raw: Tensor) -> Tensor:
        """Raw state (B, D) -> normalised and zero-padded (B, 1, max_state_dim)."""
        return self.embodiment.encode_state(raw.to(self.device), self.max_state_dim)

    def action(self, raw: Tensor, raw_state: Tensor | None = None) -> Tensor:
        """Raw actions (B, H, D) -> normalised and zero-padded (B, H, max_action_dim).

        ``raw_state`` (B, D_state) is needed where actions are relative to it; see :class:`Embodiment`.
        """
        state = None if raw_state is None else raw_state.to(self.device)
        return self.embodiment.encode_action(raw.to(self.device), self.max_action_dim, state)

    def action_mask(self, batch_size: int) -> Tensor:
        """(B, H, max_action_dim), 1 for the robot's actions, 0 for padding."""
        mask = torch.zeros(self.action_horizon, self.max_action_dim, device=self.device)
        mask[: self.embodiment.action_horizon, : self.embodiment.action.dim] = 1
        return mask.expand(batch_size, -1, -1)

    def decode_action(self, normalized: Tensor, raw_state: Tensor | None = None) -> Tensor:
        """Normalised actions (B, H, max_action_dim) -> raw (B, H', D), where H' of the H steps were trained.

        ``raw_state`` as in :meth:`action`.
        """
        state = None if raw_state is None else raw_state.to(self.device)
        return self.embodiment.decode_action(normalized, state)
