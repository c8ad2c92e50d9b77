# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a training checkpoint to a GR00T checkpoint, with the proof that both act alike."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.gr00t.data_config import DATA_CONFIG_FILE, data_config_names
from gr00t_rl_ext.gr00t.slots import EMBODIMENT_SLOTS, NVIDIA_N1_5_TAGS, NVIDIA_SLOTS, RLINF_N1_5_TAGS, slot_of
from gr00t_rl_ext.policy.actor import Actor, FrozenHeadActor, HeadActor
from gr00t_rl_ext.policy.actor_critic import ActorDefinition
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.robot.embodiment_mapping import mapping_file

POLICY_DIRECTORY = "rl_policy"
"""In an exported checkpoint: the actor's own networks, which GR00T's format has no place for."""

_DEFINITION_FILE = "recipe.json"  # as exported checkpoints have it
_MAPPING_FILE = "mapping.yaml"
_WEIGHTS_FILE = "actor.safetensors"


def gr00t_of(actor: Actor) -> Gr00tEncoder:
    """What an exported actor is over: only GR00T's can be exported."""
    return cast(Gr00tEncoder, actor.encoder)


def load_trained(saved: Mapping[str, Any], device: str, **gr00t: Any) -> Actor:
    """The actor of a training checkpoint, in the stage that it was in.

    Args:
        saved: The checkpoint.
        device: Where the actor lives.
        **gr00t: Fields of ``agent.actor.gr00t`` to change, such as a base checkpoint that moved.

    Raises:
        ValueError: The base checkpoint cannot be loaded, or does not fit.
    """
    actor = definition_of(saved).with_gr00t(**gr00t).make(device)
    actor.encoder.freezing.restore(saved["stage"])
    actor.encoder.freezing.load_state_dict(saved["gr00t_state_dict"])
    actor.load_state_dict(saved["actor_state_dict"])
    return actor.eval()


def lost_in_gr00t(actor: Actor) -> str | None:
    """A line on what of a policy that acts through the head GR00T's own inference does not have; None: nothing."""
    if not isinstance(actor, HeadActor):
        return None
    lost = [f"the network in {POLICY_DIRECTORY}/"] if isinstance(actor, FrozenHeadActor) else []
    if actor.noise_scale != 1.0:
        lost.append(f"a noise scale of {actor.noise_scale:g}")
    if not lost:
        return None
    return f"GR00T's own inference draws its noise from N(0, 1): what {' and '.join(lost)} gained is lost there"


def definition_of(saved: Mapping[str, Any]) -> ActorDefinition:
    """What the actor of a training checkpoint was made from."""
    return ActorDefinition.recorded(saved["actor_recipe"])


def write(actor: Actor, definition: ActorDefinition, directory: Path) -> None:
    """Write a GR00T checkpoint with what was trained of it merged in, and the actor's own networks beside it.

    The actor cannot train any more afterwards.

    Args:
        actor: From :func:`load_trained`.
        definition: What it was made from.
        directory: Empty, or does not exist.

    Raises:
        ValueError: GR00T's own code would not read the statistics.
    """
    inputs = gr00t_of(actor).inputs
    _check_tag(gr00t_of(actor).model.version, inputs.embodiment.tag)
    gr00t_of(actor).freezing.merge().save_pretrained(directory)
    (directory / POLICY_DIRECTORY).mkdir()
    if (config := inputs.embodiment.data_config) is not None:
        # with it the checkpoint acts the same elsewhere, wherever it was read from here
        config.model_copy(update={"crop_scale": inputs.images.recipe.crop_scale}).write(directory)
        definition = definition.with_gr00t(data_config="", crop_scale=None)
    # what trained is part of the weights now
    settings = {name: value for name, value in definition.actor.items() if name != "freezing"}
    definition = dataclasses.replace(definition, actor=settings)
    if mapping := settings.get("gr00t", {}).get("mapping"):
        (directory / POLICY_DIRECTORY / _MAPPING_FILE).write_bytes(mapping_file(mapping).read_bytes())
    text = json.dumps(dataclasses.asdict(definition), indent=2)
    (directory / POLICY_DIRECTORY / _DEFINITION_FILE).write_text(text + "\n", encoding="utf-8")
    weights = {name: value.contiguous() for name, value in actor.state_dict().items()}
    save_file(weights, directory / POLICY_DIRECTORY / _WEIGHTS_FILE)


