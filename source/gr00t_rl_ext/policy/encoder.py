# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The frozen part of the policy: from observations to the backbone's features, once per decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t import (
    Gr00tCheckpointError,
    Gr00tInputs,
    Gr00tModel,
    build_tiny_checkpoint,
    load_gr00t,
)
from gr00t_rl_ext.gr00t.embodiment import statistics_files
from gr00t_rl_ext.policy.task_spec import TaskSpec

TINY = "tiny"
"""Value of ``checkpoint`` that stands for a tiny random GR00T made for the task."""

FEATURES = "features"
"""Key of the features in an encoded observation, which has it instead of the image groups."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Gr00tOptions:
    """How to load GR00T. The fields of ``agent.actor.gr00t``; :class:`~.configs.Gr00tModelCfg` documents them."""

    checkpoint: str = TINY
    tokenizer: str = ""
    embodiment_tag: str = "new_embodiment"
    embodiment_slot: int | None = None
    dtype: str = "auto"
    attn_implementation: str = "sdpa"
    crop_scale: float | None = None

    def torch_dtype(self, device: str) -> torch.dtype:
        """The backbone's data type on a device: bf16 where the hardware gains from it, else fp32.

        Raises:
            ValueError: If ``dtype`` is not known.
        """
        if self.dtype == "auto":
            return torch.bfloat16 if device.startswith("cuda") and torch.cuda.is_bf16_supported() else torch.float32
        if self.dtype not in _DTYPES:
            raise ValueError(f"`gr00t.dtype` is {self.dtype!r}; expected 'auto', {', '.join(map(repr, _DTYPES))}.")
        return _DTYPES[self.dtype]


def tiny_checkpoint(spec: TaskSpec) -> Path:
    """Directory of the tiny random GR00T for a task, built on first use."""
    directory = cache_directory() / "tiny" / spec.digest()
    if not (directory / "config.json").is_file():
        build_tiny_checkpoint(directory, state_keys=spec.state_terms, action_keys=spec.action_terms)
    return directory


class Gr00tEncoder:
    """A frozen GR00T and its inputs.

    It is deliberately no :class:`torch.nn.Module`: the actor and the critic share it, and its weights must reach
    neither their ``state_dict`` nor an optimizer, a checkpoint or the gradient all-reduce.

    Args:
        model: A loaded GR00T. Its parameters must not require gradients.
        inputs: Turns observations into the model's inputs.
        spec: The task.
        fingerprint: Identifies the checkpoint, see :func:`fingerprint`.
    """

    def __init__(self, model: Gr00tModel, inputs: Gr00tInputs, spec: TaskSpec, fingerprint: str) -> None:
        self.model = model.eval()
        self.inputs = inputs
        self.spec = spec
        self.fingerprint = fingerprint
        self.calls = 0
        """Forward passes of the backbone so far."""
        self.check_frozen()

    @classmethod
    def load(cls, spec: TaskSpec, options: Gr00tOptions, device: str) -> Gr00tEncoder:
        """Load the checkpoint that the options name and fit it to the task.

        Raises:
            Gr00tCheckpointError: If the checkpoint cannot be used, or its widths do not fit the task.
        """
        if options.checkpoint == TINY:
            checkpoint = str(tiny_checkpoint(spec))
        else:
            checkpoint = options.checkpoint
        model = load_gr00t(
            checkpoint,
            embodiment_slot=options.embodiment_slot,
            embodiment_tag=options.embodiment_tag,
            dtype=options.torch_dtype(device),
            device=device,
            attn_implementation=options.attn_implementation,
        )
        inputs = Gr00tInputs.from_checkpoint(
            model,
            options.embodiment_tag,
            tokenizer=options.tokenizer or None,
            num_cameras=spec.num_cameras,
            crop_scale=options.crop_scale,
        )
        _check_widths(inputs, spec)
        return cls(model, inputs, spec, fingerprint(Path(model.config.source)))

    @property
    def feature_shape(self) -> tuple[int, int]:
        """Tokens and width of the features of one observation."""
        return self.inputs.prompt_length(self.spec.instruction), self.model.feature_dim

    @property
    def action_horizon(self) -> int:
        """Actions per chunk that the checkpoint was trained to give for this robot."""
        return self.inputs.embodiment.action_horizon or self.model.action_horizon

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the features."""
        return next(self.model.backbone.parameters()).dtype

    @property
    def state_dim(self) -> int:
        """Width of :meth:`state`."""
        return self.inputs.embodiment.state.dim

    @torch.no_grad()
    def encode(self, obs: TensorDict) -> TensorDict:
        """Replace the image groups by the backbone's features.

        Args:
            obs: Observations with the task's image groups, uint8 (num_envs, height, width, 3 * cameras).

        Returns:
            The same observations with :data:`FEATURES` (num_envs, tokens, width) instead of the images.
        """
        images = [obs[group] for group in self.spec.image_groups]
        cameras = [camera for group in images for camera in group.split(3, dim=-1)]
        pixel_values = self.inputs.pixel_values(cameras)
        input_ids, attention_mask = self.inputs.prompt(self.spec.instruction, obs.batch_size[0])
        features = self.model.encode(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask)
        self.calls += 1
        encoded = self._without_images(obs)
        encoded[FEATURES] = features.tokens
        return TensorDict(encoded, batch_size=obs.batch_size)

    def encoded_example(self, obs: TensorDict) -> TensorDict:
        """Zeros of the shape of :meth:`encode`'s result, without running the backbone."""
        encoded = {name: torch.zeros_like(value) for name, value in self._without_images(obs).items()}
        device = next(self.model.parameters()).device
        encoded[FEATURES] = torch.zeros(obs.batch_size[0], *self.feature_shape, dtype=self.dtype, device=device)
        return TensorDict(encoded, batch_size=obs.batch_size)

    def _without_images(self, obs: TensorDict) -> dict[str, Any]:
        return {name: value for name, value in obs.items() if name not in self.spec.image_groups}

    def state(self, obs: TensorDict) -> torch.Tensor:
        """Proprioception, normalised with the checkpoint's statistics. Shape (num_envs, state_dim), fp32."""
        raw = torch.cat([obs[group] for group in self.spec.state_groups], dim=-1).float()
        return self.inputs.embodiment.state.normalize(raw)

    def check_frozen(self) -> None:
        """Raise if the backbone could learn or has learnt.

        Raises:
            RuntimeError: If a parameter requires gradients or has one, or the model is not in eval mode.
        """
        learning = [n for n, p in self.model.named_parameters() if p.requires_grad or p.grad is not None]
        if learning:
            raise RuntimeError(
                f"The GR00T backbone must be frozen, but {len(learning)} of its parameters require or have gradients:"
                f" {', '.join(learning[:3])}."
            )
        if self.model.training:
            raise RuntimeError("The GR00T backbone must be in eval mode: its features are cached.")


