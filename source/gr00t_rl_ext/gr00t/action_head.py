# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Flow-matching action head of GR00T, for one embodiment.

The published head holds one set of state and action projections per embodiment ("slots", 32 of them) and gathers
them per sample. A policy that drives one robot needs one slot, so the slot is chosen when the checkpoint is read and
the projections here are plain linear layers; ``checkpoint`` writes them back into their slot.

Time runs from 0 (noise) to 1 (data): ``x_t = (1 - t) noise + t action`` and the network predicts
``velocity = action - noise`` (Lipman et al., "Flow Matching for Generative Modeling", arXiv 2210.02747).
"""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, TypeAdapter
from torch import Tensor, nn

from .checkpoint import Gr00tCheckpointError, require_supported, required_fields
from .dit import DiffusionTransformer, KeyValue, TransformerConfig, VisionLanguageSelfAttention


@dataclass(frozen=True)
class ActionHeadConfig:
    """Shape of the action head. A version of GR00T differs in these values, not in the class.

    The aliases are the fields' names in a checkpoint.
    """

    max_state_dim: int
    """Width of the zero-padded state."""

    max_action_dim: int
    """Width of the zero-padded action."""

    action_horizon: int
    """Actions per chunk, H."""

    feature_dim: Annotated[int, Field(alias="backbone_embedding_dim")]
    """Width D of the vision-language features."""

    hidden_size: int
    """Width of the state encoder, of the action decoder and of the DiT's output."""

    input_embedding_dim: int
    """Width of the DiT's tokens."""

    add_pos_embed: bool
    """Whether the action tokens get a position embedding."""

    use_vlln: bool
    """Whether features pass a layer norm and the VL self-attention."""

    num_inference_timesteps: int
    """Euler steps K at inference."""

    num_timestep_buckets: int
    """Number of discrete times; time t falls into bucket ``int(t * num_timestep_buckets)``."""

    diffusion_model: Annotated[TransformerConfig, Field(alias="diffusion_model_cfg")]
    """The DiT."""

    vl_self_attention: Annotated[TransformerConfig | None, Field(alias="vl_self_attention_cfg")]
    """Self-attention over the features; None without ``use_vlln``."""

    num_future_tokens: Annotated[int, Field(alias="num_target_vision_tokens")] = 0
    """Learned tokens between the state and the actions; 0 where a version has none."""

    max_seq_len: int = 1024
    """Rows of the position embedding."""

    num_slots: Annotated[int, Field(alias="max_num_embodiments")] = 32
    """Embodiment slots in the checkpoint."""

    attend_text_every_n_blocks: int | None = None
    """Which blocks of the DiT that attend to the features see text: the first of every n, the others see images.
    None: all see all tokens, padding included."""

    @classmethod
    def from_checkpoint(cls, head: Mapping[str, Any]) -> ActionHeadConfig:
        """Read the section of a checkpoint's config that describes the head.

        Raises:
            Gr00tCheckpointError: A field is missing, or asks for something this head does not do.
        """
        with required_fields("the checkpoint's config.json", "the action head"):
            dit, vl = head["diffusion_model_cfg"], head.get("vl_self_attention_cfg")
            _check_transformer("diffusion_model_cfg", dit, {"norm_type": "ada_norm"})
            if vl:
                _check_transformer("vl_self_attention_cfg", vl, {})
            require_supported(
                ("state_history_length", head.get("state_history_length", 1), 1),
                ("exclude_state", head.get("exclude_state", False), False),
                ("use_tactile", head.get("use_tactile", False), False),
            )
            cross_attention_dim = dit.get("cross_attention_dim") or head["backbone_embedding_dim"]
            derived = {
                "max_action_dim": head.get("action_dim") or head["max_action_dim"],
                "diffusion_model_cfg": dit
                | {"cross_attention_dim": cross_attention_dim, "output_dim": dit["output_dim"]},
                "vl_self_attention_cfg": vl if head["use_vlln"] and vl else None,
                "attend_text_every_n_blocks": head["attend_text_every_n_blocks"]
                if head.get("use_alternate_vl_dit")
                else None,
            }
            return TypeAdapter(cls).validate_python({**head, **derived})


