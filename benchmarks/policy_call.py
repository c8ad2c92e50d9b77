# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What an agent that acts through GR00T's action head does: a decision of all environments, and a step of its update.

The weights are random. Nothing of a simulator or of rsl_rl is in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from random_gr00t import random_gr00t
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.algorithms.objectives import clipped_surrogate_loss
from gr00t_rl_ext.gr00t import Gr00tContext, Gr00tInputs, Gr00tModel, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.embodiment import load_embodiment
from gr00t_rl_ext.gr00t.inputs import load_tokenizer
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_chain import (
    FlowChain,
    FlowOptions,
    VelocityField,
    rollout_steps,
    sample_chain,
    scored_steps,
)
from gr00t_rl_ext.policy.freezing import Freezing
from gr00t_rl_ext.policy.memory_trace import real_tensors
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.policy.task_spec import TaskSpec

SIXTEENTHS = {"scaled": 2, "full": 16}
"""Size -> widths in sixteenths of the published ones, at the published depth. ``tiny`` is the package's own."""

SIZES = ("tiny", *SIXTEENTHS)

TEXT_TOKENS = {"N1.5": 40, "N1.7": 30}
"""Tokens of a prompt with one image, beside the image's: 296 and 94 in all at the published image size."""

CROP_SCALE = {"N1.5": None, "N1.7": 230 / 256}
"""Centre crop that the published checkpoints ask for."""

TRAINED = ("projector", "dit")
"""Parts of GR00T that train, in float32: the rest is frozen in the model's data type."""

PHASES: tuple[str, ...] = (
    "images",
    "vision",
    "language",
    "VL self-attention, K/V",
    "denoising",
    "state and actions",
    "rest",
)
"""Parts of a policy call: preprocessing, vision model, language model, what the head does once per decision, its K
velocities, normalisation and decoding, and everything else (noise, chain, joining parts of the batch)."""

_TAG = "new_embodiment"


def random_encoder(
    size: str,
    version: str,
    num_cameras: int,
    dtype: torch.dtype,
    device: str,
    *,
    freezing: FreezingOptions | None = None,
    reads_head: bool = True,
    shape: Mapping[str, Any] | None = None,
) -> Gr00tEncoder:
    """A random GR00T with the inputs of a robot of 9 state and 8 action dimensions.

    Args:
        size: Entry of :data:`SIZES`.
        version: "N1.5" or "N1.7".
        num_cameras: Images per observation.
        dtype: Of what is frozen.
        device: Where it lives.
        freezing: What trains. None: :data:`TRAINED`.
        reads_head: Whether the policy acts through the action head.
        shape: Arguments of :func:`~random_gr00t.random_gr00t` instead of those of the size; not for "tiny".
    """
    cameras = tuple(f"camera{index}" for index in range(num_cameras))
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "tiny"
        with real_tensors():
            build_tiny_checkpoint(checkpoint, version=version, video_keys=cameras)
        tokenizer = load_tokenizer(checkpoint)
        if size == "tiny":
            model = load_gr00t(checkpoint, embodiment_tag=_TAG, dtype=dtype, device=device)
        else:
            model = random_gr00t(version, dtype=dtype, device=device, **(shape or {"sixteenths": SIXTEENTHS[size]}))
            model.backbone.image_token_index = int(tokenizer.convert_tokens_to_ids(model.backbone.IMAGE_TOKEN))
        embodiment = load_embodiment(checkpoint, _TAG, slot=model.embodiment_slot, device=device)
    inputs = Gr00tInputs(model, embodiment, tokenizer, num_cameras=num_cameras, crop_scale=CROP_SCALE[version])
    template = tokenizer(model.backbone.prompt("", 1), add_special_tokens=False)["input_ids"]
    words = TEXT_TOKENS[version] + model.backbone.tokens_per_image - len(template)
    spec = TaskSpec(" ".join(["a"] * words), ("rgb",), cameras, ("state",), {"joints": 9}, {"arm": 7, "gripper": 1})
    options = FreezingOptions(train=TRAINED) if freezing is None else freezing
    trained = Freezing(model, options, reads_head=reads_head)
    return Gr00tEncoder(trained, inputs, spec, fingerprint="random")


