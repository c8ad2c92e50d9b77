# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A GR00T policy network: backbone, action head, and loading them from a published checkpoint."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .action_head import ActionHead, ActionHeadConfig, Gr00tContext
from .backbone import Backbone, Gr00tFeatures
from .checkpoint import (
    CONFIG_FILE,
    Gr00tCheckpointError,
    copy_checkpoint,
    file_states,
    new_directory,
    read_json,
    require_unchanged,
    resolve_checkpoint,
)
from .config_fields import unknown_fields
from .dit import ATTENTION_IMPLEMENTATIONS
from .embodiment import embodiment_tags
from .recompute import Recomputing
from .slots import published_slots, shown, slot_of
from .versions import GR00T_VERSIONS
from .weights import FLOAT_TYPES, CheckpointEntry, CheckpointWeights, check_finite, check_keys, check_types


@dataclass(frozen=True)
class Gr00tConfig:
    """What a checkpoint says about itself."""

    version: str
    """Key of :data:`GR00T_VERSIONS`."""

    action_head: ActionHeadConfig
    """Shape of the action head."""

    embodiment_slot: int
    """Slot whose projections were loaded."""

    source: Path
    """Directory that the weights were read from."""

    raw: Mapping[str, Any]
    """config.json as it stands in the checkpoint."""

    unknown_fields: tuple[str, ...] = ()
    """Fields of its config files that this package does not know."""

    source_states: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of change of ``source``'s files when they were loaded, see ``checkpoint.file_states``."""