def _check_transformer(section: str, fields: Mapping[str, Any], needed: Mapping[str, Any]) -> None:
    """Refuse a section that asks for another network than this package builds.

    Args:
        section: Its name.
        fields: What it holds.
        needed: Fields that it must have, and their only value.
    """
    # GR00T's default, where a config does not tell, is not what the published checkpoints have
    require_supported(
        (f"{section}.positional_embeddings", fields.get("positional_embeddings", "sinusoidal"), None),
        *((f"{section}.{name}", fields.get(name, value), value) for name, value in _ONLY_VALUES.items()),
        *((f"{section}.{name}", fields[name], value) for name, value in needed.items()),
    )
    known = {field.name for field in dataclasses.fields(TransformerConfig)}
    known |= {"positional_embeddings", *_ONLY_VALUES, *_WITHOUT_EFFECT, *needed}
    if unknown := sorted(set(fields) - known):
        raise Gr00tCheckpointError(
            f"the checkpoint's {section} has {', '.join(unknown)}, which this package does not know; it knows "
            f"{', '.join(sorted(known))}. The network may be another one than is built here"
        )


_ONLY_VALUES: Mapping[str, Any] = {
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-5,
}
"""Fields of a stack of transformer blocks, and the only value that this package builds; GR00T's defaults."""

_WITHOUT_EFFECT = (
    *("dropout", "final_dropout"),  # there is none here, see dit.py; fine-tuning reads them
    *("compute_dtype", "upcast_attention"),  # what it is loaded in decides
    *("num_embeds_ada_norm", "max_num_positional_embeddings"),  # of embeddings that no published checkpoint has
)
"""Fields that change nothing of what is computed here."""


@dataclass(frozen=True)
class Gr00tContext:
    """What the head knows of the observation while it denoises: everything but the state."""

    tokens: Tensor
    """VL tokens after layer norm and self-attention, (B, S, D)."""

    attention_mask: Tensor | None = None
    """(B, S), True for real tokens. GR00T N1.5 attends to padding as well and does not read it."""

    image_mask: Tensor | None = None
    """(B, S), True for image tokens. GR00T N1.5 does not read it."""

    padding_mask: Tensor | None = None
    """(B, S), True for positions that no block may see; see :class:`Gr00tFeatures`."""

    key_values: tuple[KeyValue, ...] | None = None
    """Keys and values of the tokens in each cross-attention block, where they were computed ahead."""


def _perceptron(input_dim: int, hidden_dim: int, output_dim: int) -> nn.Sequential:
    """State encoder and action decoder."""
    first, second = nn.Linear(input_dim, hidden_dim), nn.Linear(hidden_dim, output_dim)
    return nn.Sequential(OrderedDict(layer1=first, relu=nn.ReLU(), layer2=second))


class ActionEncoder(nn.Module):
    """Noisy actions (B, H, A) and time buckets (B,) -> tokens (B, H, width).

    ``W3 silu(W2 [W1 x, tau(t)])`` with ``tau(t) = [sin(t f_i), cos(t f_i)]``, ``f_i = 10000^(-2 i / width)``.
    """

    def __init__(self, action_dim: int, width: int) -> None:
        super().__init__()
        self.W1 = nn.Linear(action_dim, width)
        self.W2 = nn.Linear(2 * width, width)
        self.W3 = nn.Linear(width, width)

    def forward(self, x: Tensor, t_bucket: Tensor) -> Tensor:
        embedded = self.W1(x)
        half = embedded.shape[-1] // 2
        index = torch.arange(half, dtype=torch.float32, device=x.device)
        phase = t_bucket.float()[:, None] * torch.exp(-math.log(10000.0) / half * index)
        tau = torch.cat([phase.sin(), phase.cos()], dim=-1).to(embedded.dtype)
        tau = tau[:, None].expand(-1, x.shape[1], -1)
        return self.W3(F.silu(self.W2(torch.cat([embedded, tau], dim=-1))))


def _visible(padding_mask: Tensor | None) -> Tensor | None:
    """Padding (B, S) -> where attention may look, (B, 1, 1, S); None: everywhere, which needs no masked kernel."""
    return None if padding_mask is None else ~padding_mask[:, None, None]


