# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Supervised fine-tuning of GR00T by flow matching."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel
from gr00t_rl_ext.imitation.recipe import SMALL, AugmentedImages, Recipe, Regularization
from gr00t_rl_ext.imitation.sft_options import SftOptions
from gr00t_rl_ext.imitation.training_data import Chunks, TrainingData
from gr00t_rl_ext.policy.freezing import Freezing

EVALUATED_FRAMES = 256
"""Frames of an evaluation, evenly spaced over the episodes."""


@dataclass(frozen=True)
class TimeDistribution:
    """GR00T's distribution of the time of a training sample: t = (s - x) / s with x ~ Beta(alpha, beta), not below 0.

    As :math:`\\pi_0` (Black et al. 2024, arXiv 2410.24164) it prefers times near 0, where there is most noise.
    """

    alpha: float
    beta: float
    s: float

    @classmethod
    def of(cls, model: Gr00tModel) -> TimeDistribution:
        """As the checkpoint says."""
        raw = model.config.raw
        head = raw.get("action_head_cfg", raw)
        return cls(
            float(head.get("noise_beta_alpha", 1.5)),
            float(head.get("noise_beta_beta", 1.0)),
            float(head.get("noise_s", 0.999)),
        )

    def sample(self, rng: np.random.Generator, count: int) -> Tensor:
        """Times (count,) in [0, 1), float32."""
        x = rng.beta(self.alpha, self.beta, count)
        return torch.from_numpy(np.clip((self.s - x) / self.s, 0.0, 1.0 - 1e-6)).float()


class SftTrainer:
    """Trains what a :class:`~gr00t_rl_ext.policy.freezing.Freezing` has opened.

    Random numbers come from a generator of its own on the CPU, so that a run depends on its seed alone and can be
    resumed: frames are drawn uniformly with replacement, noise is standard normal, time as :class:`TimeDistribution`.

    Args:
        freezing: The model and what of it trains.
        train: Frames to train on.
        held_out: Frames to measure on.
        options: How to train.
        recipe: What is done to samples and layers in a step. Evaluations are without.
    """

    def __init__(
        self, freezing: Freezing, train: TrainingData, held_out: TrainingData, options: SftOptions, recipe: Recipe
    ) -> None:
        self.freezing = freezing
        self.model = freezing.model
        self.train = train
        self.held_out = held_out
        self.options = options
        self.times = TimeDistribution.of(self.model)
        self.steps_done = 0
        self._rng = np.random.default_rng(options.seed)
        self._regularization = Regularization(recipe, self.model)
        inputs = train.parts[0].encoder.inputs
        self._images = AugmentedImages(inputs.images.recipe) if recipe.augments else None
        self._parameters = list(freezing.parameters().values())
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=options.learning_rate, betas=(0.95, 0.999), weight_decay=options.weight_decay
        )

    def step(self) -> float:
        """One step of the optimizer; returns its loss.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        options = self.options
        for group in self._optimizer.param_groups:
            group["lr"] = options.learning_rate_at(self.steps_done)
        rows = self._rng.integers(len(self.train), size=options.batch_size)
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for chunks in self.train.chunks(rows, self._horizon):
            share = len(chunks.actions) / options.batch_size
            with self._as_in_training(chunks):
                loss = share * self._loss(chunks, self._rng)
                loss.backward()
            total += float(loss.detach())
        if not math.isfinite(total):
            advice = (
                f"Lower --learning-rate ({options.learning_rate:g})."
                if self.steps_done
                else "Nothing was trained yet, and the data are finite: weights or statistics of --checkpoint are not."
            )
            raise FloatingPointError(f"The loss of step {self.steps_done} is {total}. {advice}")
        torch.nn.utils.clip_grad_norm_(self._parameters, options.max_grad_norm)
        self._optimizer.step()
        self.steps_done += 1
        return total

    @contextmanager
    def _as_in_training(self, chunks: Chunks) -> Iterator[None]:
        """The recipe acts on some chunks while the block runs."""
        if self._regularization.recipe.name == SMALL:
            yield
            return
        inputs = chunks.encoder.inputs
        seen = inputs.images
        if self._images is not None:
            self._images.draw(self._rng, len(chunks.actions))
            inputs.images = self._images
        try:
            with self._regularization.active(self._rng):
                yield
        finally:
            inputs.images = seen

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure on the held-out frames, without a simulator: always the same ones, with the same noise.

        Returns:
            ``held_out_loss``, by flow matching; ``action_error``, the mean absolute difference of sampled and
            demonstrated actions over all steps of the chunk, in action units; and ``action_error/KEY`` of each key.
            Actions are sampled from the options' ``noise_scale * N(0, I)``.
        """
        rng = np.random.default_rng(self.options.seed + 1)
        count = min(EVALUATED_FRAMES, len(self.held_out))
        rows = np.unique(np.linspace(0, len(self.held_out) - 1, count).round().astype(np.int64))
        loss, error, steps = 0.0, torch.zeros(()), 0
        for chunks in self.held_out.chunks(rows, self._horizon):
            loss += len(chunks.actions) / len(rows) * float(self._loss(chunks, rng))
            difference = (self.sample(chunks, rng) - chunks.actions).abs() * chunks.real[..., None]
            error = error + difference.sum(dim=(0, 1)).cpu()
            steps += int(chunks.real.sum())
        error = error / steps
        keys = self.held_out.parts[0].encoder.inputs.embodiment.action.slices()
        by_key = {f"action_error/{key}": float(error[at].mean()) for key, at in keys.items()}
        return {"held_out_loss": loss, "action_error": float(error.mean()), **by_key}

    def sample(self, chunks: Chunks, rng: np.random.Generator) -> Tensor:
        """Actions (B, H, A) that the policy takes in some frames, in the dataset's units."""
        encoder = chunks.encoder
        obs = encoder.complete(chunks.obs)
        # drawn with a scale of 0 as well, so that the loss is of the same numbers with every scale
        noise = self.options.noise_scale * self._noise(rng, len(chunks.actions))
        with encoder.autocast():
            sampled = self.model.sample(encoder.context(obs), encoder.head_state(obs), noise)
        return encoder.decode_action(sampled, obs)

    def _loss(self, chunks: Chunks, rng: np.random.Generator) -> Tensor:
        encoder, count = chunks.encoder, len(chunks.actions)
        obs = encoder.complete(chunks.obs)
        action = encoder.encode_action(chunks.actions, obs)
        # where the robot's chunks are shorter than the model's
        action = F.pad(action, (0, 0, 0, self.model.action_horizon - action.shape[1]))
        noise = self._noise(rng, count)
        t = self.times.sample(rng, count).to(noise.device)
        with encoder.autocast():
            return self.model.flow_matching_loss(
                encoder.context(obs), encoder.head_state(obs), action, encoder.inputs.action_mask(count), noise, t
            )

    def _noise(self, rng: np.random.Generator, count: int) -> Tensor:
        shape = count, self.model.action_horizon, self.model.max_action_dim
        return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self.model.device)

    @property
    def _horizon(self) -> int:
        return self.train.parts[0].encoder.action_horizon

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on as if nothing had happened."""
        return {
            "steps_done": self.steps_done,
            "trained": self.freezing.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "rng": json.dumps(self._rng.bit_generator.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, with the same options, model and data."""
        self.steps_done = state["steps_done"]
        self.freezing.load_state_dict(state["trained"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._rng.bit_generator.state = json.loads(state["rng"])