def observations(encoder: Gr00tEncoder, num_envs: int, resolution: int | None = None) -> TensorDict:
    """Random observations on the model's device.

    Args:
        encoder: Whose.
        num_envs: B.
        resolution: Side of a camera's image in pixels. None: what the model sees.
    """
    device, spec = encoder.model.device, encoder.spec
    side = encoder.model.backbone.image_size if resolution is None else resolution
    shape = (num_envs, side, side, 3 * spec.num_cameras)
    groups = {
        "rgb": torch.randint(0, 256, shape, dtype=torch.uint8, device=device),
        "state": 2.0 * torch.rand(num_envs, spec.state_dim, device=device) - 1.0,
    }
    return TensorDict(groups, batch_size=[num_envs])


class Decision(NamedTuple):
    """What a policy call gives for B environments."""

    actions: Tensor
    """For the environments, (B, H, A)."""

    kept: TensorDict
    """What is kept of the observations for the update."""

    chain: FlowChain
    """What is kept of the denoising chain."""


class PolicyCall:
    """A decision of all environments with noise, from their observations.

    Everything that is measured goes through :meth:`_decide`, so that another actor can take its place.

    Args:
        encoder: The model.
        options: Of the flow policy.
        chunk: Control steps H of a decision that are executed.
        max_batch: Most environments that pass through the model at once. None: all.
    """

    def __init__(self, encoder: Gr00tEncoder, options: FlowOptions, chunk: int, max_batch: int | None = None) -> None:
        if not 1 <= chunk <= encoder.action_horizon:
            raise ValueError(f"--chunk is {chunk}; expected 1 to {encoder.action_horizon}, the model's horizon")
        self.encoder, self.options, self.chunk, self.max_batch = encoder, options, chunk, max_batch

    def __call__(self, obs: TensorDict) -> Decision:
        parts = [self._decide(part) for part in obs.split(self.max_batch or obs.batch_size[0])]
        if len(parts) == 1:
            return parts[0]
        actions, kept, chains = zip(*parts, strict=True)
        chain = FlowChain(*(torch.cat(tensors) for tensors in zip(*chains, strict=True)))
        return Decision(torch.cat(actions), torch.cat(kept), chain)

    @torch.no_grad()
    def _decide(self, obs: TensorDict) -> Decision:
        encoder, model = self.encoder, self.encoder.model
        encoded = encoder.encode(obs)
        noise = torch.randn(obs.batch_size[0], model.action_horizon, model.max_action_dim, device=model.device)
        with encoder.autocast():
            field = velocity_field(encoder, encoded)
            actions, chain = sample_chain(field, noise, self.options, self.options.noise_level)
        return Decision(encoder.decode_action(actions, obs)[:, : self.chunk], encoder.kept(encoded), chain)


def velocity_field(encoder: Gr00tEncoder, encoded: TensorDict) -> VelocityField:
    """The action head on encoded observations, its keys and values computed once."""
    model = encoder.model
    input_ids, attention_mask = encoder.inputs.prompt(encoder.spec.instruction, encoded.batch_size[0])
    image_mask = input_ids == model.backbone.image_token_index
    context = model.cache_key_values(Gr00tContext(encoded[FEATURES], attention_mask.bool(), image_mask))
    state = encoder.inputs.state(encoder.raw_state(encoded))
    buckets = model.action_head.config.num_timestep_buckets
    return lambda x, t: model.velocity(context, state, x, (t * buckets).long())