class Gr00tModel(nn.Module):
    """Vision-language backbone and action head, for one embodiment.

    ``train()`` and ``eval()`` compute the same: it has no dropout. Parameters come frozen from
    :func:`load_gr00t`; whoever trains some of them says which.
    """

    def __init__(self, config: Gr00tConfig, backbone: Backbone, action_head: ActionHead) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.action_head = action_head
        self.version = config.version
        self.max_state_dim = config.action_head.max_state_dim
        self.max_action_dim = config.action_head.max_action_dim
        self.action_horizon = config.action_head.action_horizon
        self.feature_dim = config.action_head.feature_dim

    @property
    def embodiment_slot(self) -> int:
        return self.config.embodiment_slot

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode(
        self,
        *,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
    ) -> Gr00tFeatures:
        """Vision-language features.

        Args:
            pixel_values: (B x cameras, 3, image_size, image_size), the cameras of one sample adjacent.
            input_ids: Prompts (B, S).
            attention_mask: (B, S), 1 for real tokens; None: all are. GR00T's head attends to padding as well (N1.7's
                in its self-attention only), so prompts should have one length.
            image_grid_thw: (B x cameras, 3), only with N1.7 and ``pixel_values`` from Qwen3-VL's own processor, patches
                (B x cameras x rows x columns, C x T x p x p): the grid (1, rows, columns) of each image.
        """
        return self.backbone(pixel_values, input_ids, attention_mask, image_grid_thw)

    def encode_prompts(self, *, pixel_values: Tensor, prompts: Sequence[Tensor]) -> Gr00tFeatures:
        """Vision-language features of samples whose prompts may differ in length, as if each was encoded alone.

        Padding would change the features and the head's actions, so samples of one length share a call of the backbone,
        and its results are padded on the right, with ``padding_mask`` set.

        Args:
            pixel_values: (B x cameras, 3, image_size, image_size), the cameras of one sample adjacent.
            prompts: Token ids of each sample, (S_i,); from :meth:`Gr00tInputs.prompts`.
        """
        lengths = [prompt.shape[0] for prompt in prompts]
        if len(set(lengths)) == 1:
            return self.encode(pixel_values=pixel_values, input_ids=torch.stack(list(prompts)))
        views = pixel_values.unflatten(0, (len(prompts), -1))
        order = sorted(range(len(prompts)), key=lengths.__getitem__)
        tokens, image_masks = [], []
        for length, rows in itertools.groupby(order, key=lengths.__getitem__):
            group = list(rows)
            features = self.encode(
                pixel_values=views[group].flatten(0, 1), input_ids=torch.stack([prompts[row] for row in group])
            )
            assert features.image_mask is not None
            padding = max(lengths) - length
            tokens.append(F.pad(features.tokens, (0, 0, 0, padding)))
            image_masks.append(F.pad(features.image_mask, (0, padding)))
        device = pixel_values.device
        position = torch.arange(max(lengths), device=device)
        padding_mask = position >= torch.tensor(lengths, device=device)[:, None]
        back = torch.tensor(order, device=device).argsort()
        return Gr00tFeatures(torch.cat(tokens)[back], ~padding_mask, torch.cat(image_masks)[back], padding_mask)

    def condition(self, features: Gr00tFeatures) -> Gr00tContext:
        """The head's view of the features: after layer norm and VL self-attention. Belongs to the head's weights."""
        return self.action_head.condition(
            features.tokens, features.attention_mask, features.image_mask, features.padding_mask
        )

    def velocity(self, context: Gr00tContext, state: Tensor, x: Tensor, t_bucket: Tensor) -> Tensor:
        """See :meth:`ActionHead.velocity`."""
        return self.action_head.velocity(context, state, x, t_bucket)

    def sample(self, context: Gr00tContext, state: Tensor, noise: Tensor, num_steps: int | None = None) -> Tensor:
        """See :meth:`ActionHead.sample`."""
        return self.action_head.sample(context, state, noise, num_steps)

    def flow_matching_loss(
        self, context: Gr00tContext, state: Tensor, action: Tensor, action_mask: Tensor, noise: Tensor, t: Tensor
    ) -> Tensor:
        """See :meth:`ActionHead.flow_matching_loss`."""
        return self.action_head.flow_matching_loss(context, state, action, action_mask, noise, t)

    def set_gradient_checkpointing(self, enabled: bool) -> None:
        """Whether blocks are recomputed in the backward pass, which saves their activations' memory."""
        for module in self.modules():
            if isinstance(module, Recomputing):
                module.gradient_checkpointing = enabled

    def compile_layers(self, **options: Any) -> None:
        """Compile the layers of the backbone and of the VL self-attention, each alone, in place.

        Args:
            **options: Of ``torch.compile``.
        """
        # torch counts the graphs of all compiled modules together, and gives up at 8: layers of three kinds, with and
        # without gradients, for batches of several sizes are more
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)  # type: ignore[attr-defined]
        self.backbone.compile_layers(**options)
        if self.action_head.vl_self_attention is not None:
            for block in self.action_head.vl_self_attention.transformer_blocks:
                block.compile(**options)

    def checkpoint_entries(self) -> dict[str, CheckpointEntry]:
        """Our parameter name -> its place in a published checkpoint."""
        entries = {}
        for name, parameter in self.named_parameters():
            shape = tuple(parameter.shape)
            part, _, rest = name.partition(".")
            layer, _, kind = rest.rpartition(".")
            if part == "backbone":
                ours = next(prefix for prefix in self.backbone.CHECKPOINT_PREFIXES if rest.startswith(prefix))
                published = self.backbone.CHECKPOINT_PREFIXES[ours] + rest.removeprefix(ours)
                entries[name] = CheckpointEntry(f"backbone.{published}", shape)
            elif layer in ActionHead.SLOT_LAYERS:
                # published as (slots, in, out) and (slots, out); a linear layer's weight is (out, in)
                entries[name] = CheckpointEntry(
                    f"action_head.{layer}.{'W' if kind == 'weight' else 'b'}",
                    (self.config.action_head.num_slots, *reversed(shape)),
                    self.embodiment_slot,
                    transpose=kind == "weight",
                )
            else:
                entries[name] = CheckpointEntry(name, shape)
        return entries

    def save_pretrained(self, directory: str | Path) -> None:
        """Write a complete checkpoint in the published layout, which GR00T's own inference code loads.

        Everything that this model does not hold (other embodiment slots, unused layers, statistics, tokenizer) is
        taken from the checkpoint it was loaded from, which must still be there. Untrained parameters keep their
        published bits, whatever the dtype they were loaded in; those cast to more bits after loading keep their
        rounding, because that is what the policy acted with.

        Raises:
            FileExistsError: ``directory`` is not empty.
            Gr00tCheckpointError: The checkpoint it was loaded from is gone or has changed.
            ValueError: The model holds parameters that the checkpoint has no place for, such as adapters.
        """
        source, entries = self.config.source, self.checkpoint_entries()
        require_unchanged(source, self.config.source_states)
        published = CheckpointWeights(source).keys()
        if unknown := [name for name, entry in entries.items() if entry.key not in published]:
            raise ValueError(
                f"the model holds parameters that a checkpoint has no place for, such as {', '.join(unknown[:3])};"
                " merge adapters into the weights first"
            )
        with new_directory(Path(directory)) as target:
            copy_checkpoint(source, target)
            weights = CheckpointWeights(target)
            for name, parameter in self.named_parameters():
                entries[name].overwrite(weights, parameter)


