# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From observations to the tokens that the policy reads: what is frozen once per decision, what trains anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tContext, Gr00tInputs, load_gr00t
from gr00t_rl_ext.policy.base_checkpoint import base_directory, base_fingerprint
from gr00t_rl_ext.policy.freezing import Depth, Freezing
from gr00t_rl_ext.policy.options import TINY, Gr00tOptions, chunk_within
from gr00t_rl_ext.policy.precision import dtype_of
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.robot.bound_mapping import BoundMapping, bind_mapping
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping
from gr00t_rl_ext.robot.state_check import StateCheck
from gr00t_rl_ext.robot.task_spec import TASK, TaskSpec

FEATURES = "features"
"""Key of the tokens that the policy reads in an encoded observation, (num_envs, tokens, width)."""

HIDDEN = "hidden"
"""Key of the language model's hidden states in an encoded observation, where layers above them train."""

COMPILE_MODES = ("default", "max-autotune-no-cudagraphs")
"""Accepted values of ``agent.torch_compile_mode``, beside None."""


@dataclass(frozen=True)
class Prompts:
    """What environments are told, as GR00T reads it."""

    input_ids: torch.Tensor
    """(B, S)."""

    image_mask: torch.Tensor
    """(B, S) bool, True for image tokens."""

    padding_mask: torch.Tensor | None
    """(B, S) bool, True where a prompt is shorter than the longest one; None: all have one length."""