class Update:
    """A step of PPO on the action head: new probability of the scored step, surrogate, gradients, clipping, AdamW.

    Args:
        encoder: The model.
        options: Of the flow policy.
        decision: The mini-batch.
    """

    def __init__(self, encoder: Gr00tEncoder, options: FlowOptions, decision: Decision) -> None:
        self.encoder, self.options = encoder, options
        # as a rollout's storage copies them: what inference mode made cannot be saved for a backward pass
        self.kept = decision.kept.clone()
        self.chain = FlowChain(*(tensor.clone() for tensor in decision.chain))
        num_envs, chunk, action_dim = decision.actions.shape
        device = encoder.model.device
        self.valid = torch.ones(num_envs, chunk, dtype=torch.bool, device=device)
        self.action_dims = torch.arange(action_dim, device=device)
        self.advantages = torch.randn(num_envs, device=device)
        self.parameters = list(encoder.freezing.parameters().values())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-6, fused=True)

    def step(self, amp: bool) -> None:
        """One step of the optimizer, the network in float32, or with ``amp`` under bfloat16 autocast."""
        self.optimizer.zero_grad()
        with torch.autocast(self.encoder.model.device.type, torch.bfloat16, enabled=amp):
            field = velocity_field(self.encoder, self.kept)
            steps = scored_steps(field, self.chain, self.options, self.valid, self.action_dims)
        log_ratio = steps.log_ratio(rollout_steps(self.chain, self.valid, self.action_dims)).sum(1)
        clipped_surrogate_loss(log_ratio, self.advantages, clip=0.2).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()


def compile_policy(model: Gr00tModel, what: str, cuda_graphs: bool) -> None:
    """Compile parts of a model, in place, for one batch size each time after ``torch.compiler.reset()``.

    Args:
        model: The model.
        what: "head": the velocity network. "all": also the vision model, and each layer of the language model and of
            the VL self-attention, which are alike, so that one is compiled.
        cuda_graphs: Record the kernels of what is compiled, which saves their launches.
    """
    how: dict[str, Any] = {"dynamic": False, "mode": "reduce-overhead" if cuda_graphs else None}
    head, backbone = model.action_head, model.backbone
    head.velocity = torch.compile(head.velocity, **how)
    if what == "all":
        backbone.image_features = torch.compile(backbone.image_features, **how)
        own = [] if head.vl_self_attention is None else head.vl_self_attention.transformer_blocks
        for block in (*backbone.language_layers, *own):
            block.compile(**how)


@contextmanager
def metered_phases(encoder: Gr00tEncoder, read: Callable[[], float]) -> Iterator[dict[str, float]]:
    """What a meter counts in each of :data:`PHASES` of the policy calls in the block.

    Args:
        encoder: Whose methods tell the phases apart.
        read: The meter, such as a clock: a number that only rises.

    Yields:
        The counts, complete after the block. What a phase calls of another one counts there.
    """
    counts: dict[str, float] = dict.fromkeys(PHASES, 0.0)
    running, last = ["rest"], read()

    def switch() -> None:
        nonlocal last
        now = read()
        counts[running[-1]] += now - last
        last = now

    def metered(phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            switch()
            running.append(phase)
            try:
                return method(*args, **kwargs)
            finally:
                switch()
                running.pop()

        return call

    model = encoder.model
    places: tuple[tuple[Any, str, str], ...] = (
        (encoder.inputs, "pixel_values", "images"),
        (model.backbone, "image_features", "vision"),
        (model.backbone, "hidden_states", "language"),
        (model.backbone, "features", "language"),
        (model, "condition", "VL self-attention, K/V"),
        (model, "cache_key_values", "VL self-attention, K/V"),
        (model, "velocity", "denoising"),
        (encoder, "state", "state and actions"),
        (encoder.inputs, "state", "state and actions"),
        (encoder, "decode_action", "state and actions"),
    )
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
    try:
        for owner, name, phase in places:
            setattr(owner, name, metered(phase, getattr(owner, name)))
        yield counts
    finally:
        switch()
        for owner, name, own in before:
            delattr(owner, name) if own is None else setattr(owner, name, own)
