# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What of a GR00T trains, when, and how much of it must be recomputed for that."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gr00t_rl_ext.gr00t import Gr00tModel
from gr00t_rl_ext.policy import lora
from gr00t_rl_ext.policy.stages import PARTS, FreezingOptions, Stage

_HEAD_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "projector": tuple(
        f"action_head.{name}."
        for name in ("state_encoder", "action_encoder", "action_decoder", "position_embedding", "future_tokens")
    ),
    "dit": ("action_head.model.",),
    "vl_self_attention": ("action_head.vlln.", "action_head.vl_self_attention."),
}


class Depth(enum.IntEnum):
    """How far into the model the result of a decision is kept. What lies above is recomputed in the update."""

    IMAGES = 0
    """Only the images are kept."""

    HIDDEN = 1
    """Hidden states that enter a layer of the language model, or leave the last one."""

    FEATURES = 2
    """The tokens that the policy reads."""


@dataclass(frozen=True)
class TrainedGroup:
    """Parameters that began to train together: one group of the optimizer."""

    name: str
    """Part of :data:`PARTS`."""

    parameters: Mapping[str, nn.Parameter]
    """By their name in the model. float32, whatever the frozen ones are."""

    learning_rate: float | None
    """None: the actor's."""


@dataclass(frozen=True)
class GradientReport:
    """Gradients after a backward pass."""

    norms: Mapping[str, float]
    """Norm by group."""

    zero: tuple[str, ...]
    """Parameters that train and whose gradient is zero throughout."""

    num_trained: int
    """Tensors that train."""

    def describe(self) -> str:
        """One line for the log."""
        norms = ", ".join(f"{name} {norm:.2e}" for name, norm in self.norms.items()) or "nothing of GR00T trains"
        text = f"gradients: frozen parameters have none; norms: {norms}"
        if self.zero:
            text += f". Zero for {len(self.zero)} of {self.num_trained} tensors, such as {', '.join(self.zero[:3])}"
        return text