def _check_widths(inputs: Gr00tInputs, spec: TaskSpec) -> None:
    embodiment = inputs.embodiment
    for name, vector, terms, limit in (
        ("state", embodiment.state, spec.state_terms, inputs.max_state_dim),
        ("action", embodiment.action, spec.action_terms, inputs.max_action_dim),
    ):
        width = sum(terms.values())
        listed = ", ".join(f"{term} {size}" for term, size in terms.items())
        if width > limit:
            raise Gr00tCheckpointError(
                f"The task's {name} has {width} dimensions ({listed}); the checkpoint takes at most {limit}."
                f" Remove terms from the task's {name}."
            )
        if width != vector.raw_dim:
            raise Gr00tCheckpointError(
                f"The task's {name} has {width} dimensions ({listed}), but the checkpoint's statistics for"
                f" {embodiment.tag!r} describe {vector.raw_dim} ({vector.describe()}). Both must agree in order and"
                f" units: change the task's {name} terms, or choose another `agent.actor.gr00t.embodiment_tag`."
            )


def fingerprint(directory: Path) -> str:
    """Identify a base checkpoint: SHA-256 over config, statistics and each weight file's name, size and a sample of it.

    Reading every byte of a 5 GB checkpoint would take longer than loading it. Two checkpoints of one fine-tuning run
    have the same config, file names and sizes, so the sample must tell them apart. The statistics belong to it because
    the policy sees the state through them.
    """
    digest = hashlib.sha256((directory / "config.json").read_bytes())
    for file in statistics_files(directory):
        digest.update(file.read_bytes())
    for file in sorted(directory.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            for part in range(16):
                stream.seek(size * part // 16)
                digest.update(stream.read(4096))
    return digest.hexdigest()
