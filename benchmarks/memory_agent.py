# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An agent that does with a GR00T what reinforcement learning of some of its parts does, without an environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.gr00t import Gr00tFeatures, Gr00tModel
from gr00t_rl_ext.policy.adapter import GaussianAdapter

TRAINED = ("adapter", "dit", "dit_lora", "head", "full")
"""What may train: a Gaussian adapter on the features; the DiT; adapters of rank 16 on the DiT's attention; the whole
action head; everything."""

TEXT_TOKENS = 40
"""Tokens of the prompt beside the images'; as in GR00T N1.5's for a short instruction."""


class MemoryAgent:
    """Decides by sampling an action chunk and learns by the flow-matching loss; see ``memory.TracedAgent``.

    The features of frozen layers are kept with the decision; where everything trains, images are.

    Args:
        model: A frozen GR00T.
        trained: Entry of :data:`TRAINED`.
        num_envs: Environments.
        num_steps: Decisions per environment and iteration.
        num_parts: Parts that a mini-batch is split into.
        num_mini_batches: Mini-batches of an update.
        num_cameras: Images per observation.
        checkpointing: Recompute the blocks in the backward pass.
    """

    def __init__(
        self,
        model: Gr00tModel,
        trained: str,
        num_envs: int,
        num_steps: int,
        num_parts: int = 1,
        num_mini_batches: int = 1,
        *,
        num_cameras: int = 1,
        checkpointing: bool = False,
    ) -> None:
        self.model, self.trained = model, trained
        self.num_parts, self.num_mini_batches, self.num_cameras = num_parts, num_mini_batches, num_cameras
        self.device, self.frozen_dtype = model.device, next(model.parameters()).dtype
        self.num_actions = model.action_horizon * model.max_action_dim
        self.adapter = nn.Identity()
        self._unfreeze()
        model.set_gradient_checkpointing(checkpointing)
        parameters = [*model.parameters(), *self.adapter.parameters()]
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        # foreach is the default on a GPU, and takes more memory: the same step is wanted everywhere
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, foreach=True)
        kept = self._kept(self._observe(num_envs), torch.zeros((), dtype=self.frozen_dtype))
        example = TensorDict({"kept": kept, "state": self._state(num_envs)}, batch_size=[num_envs])
        self.storage = RolloutStorage("rl", num_envs, num_steps, example, [self.num_actions], str(self.device))

    def _unfreeze(self) -> None:
        head = self.model.action_head
        if self.trained == "adapter":
            self.adapter = GaussianAdapter(
                self.model.feature_dim, self.model.max_state_dim, self.model.action_horizon, self.model.max_action_dim
            ).to(self.device)
        elif self.trained == "dit_lora":
            targets = r"action_head\.model\..*\.(to_q|to_k|to_v|to_out\.0)"
            inject_adapter_in_model(LoraConfig(r=16, lora_alpha=32, target_modules=targets), self.model)
            for name, parameter in self.model.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.float()
        else:
            {"dit": head.model, "head": head, "full": self.model}[self.trained].float().requires_grad_(True)

    def rollout(self) -> None:
        """Decide for all environments, step by step."""
        self.storage.clear()
        num_envs = self.storage.num_envs
        for _ in range(self.storage.num_transitions_per_env):
            images, state = self._observe(num_envs), self._state(num_envs)
            with torch.no_grad(), self._autocast():
                features = self._features(images)
                if self.trained == "adapter":
                    actions = self.adapter(features.tokens, state)
                else:
                    noise = torch.randn(num_envs, *self._chunk, device=self.device)
                    actions = self.model.sample(self.model.condition(features), state[:, None], noise).flatten(1)
            transition = RolloutStorage.Transition()
            kept = self._kept(images, features.tokens)
            transition.observations = TensorDict({"kept": kept, "state": state}, batch_size=[num_envs])
            transition.actions, transition.distribution_params = actions, (actions, actions)
            transition.rewards = transition.dones = transition.actions_log_prob = torch.zeros(num_envs)
            transition.values = torch.zeros(num_envs, 1)
            self.storage.add_transition(transition)

    def update(self) -> None:
        """One step of the optimizer per mini-batch."""
        for batch in self.storage.mini_batch_generator(self.num_mini_batches, 1):
            self.optimizer.zero_grad()
            for kept, state, actions in self._parts(batch):
                with self._autocast():
                    loss = self._loss(kept, state, actions.view(-1, *self._chunk))
                loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()

    def _parts(self, batch: Any) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        obs = batch.observations
        tensors = (obs["kept"], obs["state"], batch.actions)
        yield from zip(*(tensor.tensor_split(self.num_parts) for tensor in tensors), strict=True)

    def _loss(self, kept: Tensor, state: Tensor, actions: Tensor) -> Tensor:
        if self.trained == "adapter":
            return (self.adapter(kept, state) - actions.flatten(1)).square().mean()
        features = self._features(kept) if self.trained == "full" else self._with_masks(kept)
        context = self.model.condition(features)
        noise, mask = torch.randn_like(actions), torch.ones_like(actions)
        time = torch.rand(actions.shape[0], device=self.device)
        return self.model.flow_matching_loss(context, state[:, None], actions, mask, noise, time)

    @property
    def _chunk(self) -> tuple[int, int]:
        return self.model.action_horizon, self.model.max_action_dim

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.frozen_dtype == torch.bfloat16)

    def _observe(self, num_envs: int) -> Tensor:
        side = self.model.backbone.image_size
        return torch.zeros(num_envs, side, side, 3 * self.num_cameras, dtype=torch.uint8, device=self.device)

    def _state(self, num_envs: int) -> Tensor:
        return torch.zeros(num_envs, self.model.max_state_dim, device=self.device)

    def _kept(self, images: Tensor, tokens: Tensor) -> Tensor:
        """What is kept of a decision; zeros of its shape for a scalar instead of tokens."""
        if self.trained == "full":
            return images
        if tokens.ndim == 0:
            shape = (images.shape[0], self._input_ids(1).shape[1], self.model.feature_dim)
            return tokens.to(self.device).expand(shape)
        return tokens

    def _input_ids(self, batch_size: int) -> Tensor:
        backbone = self.model.backbone
        image = [backbone.image_token_index] * (backbone.tokens_per_image * self.num_cameras)
        return torch.tensor([0] * 4 + image + [0] * (TEXT_TOKENS - 4), device=self.device).expand(batch_size, -1)

    def _features(self, images: Tensor) -> Gr00tFeatures:
        cameras = torch.cat(images.split(3, dim=-1)).permute(0, 3, 1, 2)
        pixel_values = self.model.backbone.normalize_images(cameras.float() / 255)
        return self.model.encode(pixel_values=pixel_values, input_ids=self._input_ids(images.shape[0]))

    def _with_masks(self, tokens: Tensor) -> Gr00tFeatures:
        image_mask = self._input_ids(tokens.shape[0]) == self.model.backbone.image_token_index
        return Gr00tFeatures(tokens=tokens, attention_mask=torch.ones_like(image_mask), image_mask=image_mask)