class Gr00tEncoder:
    """A GR00T and its inputs.

    What lies below the trained layers is computed once per decision (:meth:`encode`) and kept with it; what lies above
    is computed again in each update (:meth:`complete`).

    It is deliberately no :class:`torch.nn.Module`: the actor and the critic share it, and its frozen weights must reach
    neither their ``state_dict`` nor an optimizer, a checkpoint or the gradient all-reduce. ``freezing`` knows which of
    its weights train.

    Args:
        freezing: A loaded GR00T and what of it trains.
        inputs: Turns observations into the model's inputs.
        spec: The task.
        fingerprint: Identifies what it is made from, see :func:`~.base_checkpoint.base_fingerprint`.
        mapping: How the task's tensors become the checkpoint's. None: by position.
        state_check: Watches the states of observations that are encoded. None: nobody does.
    """

    context_key = FEATURES
    """Key of the tokens that the action head is conditioned on."""

    def __init__(
        self,
        freezing: Freezing,
        inputs: Gr00tInputs,
        spec: TaskSpec,
        fingerprint: str,
        mapping: BoundMapping | None = None,
        state_check: StateCheck | None = None,
    ) -> None:
        self.freezing = freezing
        self.model = freezing.model
        self.inputs = inputs
        self.spec = spec
        self.fingerprint = fingerprint
        self.mapping = BoundMapping(tuple(range(spec.num_cameras))) if mapping is None else mapping
        self.state_check = state_check
        self.calls = 0
        """Passes through the whole backbone so far."""

        self.base_name = str(self.model.config.source)
        """Where the GR00T came from."""

        self.dtype = freezing.frozen_dtype
        """Data type of the features, and of what is frozen."""

        self.state_dim = inputs.embodiment.state.dim
        """Width of :meth:`state`."""

        self.action_horizon = inputs.embodiment.action_horizon or self.model.action_horizon
        """Actions per chunk that the checkpoint was trained to give for this robot."""

        self._table: Prompts | None = None
        """Of all instructions, a row for each."""

    @classmethod
    def load(
        cls,
        spec: TaskSpec,
        options: Gr00tOptions,
        device: str,
        freezing: FreezingOptions | None = None,
        *,
        reads_head: bool = False,
    ) -> Gr00tEncoder:
        """Load the checkpoint that the options name, fit it to the task, and prepare what trains.

        Raises:
            Gr00tCheckpointError: If the checkpoint cannot be used, or its widths do not fit the task.
            EmbodimentMappingError: If the mapping cannot be used.
            ValueError: If the freezing options do not fit the checkpoint.
        """
        mapping = EmbodimentMapping.load(options.mapping)
        model = load_gr00t(
            base_directory(options, spec),
            embodiment_slot=options.embodiment_slot,
            embodiment_tag=options.embodiment_tag,
            dtype=dtype_of(options.dtype, device),
            device=device,
            attn_implementation=options.attn_implementation,
        )
        inputs = Gr00tInputs.from_checkpoint(
            model,
            options.embodiment_tag,
            tokenizer=options.tokenizer or None,
            num_cameras=len(mapping.video) or spec.num_cameras,
            crop_scale=options.crop_scale,
            data_config=options.data_config or None,
        )
        _check_widths(inputs, spec, mapping)
        _check_cameras(inputs, spec, mapping)
        bound = bind_mapping(mapping, spec, inputs.embodiment, inputs.device)
        trained = Freezing(model, freezing, reads_head=reads_head)
        # the statistics of a tiny one are made up
        check = None if options.checkpoint == TINY else StateCheck(inputs.embodiment.state)
        return cls(trained, inputs, spec, base_fingerprint(options, spec), bound, check)

    @property
    def feature_shape(self) -> tuple[int, int]:
        """Tokens and width of the features of one observation."""
        return max(map(self.inputs.prompt_length, self.spec.all_instructions)), self.model.feature_dim

    def tell(self, spec: TaskSpec, texts: Sequence[str]) -> None:
        """Let observations from now on be of a task with other instructions.

        Args:
            spec: The task, with the instruction of all where there is one.
            texts: The instructions; of several, an observation has one by its group :data:`TASK`.
        """
        several = tuple(texts) if len(texts) > 1 else ()
        self.spec, self._table = dataclasses.replace(spec, instructions=several, tasks=several), None

    def prompts(self, obs: TensorDict) -> Prompts:
        """What the environments of some observations are told."""
        if not self.spec.instructions:
            # served policies are told another instruction every time
            ids, _ = self.inputs.prompt(self.spec.instruction, obs.batch_size[0])
            return Prompts(ids, ids == self.model.backbone.image_token_index, None)
        if self._table is None:
            self._table = self._table_of(self.inputs.prompts(self.spec.instructions))
        table, row = self._table, obs[TASK].argmax(-1)
        padding = None if table.padding_mask is None else table.padding_mask[row]
        return Prompts(table.input_ids[row], table.image_mask[row], padding)

    def _table_of(self, prompts: list[torch.Tensor]) -> Prompts:
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=prompts[0].device)
        # On the right: the language model looks to the left only, so that no token before it changes. The head, which
        # looks everywhere, gets the mask. Any token that is no image will do.
        ids = torch.nn.utils.rnn.pad_sequence(prompts, batch_first=True, padding_value=int(prompts[0][-1]))
        padding = torch.arange(ids.shape[1], device=ids.device) >= lengths[:, None]
        is_ragged = len({len(prompt) for prompt in prompts}) > 1
        return Prompts(ids, ids == self.model.backbone.image_token_index, padding if is_ragged else None)

    def chunk_length(self, wanted: int | None) -> int:
        """Control steps of a decision: as many as are wanted (``agent.actor.chunk_length``), or the whole horizon.

        Raises:
            ValueError: The checkpoint does not predict so many.
        """
        return chunk_within(self.action_horizon, wanted)

    @torch.no_grad()
    def encode(self, obs: TensorDict) -> TensorDict:
        """Replace the image groups by what the policy reads and what :meth:`complete` needs.

        Args:
            obs: Observations with the task's image groups, uint8 (num_envs, height, width, 3 * cameras).

        Returns:
            The same observations with :data:`FEATURES` (num_envs, tokens, width), and with :data:`HIDDEN` of that shape
            or the images where layers above them train.
        """
        if FEATURES in obs.keys() or HIDDEN in obs.keys():
            return self.complete(obs)
        if self.state_check is not None:
            self.state_check.watch(self.raw_state(obs))
        depth = self.freezing.depth
        encoded = self._kept_groups(obs)
        if depth == Depth.HIDDEN:
            encoded[HIDDEN] = self._hidden_states(obs, self.freezing.cut)
        elif depth == Depth.FEATURES:
            encoded[FEATURES] = self._read(obs, self._hidden_states(obs, self.freezing.cut), self.freezing.cut)
        return self.complete(TensorDict(encoded, batch_size=obs.batch_size))

    def complete(self, obs: TensorDict) -> TensorDict:
        """Observations as they were kept, with :data:`FEATURES`.

        Differentiable with respect to what trains, where gradients are enabled.
        """
        if FEATURES in obs.keys():
            return obs
        cut = self.freezing.cut
        with self._own_precision():
            hidden = obs[HIDDEN] if HIDDEN in obs.keys() else self._hidden_states(obs, cut)
        completed = {**obs, FEATURES: self._read(obs, hidden, cut)}
        return TensorDict(completed, batch_size=obs.batch_size)

    def kept(self, obs: TensorDict) -> TensorDict:
        """What of an encoded observation is kept with the decision: all that training does not change."""
        return obs if self.freezing.depth == Depth.FEATURES else obs.exclude(FEATURES)

    def autocast(self) -> AbstractContextManager[Any]:
        """Runs float32 layers that train among frozen ones of lower precision in that precision.

        Elsewhere the precision stays what the caller made it.
        """
        return self._own_precision() if self._is_mixed else nullcontext()

    @property
    def _is_mixed(self) -> bool:
        return self.dtype != torch.float32 and bool(self.freezing.groups)

    def _own_precision(self) -> torch.autocast:
        # the features of a rollout are made outside of the caller's autocast, so those of an update must be, too
        return torch.autocast(self.model.device.type, dtype=self.dtype, enabled=self._is_mixed)

    def describe(self) -> str:
        """What the policy is over and sees, for the log."""
        total = sum(p.numel() for p in self.model.parameters())
        tokens, width = self.feature_shape
        return (
            f"GR00T {self.model.version} from {self.model.config.source}\n"
            f"  {total / 1e6:.1f} M parameters, {str(self.dtype).removeprefix('torch.')} where frozen; features"
            f" {tokens} x {width} per decision\n"
            f"  {self.freezing.describe()}\n"
            f"  sees {self.spec.num_cameras} camera(s) and {self.spec.state_dim} state dimensions; instruction:"
            f" {', '.join(map(repr, self.spec.all_instructions))}"
        )

    def pool(self, tokens: torch.Tensor, obs: TensorDict) -> torch.Tensor:
        """Mean of the tokens of observations, padding left out: (B, S, D) -> (B, D)."""
        padding = self.prompts(obs).padding_mask
        if padding is None:
            return tokens.mean(dim=1)
        weights = (~padding).to(tokens.dtype).unsqueeze(-1)
        return (weights * tokens).sum(dim=1) / weights.sum(dim=1)

    def compile(self, mode: str, backbone: bool | None = None) -> None:
        """Compile the diffusion transformer with ``torch.compile``, in place, and what comes before it.

        Args:
            mode: Entry of :data:`COMPILE_MODES`.
            backbone: Whether to compile layers of the backbone and of the VL self-attention as well. None: on a GPU; on
                a CPU it takes minutes, and gains nothing.

        Raises:
            ValueError: It is another mode.
        """
        if mode not in COMPILE_MODES:
            raise ValueError(
                f"`agent.torch_compile_mode` is {mode!r}; expected one of {', '.join(COMPILE_MODES)}, or null to"
                " compile nothing. Modes with CUDA graphs overwrite what a call returned when the next one runs, while"
                " the update still reads it."
            )
        self.model.action_head.model.compile(mode=mode)
        if self.model.device.type == "cuda" if backbone is None else backbone:
            self.model.compile_layers(mode=mode)

    def encoded_example(self, obs: TensorDict) -> TensorDict:
        """Zeros of the shape of what :meth:`kept` leaves of :meth:`encode`'s result, which take no memory."""
        depth = self.freezing.depth
        example = {
            name: torch.zeros((), dtype=value.dtype, device=value.device).expand(value.shape)
            for name, value in self._kept_groups(obs).items()
        }
        if depth != Depth.IMAGES:
            key = HIDDEN if depth == Depth.HIDDEN else FEATURES
            zero = torch.zeros((), dtype=self.dtype, device=self.model.device)
            example[key] = zero.expand(obs.batch_size[0], *self.feature_shape)
        return TensorDict(example, batch_size=obs.batch_size)

    def model_inputs(self, obs: TensorDict) -> dict[str, torch.Tensor]:
        """Arguments of :meth:`Gr00tModel.encode` for observations with images."""
        images = [obs[group] for group in self.spec.image_groups]
        cameras = [camera for group in images for camera in group.split(3, dim=-1)]
        pixel_values = self.inputs.pixel_values([cameras[index] for index in self.mapping.camera_order])
        # without a mask: looking whether it is all ones would make a GPU wait
        return {"pixel_values": pixel_values, "input_ids": self.prompts(obs).input_ids}

    def camera_sizes(self, obs: TensorDict) -> dict[str, tuple[int, int]]:
        """Camera as the checkpoint calls it -> width and height in pixels of the task's images; empty where it calls
        them nothing."""
        shapes = [obs[group].shape[1:] for group in self.spec.image_groups]
        sizes = [(width, height) for height, width, channels in shapes for _ in range(channels // 3)]
        names = self.inputs.embodiment.video_keys
        return {name: sizes[index] for name, index in zip(names, self.mapping.camera_order, strict=False)}

    def _hidden_states(self, obs: TensorDict, layer: int) -> torch.Tensor:
        self.calls += 1
        return self.model.backbone.hidden_states(**self.model_inputs(obs), layer=layer)

    def _read(self, obs: TensorDict, hidden: torch.Tensor, layer: int) -> torch.Tensor:
        """From hidden states that enter a layer to the tokens that the policy reads."""
        prompts = self.prompts(obs)
        with self._own_precision():
            features = self.model.backbone.features(hidden, prompts.input_ids, layer=layer)
            features = dataclasses.replace(features, padding_mask=prompts.padding_mask)
            tokens = self.model.condition(features).tokens if self.freezing.reads_head else features.tokens
        if prompts.padding_mask is not None:
            # what adapters take for no token
            tokens = tokens.masked_fill(prompts.padding_mask[..., None], 0.0)
        return tokens.to(self.dtype)

    def _kept_groups(self, obs: TensorDict) -> dict[str, Any]:
        """Groups that are kept as they are: those of images only where nothing that is made of them is kept."""
        dropped = () if self.freezing.depth == Depth.IMAGES else self.spec.image_groups
        return {name: value for name, value in obs.items() if name not in dropped}

    def raw_state(self, obs: TensorDict) -> torch.Tensor:
        """Proprioception in the checkpoint's keys and units, (num_envs, width of the keys), fp32."""
        return self.mapping.state(torch.cat([obs[group] for group in self.spec.state_groups], dim=-1))

    def state(self, obs: TensorDict) -> torch.Tensor:
        """Proprioception, normalised with the checkpoint's statistics. Shape (num_envs, state_dim), fp32."""
        return self.inputs.embodiment.state.normalize(self.raw_state(obs))

    def head_state(self, obs: TensorDict) -> torch.Tensor:
        """Proprioception as the action head reads it: normalised and padded, (num_envs, 1, max_state_dim), fp32."""
        return self.inputs.state(self.raw_state(obs))

    def context(self, obs: TensorDict) -> Gr00tContext:
        """What the action head knows of encoded observations, their state aside.

        Only where the actor reads the head, so that :attr:`context_key` is of the tokens after VL self-attention.
        """
        prompts = self.prompts(obs)
        # of the real tokens, all
        attended = torch.ones_like(prompts.image_mask)
        return Gr00tContext(obs[self.context_key], attended, prompts.image_mask, prompts.padding_mask)

    @property
    def action_dims(self) -> tuple[int, ...]:
        """Dimensions of the action head's output that reach the robot, in order; the others are padding or unused."""
        action, index = self.inputs.embodiment.action, self.mapping.action_index
        used = set(range(action.dim) if index is None else index)
        at = action.slices()
        for key in self.inputs.embodiment.relative:
            # turning a relative pose into an absolute one mixes its dimensions
            whole = range(*at[key].indices(action.dim))
            if used.intersection(whole):
                used.update(whole)
        return tuple(sorted(used))

    def decode_action(self, normalized: torch.Tensor, obs: TensorDict) -> torch.Tensor:
        """What the action head says -> actions of the environment.

        Args:
            normalized: Sampled actions (num_envs, H, max_action_dim).
            obs: The observations that they were decided on, to whose state some embodiments' actions are relative.

        Returns:
            (num_envs, H', action_dim), fp32, in the environment's units and not clipped; H' is H, or
            :attr:`action_horizon` where that is less.
        """
        return self.mapping.action(self.inputs.decode_action(normalized, self.raw_state(obs)))

    def encode_action(self, actions: torch.Tensor, obs: TensorDict) -> torch.Tensor:
        """The inverse of :meth:`decode_action`, for supervised data: (num_envs, H, max_action_dim), padded with 0."""
        return self.inputs.action(self.mapping.inverse_action(actions), self.raw_state(obs))


def _check_widths(inputs: Gr00tInputs, spec: TaskSpec, mapping: EmbodimentMapping) -> None:
    """Check what is matched by position."""
    embodiment = inputs.embodiment
    for name, vector, terms, limit, mapped in (
        ("state", embodiment.state, spec.state_terms, inputs.max_state_dim, mapping.state),
        ("action", embodiment.action, spec.action_terms, inputs.max_action_dim, mapping.action),
    ):
        if mapped:
            continue
        width = sum(terms.values())
        listed = ", ".join(f"{term} {size}" for term, size in terms.items())
        groups = " (`agent.obs_groups.actor` names the observation groups)" if name == "state" else ""
        if width > limit:
            raise Gr00tCheckpointError(
                f"The task's {name} has {width} dimensions ({listed}); the checkpoint takes at most {limit}."
                f" Remove terms from the task's {name}."
            )
        if width != vector.raw_dim:
            raise Gr00tCheckpointError(
                f"The task's {name} has {width} dimensions ({listed}), but the checkpoint's statistics for"
                f" {embodiment.tag!r} describe {vector.raw_dim} ({vector.describe()}). Both must agree in order and"
                f" units: change the task's {name} terms{groups}, say in `agent.actor.gr00t.mapping` how they"
                " correspond, or choose another `agent.actor.gr00t.embodiment_tag`."
            )
        keys = [spec.key for spec in vector.specs]
        if keys != list(terms) and sorted(keys) == sorted(terms):
            raise Gr00tCheckpointError(
                f"The task's {name} is {', '.join(terms)}, but the checkpoint's statistics for {embodiment.tag!r} have"
                f" the same keys in another order: {', '.join(keys)}. Change the task's {name} terms{groups}, or say in"
                " `agent.actor.gr00t.mapping` how they correspond."
            )


def _check_cameras(inputs: Gr00tInputs, spec: TaskSpec, mapping: EmbodimentMapping) -> None:
    """Check the cameras where their names show that they are the checkpoint's: others are matched by position."""
    known = inputs.embodiment.video_keys
    if not mapping.video and known != spec.cameras and set(known) & set(spec.cameras):
        raise Gr00tCheckpointError(
            f"The task shows the cameras {', '.join(spec.cameras)}, but the checkpoint for {inputs.embodiment.tag!r}"
            f" was trained on {', '.join(known)}. Show the same ones in the same order: choose them in the task"
            f" (Gymnasium: `env.cameras=[{','.join(known)}]`), or say in `agent.actor.gr00t.mapping` how they"
            " correspond."
        )