def load_gr00t(
    path: str | Path,
    embodiment_slot: int | None = None,
    dtype: torch.dtype = torch.bfloat16,
    device: torch.device | str = "cpu",
    attn_implementation: str = "sdpa",
    embodiment_tag: str | None = None,
) -> Gr00tModel:
    """Load a GR00T checkpoint for one embodiment.

    Weights go from the file to ``device`` in ``dtype``, one tensor at a time: there is no second copy of the model.

    Args:
        path: Local directory or hub id.
        embodiment_slot: Which of the checkpoint's embodiment slots to load. None: the slot of ``embodiment_tag``, or of
            the embodiment in the checkpoint's statistics, where it holds exactly one.
        dtype: Of the parameters. Rotary frequencies stay float32.
        device: Where the model lives.
        attn_implementation: "sdpa" or, for comparisons, "eager".
        embodiment_tag: Embodiment whose slot is loaded where ``embodiment_slot`` is None and the tag's slot is known.

    Returns:
        The model in eval mode with frozen parameters.

    Raises:
        Gr00tCheckpointError: The checkpoint cannot be used as asked; the message says why and what to do.
        ValueError: ``attn_implementation`` or ``dtype`` is not among those supported.
    """
    if attn_implementation not in ATTENTION_IMPLEMENTATIONS:
        raise ValueError(
            f"attn_implementation is {attn_implementation!r}; expected one of {', '.join(ATTENTION_IMPLEMENTATIONS)}"
        )
    if dtype not in FLOAT_TYPES.values():
        raise ValueError(f"dtype is {dtype!r}; expected one of {', '.join(map(str, FLOAT_TYPES.values()))}")
    # safetensors takes "cuda" for the first GPU, torch for the current one
    device = torch.empty(0, device=device).device
    directory = resolve_checkpoint(path)
    model = meta_gr00t(directory, attn_implementation)
    slots = published_slots(directory)
    if embodiment_slot is None and embodiment_tag is not None:
        embodiment_slot = slot_of(embodiment_tag, slots)
    slot = _choose_slot(embodiment_slot, model.config.action_head.num_slots, directory, slots)
    model.config = dataclasses.replace(model.config, embodiment_slot=slot, source_states=file_states(directory))
    _load_weights(model, CheckpointWeights(directory, device), dtype)
    model.backbone.materialize_buffers(device)
    return model.requires_grad_(False).eval()