class Freezing:
    """Owns which parameters of a GR00T train.

    Stages open one after the other (:meth:`advance`); each adds groups of parameters. Trained parameters become
    float32: in bfloat16 a step of RL is smaller than the last digit of most weights. LoRA parameters are added to the
    model when their stage opens.

    Args:
        model: The model, changed in place.
        options: What to train and when.
        reads_head: Whether the policy acts through the action head. Else it reads the backbone's features only, and
            parts of the head cannot train.
        keeps_images: Whether images are kept in any case, because they are seen otherwise each time.

    Raises:
        ValueError: An option does not fit the model.
    """

    def __init__(
        self,
        model: Gr00tModel,
        options: FreezingOptions | None = None,
        *,
        reads_head: bool = False,
        keeps_images: bool = False,
    ) -> None:
        self.model = model.requires_grad_(False).eval()
        self.options = FreezingOptions() if options is None else options
        self.reads_head = reads_head
        self.keeps_images = keeps_images
        self.stages = self.options.stages(reads_head)
        self.frozen_dtype = next(model.parameters()).dtype
        """Data type of what does not train."""

        self.groups: list[TrainedGroup] = []
        """What trains, in the order in which it began to."""

        self.stage = 0
        """Index of the stage that is open."""

        self._initial: dict[nn.Parameter, Tensor] = {}
        self._check_options()
        model.set_gradient_checkpointing(self.options.gradient_checkpointing)
        self._open(self.stages[0])

    # What trains

    def advance(self, iteration: int, success_rate: float | None = None) -> list[TrainedGroup]:
        """Open the stages that are due.

        Args:
            iteration: Iterations done.
            success_rate: Success rate of the latest episodes. None: not known well enough.

        Returns:
            The groups that begin to train.
        """
        stage = self.stage
        while stage + 1 < len(self.stages) and self.stages[stage + 1].is_due(iteration, success_rate):
            stage += 1
        return self.restore(stage)

    def restore(self, stage: int) -> list[TrainedGroup]:
        """Open all stages up to one that a checkpoint was written in.

        Returns:
            The groups that begin to train.

        Raises:
            ValueError: There is no such stage.
        """
        if stage >= len(self.stages):
            raise ValueError(
                f"The checkpoint was written in stage {stage} of its schedule of unfreezing, but"
                f" `agent.actor.freezing` has only the stages 0 to {len(self.stages) - 1}. Use the settings that it was"
                " trained with."
            )
        due = self.stages[self.stage + 1 : stage + 1]
        self.stage = max(self.stage, stage)
        return [group for opened in due for group in self._open(opened)]

    def parameters(self) -> dict[str, nn.Parameter]:
        """All parameters of the model that train, by name."""
        return {name: parameter for group in self.groups for name, parameter in group.parameters.items()}

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that train."""
        return tuple(group.name for group in self.groups)

    @property
    def depth(self) -> Depth:
        """What is kept of a decision."""
        if self.keeps_images or "full" in self.parts or self.cut < self.model.backbone.first_cut:
            return Depth.IMAGES
        # below VL self-attention, the cut is after the last layer
        recomputed = {"language", "language_lora", "vl_self_attention"}
        return Depth.HIDDEN if recomputed.intersection(self.parts) else Depth.FEATURES

    @property
    def cut(self) -> int:
        """First layer of the language model that trains; the number of layers where none does."""
        trains = {"language", "language_lora"}.intersection(self.parts)
        return self._language_range().start if trains else len(self.model.backbone.language_layers)

    def _language_range(self) -> range:
        """The layers that ``language`` and ``language_lora`` mean."""
        num_layers = len(self.model.backbone.language_layers)
        return range(num_layers - self.options.language_layers, num_layers)

    def _open(self, stage: Stage) -> list[TrainedGroup]:
        first = len(self.groups)
        for part in stage.train:
            if part.endswith("_lora"):
                layers = [name for names in self._lora_layers(part).values() for name in names]
                parameters = lora.inject(self.model, part, layers, self.options.lora_rank, self.options.lora_alpha)
            else:
                parameters = self._own(part)
            self.groups.append(TrainedGroup(part, parameters, stage.learning_rate))
        # peft freezes whatever is no adapter
        trained = {id(parameter) for parameter in self.parameters().values()}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in trained)
        return self.groups[first:]

    def _own(self, part: str) -> dict[str, nn.Parameter]:
        """The model's own parameters of a part, as far as they do not train already, in float32."""
        trained = self.parameters()
        prefixes = self._prefixes(part)
        skipped = tuple(f"backbone.{prefix}" for prefix in self.model.backbone.unreached)
        parameters = {
            name: parameter
            for name, parameter in self.model.named_parameters()
            if name.startswith(prefixes) and not name.startswith(skipped) and name not in trained
        }
        for parameter in parameters.values():
            self._initial[parameter] = parameter.data
            parameter.data = parameter.data.to(torch.float32, copy=True)
        return parameters

    def _prefixes(self, part: str) -> tuple[str, ...]:
        if part == "full":
            return ("backbone.", "action_head.") if self.reads_head else ("backbone.",)
        if part == "language":
            return (
                *(f"backbone.language_model.layers.{index}." for index in self._language_range()),
                "backbone.language_model.norm.",
            )
        return _HEAD_PREFIXES[part]

    def _lora_layers(self, part: str) -> dict[str, list[str]]:
        """Target -> the layers that it means: those whose name ends with it."""
        targets = self.options.lora_dit_targets if part == "dit_lora" else self.options.lora_language_targets
        names = lora.linear_layers(self.model, self._lora_prefix(part))
        return {target: [name for name in names if name.endswith(f".{target}")] for target in targets}

    def _lora_prefix(self, part: str) -> str:
        if part == "dit_lora":
            return r"action_head\.model\.transformer_blocks\.\d+\."
        return rf"backbone\.language_model\.layers\.({'|'.join(map(str, self._language_range()))})\."

    # The policy at step 0

    @contextmanager
    def reference(self) -> Iterator[None]:
        """The model as it was loaded, while the block runs: adapters off, trained weights as they were at first.

        It costs a copy of the weights that train, in the data type they were loaded in; LoRA costs nothing. Gradients
        are not computed inside.
        """
        current = {parameter: parameter.data for parameter in self._initial}
        try:
            for parameter, value in self._initial.items():
                parameter.data = value
            with lora.switched_off(self.model), torch.no_grad():
                yield
        finally:
            for parameter, value in current.items():
                parameter.data = value

    # Checks and checkpoints

    def check_gradients(self) -> GradientReport:
        """Look at the gradients after a backward pass.

        Raises:
            RuntimeError: A frozen parameter has a gradient, or one that trains has none.
        """
        parameters = self.parameters()
        trained = {id(parameter) for parameter in parameters.values()}
        leaking = [n for n, p in self.model.named_parameters() if id(p) not in trained and p.grad is not None]
        if leaking:
            raise RuntimeError(
                f"{len(leaking)} frozen parameters of GR00T have a gradient, such as {', '.join(leaking[:3])}."
            )
        gradients = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
        unreached = [name for name in parameters if name not in gradients]
        if unreached:
            raise RuntimeError(
                f"{len(unreached)} parameters of GR00T should train, but have no gradient, such as"
                f" {', '.join(unreached[:3])}: the loss does not depend on them."
            )
        norms = {
            group.name: float(nn.utils.get_total_norm([gradients[name] for name in group.parameters]))
            for group in self.groups
        }
        zero = tuple(name for name, gradient in gradients.items() if not gradient.any())
        return GradientReport(norms, zero, len(parameters))

    def state_dict(self) -> dict[str, Tensor]:
        """The trained parameters by name."""
        return {name: parameter.detach() for name, parameter in self.parameters().items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load what :meth:`state_dict` gave, in the same stage.

        Raises:
            ValueError: Other parameters train, or they have other shapes.
        """
        parameters = self.parameters()
        own, given = ({(name, value.shape) for name, value in of.items()} for of in (parameters, state))
        wrong = sorted({name for name, _ in own ^ given})
        if wrong:
            raise ValueError(
                f"The checkpoint's trained parameters of GR00T do not fit the settings: {len(wrong)} differ, such as"
                f" {wrong[0]}. Now train: {', '.join(self.parts) or 'none'}. Use the settings in `agent.actor.freezing`"
                " that it was trained with."
            )
        for name, parameter in parameters.items():
            parameter.copy_(state[name])

    def merge(self) -> Gr00tModel:
        """The model with its adapters merged into its weights, frozen. It cannot train any more."""
        lora.merge(self.model)
        self.groups, self._initial = [], {}
        return self.model.requires_grad_(False)

    def describe(self) -> str:
        """What trains and what is kept of a decision, for the log."""
        trained = "; ".join(
            f"{group.name} {sum(p.numel() for p in group.parameters.values()) / 1e6:.3f} M" for group in self.groups
        )
        kept = {
            Depth.IMAGES: "images; the whole backbone is recomputed in the update",
            Depth.HIDDEN: f"the output of {self.cut} language layers; what lies above is recomputed in the update",
            Depth.FEATURES: "the tokens that the policy reads; nothing of them is recomputed",
        }[self.depth]
        return f"stage {self.stage} of {len(self.stages) - 1}: trains {trained or 'no part of GR00T'}; keeps {kept}"

    def _check_options(self) -> None:
        num_layers = len(self.model.backbone.language_layers)
        if self.options.language_layers > num_layers:
            raise ValueError(
                f"`agent.actor.freezing.language_layers` is {self.options.language_layers}; the checkpoint's language"
                f" model has {num_layers} layers."
            )
        names = [name for name, _ in self.model.named_parameters()]
        for part in (part for stage in self.stages for part in stage.train):
            if part.endswith("_lora"):
                self._check_targets(part)
            elif not any(name.startswith(self._prefixes(part)) for name in names):
                raise ValueError(
                    f"`agent.actor.freezing` names {part!r} ({PARTS[part]}), which this checkpoint does not have."
                )

    def _check_targets(self, part: str) -> None:
        found = self._lora_layers(part)
        if not found or not all(found.values()):
            option = "lora_dit_targets" if part == "dit_lora" else "lora_language_targets"
            nothing = ", ".join(repr(target) for target, layers in found.items() if not layers)
            prefix = self._lora_prefix(part)
            available = {re.sub(prefix, "", name, count=1) for name in lora.linear_layers(self.model, prefix)}
            raise ValueError(
                f"`agent.actor.freezing.{option}` names {nothing or 'no layer'}, which matches no linear layer. There"
                f" are {', '.join(sorted(available))}."
            )