def _full_precision(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is where it has more bits: integration and losses do not run in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class ActionHead(nn.Module):
    """Maps vision-language features and the state to an action chunk by flow matching.

    Differentiable throughout and without dropout: ``train()`` and ``eval()`` compute the same.
    """

    SLOT_LAYERS = (
        "state_encoder.layer1",
        "state_encoder.layer2",
        "action_encoder.W1",
        "action_encoder.W2",
        "action_encoder.W3",
        "action_decoder.layer1",
        "action_decoder.layer2",
    )
    """Linear layers that a checkpoint holds once per embodiment, as ``W`` (slots, in, out) and ``b`` (slots, out)."""

    UNUSED_PREFIXES = ("action_head.mask_token", "action_head.value_head.", "value_head.")
    """Checkpoint keys that are legal and not read: what stands for a state that N1.6's training drops, and RLinf's
    critic."""

    def __init__(self, config: ActionHeadConfig, attn_implementation: str = "sdpa") -> None:
        super().__init__()
        self.config = config
        width = config.input_embedding_dim
        self.model = DiffusionTransformer(config.diffusion_model, attn_implementation)
        self.state_encoder = _perceptron(config.max_state_dim, config.hidden_size, width)
        self.action_encoder = ActionEncoder(config.max_action_dim, width)
        self.action_decoder = _perceptron(config.hidden_size, config.hidden_size, config.max_action_dim)
        self.future_tokens = nn.Embedding(config.num_future_tokens, width) if config.num_future_tokens else None
        self.position_embedding = nn.Embedding(config.max_seq_len, width) if config.add_pos_embed else None
        self.vlln = nn.LayerNorm(config.feature_dim) if config.use_vlln else nn.Identity()
        self.vl_self_attention = (
            VisionLanguageSelfAttention(config.vl_self_attention, attn_implementation)
            if config.vl_self_attention
            else None
        )

    @property
    def dtype(self) -> torch.dtype:
        return self.action_encoder.W1.weight.dtype

    def condition(
        self,
        tokens: Tensor,
        attention_mask: Tensor | None = None,
        image_mask: Tensor | None = None,
        padding_mask: Tensor | None = None,
    ) -> Gr00tContext:
        """Layer norm and self-attention over the backbone's features (B, S, D); masks (B, S)."""
        if self.config.attend_text_every_n_blocks is not None and image_mask is None:
            raise ValueError("image_mask is None; this head's blocks attend to either text or images and need it")
        # of its own: where parts of the head train, they are float32 among frozen layers of lower precision
        dtype = self.vlln.weight.dtype if isinstance(self.vlln, nn.LayerNorm) else self.dtype
        tokens = self.vlln(tokens.to(dtype))
        if self.vl_self_attention is not None:
            tokens = self.vl_self_attention(tokens, _visible(padding_mask))
        return Gr00tContext(tokens, attention_mask, image_mask, padding_mask)

    def cache_key_values(self, context: Gr00tContext) -> Gr00tContext:
        """The context with its keys and values computed, for several calls of :meth:`velocity`.

        Differentiable: gradients of all calls add up in the projections.
        """
        if context.key_values is not None:
            return context
        tokens, dtype = context.tokens, self.dtype
        if torch.is_autocast_enabled(tokens.device.type) and not tokens.requires_grad:
            # once, not once per layer; gradients of the layers add up in float32
            dtype = torch.get_autocast_dtype(tokens.device.type)
        return dataclasses.replace(context, key_values=self.model.project_vl(tokens.to(dtype)))

    def _cross_attention_masks(self, context: Gr00tContext) -> list[Tensor] | None:
        """What each block that attends to the VL tokens may see, (B, 1, 1, S) each; None: everything."""
        every, visible = self.config.attend_text_every_n_blocks, _visible(context.padding_mask)
        dit = self.config.diffusion_model
        if every is None:
            return None if visible is None else [visible] * sum(map(dit.attends_vl, range(dit.num_layers)))
        image = context.image_mask
        assert image is not None
        real = torch.ones_like(image) if context.attention_mask is None else context.attention_mask.bool()
        text_mask, image_mask = (~image & real)[:, None, None], (image & real)[:, None, None]
        if visible is not None:
            text_mask, image_mask = text_mask & visible, image_mask & visible
        # the published rule counts all blocks, of which every second attends to itself
        return [
            text_mask if index % (2 * every) == 0 else image_mask
            for index in range(dit.num_layers)
            if dit.attends_vl(index)
        ]

    def velocity(self, context: Gr00tContext, state: Tensor, x: Tensor, t_bucket: Tensor) -> Tensor:
        """Velocity of the flow at ``x``.

        Args:
            context: From :meth:`condition`, with or without cached keys and values.
            state: Normalised and padded, (B, 1, max_state_dim).
            x: Point on the path from noise to actions, (B, H, max_action_dim).
            t_bucket: Discrete time in [0, num_timestep_buckets), integers (B,).

        Returns:
            (B, H, max_action_dim), in float32 at least.
        """
        return _full_precision(self.action_decoder(self._tokens(context, state, x, t_bucket)))

    def tokens_at_zero(self, context: Gr00tContext, state: Tensor, horizon: int, t: float) -> Tensor:
        """What the diffusion transformer outputs, and velocities are decoded from, where x is 0 at a time of the flow.

        Args:
            context: From :meth:`condition`.
            state: (B, 1, max_state_dim).
            horizon: Control steps H.
            t: Time in [0, 1).

        Returns:
            A token per control step, (B, H, hidden_size).
        """
        x = torch.zeros(state.shape[0], horizon, self.config.max_action_dim, device=state.device)
        bucket = int(t * self.config.num_timestep_buckets)
        t_bucket = torch.full((x.shape[0],), bucket, dtype=torch.long, device=x.device)
        return self._tokens(context, state, x, t_bucket)

    def _tokens(self, context: Gr00tContext, state: Tensor, x: Tensor, t_bucket: Tensor) -> Tensor:
        dtype = self.dtype
        actions = self.action_encoder(x.to(dtype), t_bucket)
        if self.position_embedding is not None:
            actions = actions + self.position_embedding.weight[: x.shape[1]]
        tokens = [self.state_encoder(state.to(dtype)), actions]
        if self.future_tokens is not None:
            tokens.insert(1, self.future_tokens.weight.expand(x.shape[0], -1, -1))
        # autocast leaves embeddings in float32 while the linear layers return the lower precision
        tokens = torch.cat([token.to(actions.dtype) for token in tokens], dim=1)
        key_values = self.cache_key_values(context).key_values
        assert key_values is not None
        masks = self._cross_attention_masks(context)
        return self.model(tokens, t_bucket, key_values, masks, x.shape[1])

    def sample(self, context: Gr00tContext, state: Tensor, noise: Tensor, num_steps: int | None = None) -> Tensor:
        """Integrate the flow from ``noise`` (B, H, A) with K Euler steps ``x += v / K``, in float32.

        Args:
            context: From :meth:`condition`.
            state: (B, 1, max_state_dim).
            noise: Standard normal, (B, H, max_action_dim).
            num_steps: K; the checkpoint's number where None.

        Returns:
            Normalised actions (B, H, max_action_dim), float32.
        """
        steps = self.config.num_inference_timesteps if num_steps is None else num_steps
        if steps < 1:
            raise ValueError(f"num_steps is {steps}; the sampler needs at least 1 Euler step")
        context = self.cache_key_values(context)
        x = _full_precision(noise)
        for step in range(steps):
            bucket = int(step / steps * self.config.num_timestep_buckets)
            t_bucket = torch.full((x.shape[0],), bucket, dtype=torch.long, device=x.device)
            x = x + self.velocity(context, state, x, t_bucket) / steps
        return x

    def flow_matching_loss(
        self, context: Gr00tContext, state: Tensor, action: Tensor, action_mask: Tensor, noise: Tensor, t: Tensor
    ) -> Tensor:
        """Mean squared error of the velocity over the valid entries; a scalar.

        Args:
            context: From :meth:`condition`.
            state: (B, 1, max_state_dim).
            action: Normalised target actions (B, H, max_action_dim).
            action_mask: (B, H, max_action_dim), 1 for entries that exist; padding is 0.
            noise: Standard normal (B, H, max_action_dim).
            t: Time in [0, 1), (B,).
        """
        noise, action, t = _full_precision(noise), _full_precision(action), _full_precision(t)
        time = t[:, None, None]
        x = (1 - time) * noise + time * action
        t_bucket = (t * self.config.num_timestep_buckets).long()
        error = self.velocity(context, state, x, t_bucket) - (action - noise)
        mask = action_mask.to(error.dtype)
        return (error.square() * mask).sum() / mask.sum()