def _check_tag(version: str, tag: str) -> None:
    """Refuse a tag that the schema of GR00T N1.5 does not know."""
    if version == "N1.5" and tag not in EMBODIMENT_SLOTS:
        raise ValueError(
            f"The statistics are of embodiment tag {tag!r}, which GR00T N1.5's own code refuses to read; it knows"
            f" {', '.join(NVIDIA_N1_5_TAGS)} (RLinf's knows {', '.join(RLINF_N1_5_TAGS)} as well). Nothing was written."
            " Fine-tune the checkpoint under one of them, such as new_embodiment, and train from there."
        )


def for_gr00t(actor: Actor) -> list[str]:
    """Lines on how GR00T's own code reads an exported checkpoint as it was read here."""
    embodiment = gr00t_of(actor).inputs.embodiment
    lines = []
    if embodiment.data_config is not None:
        name = f" ({embodiment.origin})" if embodiment.origin in data_config_names() else ""
        lines.append(
            f"data config: {DATA_CONFIG_FILE}{name}. NVIDIA's Gr00tPolicy takes modality_config and modality_transform"
            " of a data config class: give it one with these keys, modes and rotations, and this crop"
        )
    version = gr00t_of(actor).model.version
    if slot_of(embodiment.tag, NVIDIA_SLOTS[version]) is None:
        known = "RLinf's code knows it, " if embodiment.tag in RLINF_N1_5_TAGS else ""
        lines.append(f"embodiment tag {embodiment.tag}: {known}NVIDIA's code for {version} does not, and refuses it")
    return lines


def load_exported(directory: str | Path, device: str, **gr00t: Any) -> Actor:
    """The actor of a directory that :func:`write` wrote.

    Args:
        directory: The exported checkpoint.
        device: Where the actor lives.
        **gr00t: Fields of ``agent.actor.gr00t`` to change, such as ``dtype``.

    Raises:
        FileNotFoundError: The directory was not exported.
    """
    directory = Path(directory)
    file = directory / POLICY_DIRECTORY / _DEFINITION_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"{str(directory)!r} has no {POLICY_DIRECTORY}/{_DEFINITION_FILE}: it is no checkpoint that"
            " scripts/export_gr00t.py wrote."
        )
    definition = ActorDefinition.recorded(json.loads(file.read_text(encoding="utf-8")))
    definition = definition.with_gr00t(checkpoint=str(directory), **gr00t)
    if definition.actor["gr00t"].get("mapping"):
        definition = definition.with_gr00t(mapping=str(directory / POLICY_DIRECTORY / _MAPPING_FILE))
    actor = definition.make(device)
    actor.load_state_dict(load_file(directory / POLICY_DIRECTORY / _WEIGHTS_FILE))
    return actor.eval()


@torch.no_grad()
def actions(actor: Actor, obs: TensorDict) -> dict[str, Tensor]:
    """What a policy does in some observations, by what decides.

    Args:
        actor: The policy.
        obs: Observations as the environment gives them.

    Returns:
        ``policy``: the deterministic action chunks (B, H * A) of the actor; ``GR00T``: those that GR00T's own inference
        samples from a fixed noise, normalised, (B, horizon, max_action_dim), on the CPU.
    """
    encoder = gr00t_of(actor)
    model = encoder.model
    obs = obs.to(str(model.device))
    with torch.random.fork_rng():
        # a flow begins with noise
        torch.manual_seed(0)
        chunks = actor(obs)
    noise = torch.randn(
        obs.batch_size[0], model.action_horizon, model.max_action_dim, generator=torch.Generator().manual_seed(0)
    )
    with encoder.autocast():
        features = model.encode(**encoder.model_inputs(obs))
        features = dataclasses.replace(features, padding_mask=encoder.prompts(obs).padding_mask)
        context = model.condition(features)
        sampled = model.sample(context, encoder.head_state(obs), noise.to(model.device))
    return {"policy": chunks.float().cpu(), "GR00T": sampled.float().cpu()}