def meta_gr00t(directory: Path, attn_implementation: str = "sdpa") -> Gr00tModel:
    """The modules that a checkpoint's configs describe, on the meta device and for embodiment slot 0.

    Raises:
        Gr00tCheckpointError: The configs are of no known GR00T, are incomplete or do not fit each other.
    """
    raw, version = read_json(directory / CONFIG_FILE), checkpoint_version(directory)
    spec = GR00T_VERSIONS[version]
    config = {**spec.defaults, **raw}
    head = ActionHeadConfig.from_checkpoint(config if spec.head_section is None else config.get(spec.head_section, {}))
    with torch.device("meta"):
        backbone = spec.backbone(config, directory, attn_implementation)
        action_head = ActionHead(head, attn_implementation)
    if backbone.feature_dim != head.feature_dim:
        raise Gr00tCheckpointError(
            f"the backbone's features have {backbone.feature_dim} channels, but the action head of "
            f"{str(directory)!r} expects backbone_embedding_dim = {head.feature_dim}"
        )
    made_of = Gr00tConfig(version, head, 0, directory, raw, unknown_fields(version, directory))
    return Gr00tModel(made_of, backbone, action_head)


def check_weights(model: Gr00tModel, weights: CheckpointWeights) -> None:
    """Check names, types and shapes of a checkpoint's tensors, by the files' headers alone.

    Raises:
        Gr00tCheckpointError: They are not those of the model, which may be on the meta device.
    """
    entries = model.checkpoint_entries()
    source = str(weights.directory)
    expected = {entry.key for entry in entries.values()}
    check_types(weights, expected & weights.keys())
    check_keys(expected, weights.keys(), (*model.backbone.UNUSED_PREFIXES, *ActionHead.UNUSED_PREFIXES), source)
    for entry in entries.values():
        if weights.shape(entry.key) != entry.shape:
            raise Gr00tCheckpointError(
                f"{entry.key} in {source!r} has shape {weights.shape(entry.key)}; the checkpoint's configs describe "
                f"{entry.shape}. Check that configs and weights come from the same checkpoint"
            )


def _load_weights(model: Gr00tModel, weights: CheckpointWeights, dtype: torch.dtype) -> None:
    check_weights(model, weights)
    entries = model.checkpoint_entries()
    state = {name: entry.read(weights).to(dtype) for name, entry in entries.items()}
    check_finite(weights, entries, state)
    model.load_state_dict(state, strict=True, assign=True)


def checkpoint_version(directory: Path) -> str:
    """Version of the GR00T in a directory, from its config alone.

    Raises:
        Gr00tCheckpointError: It holds no GR00T of a known version.
    """
    raw = read_json(directory / CONFIG_FILE)
    architectures = raw.get("architectures") or []
    for name, version in GR00T_VERSIONS.items():
        if raw.get("model_type") == version.model_type or set(architectures) & set(version.architectures):
            return name
    known = "; ".join(
        f"{name} (model_type {version.model_type!r}, architectures {' or '.join(version.architectures)})"
        for name, version in GR00T_VERSIONS.items()
    )
    raise Gr00tCheckpointError(
        f"{str(directory)!r} holds a model of another kind: model_type {raw.get('model_type')!r}, architectures "
        f"{architectures}. Known versions of GR00T: {known}"
    )


def _choose_slot(slot: int | None, num_slots: int, directory: Path, slots: Mapping[str, int]) -> int:
    known = shown(slots)
    if slot is None:
        tags = embodiment_tags(directory)
        slot = slot_of(tags[0], slots) if len(tags) == 1 else None
        if slot is None:
            found = f"statistics for {', '.join(tags)}" if tags else "no statistics"
            raise Gr00tCheckpointError(
                f"embodiment_slot is None, which needs a checkpoint with statistics of exactly one known embodiment; "
                f"{str(directory)!r} has {found}. Pass embodiment_slot; known slots are {known}"
            )
    if not 0 <= slot < num_slots:
        raise Gr00tCheckpointError(
            f"embodiment_slot is {slot}, but {str(directory)!r} has {num_slots} slots: expected 0 to {num_slots - 1}. "
            f"Known slots of the published checkpoint are {known}"
        )
    return slot
