# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What an agent that acts through GR00T's action head does: a decision of all environments, and a step of its update.

The weights are random. Nothing of a simulator or of rsl_rl is in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from random_gr00t import random_gr00t
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.algorithms.objectives import clipped_surrogate_loss
from gr00t_rl_ext.footprint.trace import real_tensors
from gr00t_rl_ext.gr00t import Gr00tInputs, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.embodiment import load_embodiment
from gr00t_rl_ext.gr00t.inputs import load_tokenizer
from gr00t_rl_ext.policy.actor import Decisions, Parameters
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.flow_chain import FlowOptions
from gr00t_rl_ext.policy.freezing import Freezing
from gr00t_rl_ext.policy.options import FlowActorOptions
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.robot.task_spec import TaskSpec

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "scaled": {"sixteenths": 2},
    "shallow": {"sixteenths": 4, "depth": 0.25},
    "full": {"sixteenths": 16},
}
"""Size -> arguments of :func:`~random_gr00t.random_gr00t`. ``tiny`` is the package's own."""

SIZES = ("tiny", *SHAPES)

TEXT_TOKENS = {"N1.5": 40, "N1.6": 36, "N1.7": 30}
"""Tokens of a prompt with one image, beside the image's: 296, 117 and 94 in all at the published image size."""

CROP_SCALE = {"N1.5": 0.95, "N1.6": 0.95, "N1.7": 230 / 256}
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
    freezing_class: type[Freezing] = Freezing,
    encoder_class: type[Gr00tEncoder] = Gr00tEncoder,
    shape: Mapping[str, Any] | None = None,
) -> Gr00tEncoder:
    """A random GR00T with the inputs of a robot of 9 state and 8 action dimensions.

    Args:
        size: Entry of :data:`SIZES`.
        version: "N1.5", "N1.6" or "N1.7".
        num_cameras: Images per observation.
        dtype: Of what is frozen.
        device: Where it lives.
        freezing: What trains. None: :data:`TRAINED`.
        reads_head: Whether the policy acts through the action head.
        freezing_class: What says which parts train and what is kept of a decision.
        encoder_class: What turns observations into what the policy reads.
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
            model = random_gr00t(version, dtype=dtype, device=device, **(shape or SHAPES[size]))
            model.backbone.image_token_index = int(tokenizer.convert_tokens_to_ids(model.backbone.IMAGE_TOKEN))
        embodiment = load_embodiment(checkpoint, _TAG, slot=model.embodiment_slot, device=device)
    inputs = Gr00tInputs(model, embodiment, tokenizer, num_cameras=num_cameras, crop_scale=CROP_SCALE[version])
    template = tokenizer(model.backbone.prompt("", 1), add_special_tokens=False)["input_ids"]
    words = TEXT_TOKENS[version] + model.backbone.tokens_per_image - len(template)
    spec = TaskSpec(" ".join(["a"] * words), ("rgb",), cameras, ("state",), {"joints": 9}, {"arm": 7, "gripper": 1})
    options = FreezingOptions(train=list(TRAINED)) if freezing is None else freezing
    trained = freezing_class(model, options, reads_head=reads_head)
    return encoder_class(trained, inputs, spec, fingerprint="random")


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

    recorded: Parameters
    """What is recorded of the decision: the denoising chain."""


class PolicyCall:
    """A decision of all environments with noise, from their observations: what the agent does once per chunk.

    Args:
        actor: The policy.
        max_batch: Most environments that pass through the model at once. None: all.

    Attributes:
        encoder: The actor's.
    """

    def __init__(self, actor: Gr00tFlowActor, max_batch: int | None = None) -> None:
        self.actor, self.encoder, self.max_batch = actor, actor.encoder, max_batch

    def __call__(self, obs: TensorDict) -> Decision:
        parts = [self._decide(part) for part in obs.split(self.max_batch or obs.batch_size[0])]
        if len(parts) == 1:
            return parts[0]
        actions, kept, recorded = zip(*parts, strict=True)
        return Decision(
            torch.cat(actions), torch.cat(kept), tuple(torch.cat(tensors) for tensors in zip(*recorded, strict=True))
        )

    @torch.no_grad()
    def _decide(self, obs: TensorDict) -> Decision:
        encoded = self.encoder.encode(obs)
        actions, recorded = self.actor.decide(encoded, stochastic=True)
        assert recorded is not None
        return Decision(actions, self.encoder.kept(encoded), recorded)


def flow_actor(encoder: Gr00tEncoder, options: FlowOptions, chunk: int) -> Gr00tFlowActor:
    """GR00T's action head as the policy.

    Args:
        encoder: The model.
        options: Of the policy.
        chunk: Control steps H of a decision that are executed.
    """
    if not 1 <= chunk <= encoder.action_horizon:
        raise ValueError(f"--chunk is {chunk}; expected 1 to {encoder.action_horizon}, the model's horizon")
    return Gr00tFlowActor(encoder, FlowActorOptions(chunk_length=chunk, flow=options))


class Update:
    """A step of PPO on the action head: new probability of the scored step, surrogate, gradients, clipping, AdamW.

    Args:
        actor: The policy.
        decision: The mini-batch.
    """

    def __init__(self, actor: Gr00tFlowActor, decision: Decision) -> None:
        self.actor, self.encoder = actor, actor.encoder
        # as a rollout's storage copies them: what inference mode made cannot be saved for a backward pass
        self.kept = decision.kept.clone()
        num_envs, chunk, _ = decision.actions.shape
        self.decisions = Decisions(
            decision.actions.flatten(1).clone(),
            tuple(tensor.clone() for tensor in decision.recorded),
            torch.ones(num_envs, chunk, dtype=torch.bool, device=self.encoder.model.device),
        )
        self.advantages = torch.randn(num_envs, 1, device=self.encoder.model.device)
        self.parameters = list(self.encoder.freezing.parameters().values())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-6, fused=True)

    def step(self, amp: bool) -> None:
        """One step of the optimizer; with ``amp`` float32 layers under bfloat16 autocast."""
        self.optimizer.zero_grad()
        with torch.autocast(self.encoder.model.device.type, torch.bfloat16, enabled=amp):
            distribution = self.actor.distribution(self.encoder.complete(self.kept), self.decisions)
        current = self.actor.scored(distribution, self.decisions)
        log_ratio = current.log_ratio(self.actor.score_recorded(self.decisions)).sum(1, keepdim=True)
        clipped_surrogate_loss(log_ratio, self.advantages, clip=0.2).backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()


def compile_policy(encoder: Gr00tEncoder, what: str, cuda_graphs: bool) -> None:
    """Compile parts of a model, in place.

    Args:
        encoder: Of the model.
        what: "head": the diffusion transformer. "all": also each layer of the language model and of the VL
            self-attention, and of N1.7's vision model. ``agent.torch_compile_mode`` compiles all on a GPU and the head
            on a CPU.
        cuda_graphs: Record the kernels of what is compiled, which saves their launches. The agent refuses that: its
            update still reads what an earlier call returned.
    """
    if cuda_graphs:
        encoder.model.action_head.model.compile(mode="reduce-overhead")
        if what == "all":
            encoder.model.compile_layers(mode="reduce-overhead")
    else:
        encoder.compile("default", backbone=what == "all")


Place = tuple[Any, str, str]
"""An object, the name of a method of it, and the phase that its calls count in."""


def metered_phases(encoder: Gr00tEncoder, read: Callable[[], float]) -> AbstractContextManager[dict[str, float]]:
    """What a meter counts in each of :data:`PHASES` of the policy calls in the block; see :func:`metered`."""
    model = encoder.model
    places = (
        (encoder.inputs, "pixel_values", "images"),
        (model.backbone, "image_features", "vision"),
        (model.backbone, "hidden_states", "language"),
        (model.backbone, "features", "language"),
        (model, "condition", "VL self-attention, K/V"),
        (model.action_head, "cache_key_values", "VL self-attention, K/V"),
        (model.action_head, "velocity", "denoising"),
        (encoder, "state", "state and actions"),
        (encoder.inputs, "state", "state and actions"),
        (encoder, "decode_action", "state and actions"),
    )
    return metered(places, PHASES, read)


@contextmanager
def metered(places: Sequence[Place], phases: Sequence[str], read: Callable[[], float]) -> Iterator[dict[str, float]]:
    """What a meter counts in each phase of what runs in the block.

    Args:
        places: Whose methods tell the phases apart.
        phases: Their names. What is in none of the places counts in the last one.
        read: The meter, such as a clock: a number that only rises.

    Yields:
        The counts, complete after the block. What a phase calls of another one counts there.
    """
    counts: dict[str, float] = dict.fromkeys(phases, 0.0)
    running, last = [phases[-1]], read()

    def switch() -> None:
        nonlocal last
        now = read()
        counts[running[-1]] += now - last
        last = now

    def metering(phase: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            switch()
            running.append(phase)
            try:
                return method(*args, **kwargs)
            finally:
                switch()
                running.pop()

        return call

    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
    try:
        for owner, name, phase in places:
            setattr(owner, name, metering(phase, getattr(owner, name)))
        yield counts
    finally:
        switch()
        for owner, name, own in before:
            delattr(owner, name) if own is None else setattr(owner, name, own)
