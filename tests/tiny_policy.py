# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A tiny policy for the tests: a task, its observations, a random GR00T and actor and critic over it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from gr00t_rl_ext.policy.actor import Actor, Decisions
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.robot.task_spec import TaskSpec

SPEC = TaskSpec(
    instruction="stack the red cube on the blue cube",
    image_groups=("rgb",),
    cameras=("camera", "wrist"),
    state_groups=("state",),
    state_terms={"joints": 9, "object": 7},
    action_terms={"arm": 7, "gripper": 1},
)
OBS_GROUPS = {"actor": ["rgb", "state"], "critic": ["rgb", "state", "privileged"]}


def observations(num_envs: int = 4, seed: int = 0) -> TensorDict:
    """Random observations in the layout of the stack task."""
    generator = torch.Generator().manual_seed(seed)
    return TensorDict(
        {
            "rgb": torch.randint(0, 256, (num_envs, 64, 64, 6), dtype=torch.uint8, generator=generator),
            "state": torch.randn(num_envs, 16, generator=generator),
            "privileged": torch.randn(num_envs, 56, generator=generator),
        },
        batch_size=[num_envs],
    )


def load_encoder(
    spec: TaskSpec = SPEC,
    freezing: FreezingOptions | None = None,
    reads_head: bool = False,
    encoder_class: type[Gr00tEncoder] = Gr00tEncoder,
    **options: Any,
) -> Gr00tEncoder:
    """A tiny random GR00T for the spec."""
    return encoder_class.load(spec, Gr00tOptions(**options), "cpu", freezing, reads_head=reads_head)


@pytest.fixture(scope="session")
def encoder() -> Gr00tEncoder:
    """Shared by all tests, which must not change it; its ``calls`` go on counting."""
    return load_encoder()


def actor_critic(
    encoder: Gr00tEncoder,
    chunk_length: int = 4,
    seed: int = 0,
    actor_class: type[Actor] = Gr00tGaussianActor,
    critic: dict[str, Any] | None = None,
    **actor: Any,
) -> Gr00tActorCritic:
    """A pair of networks over an encoder that exists.

    Args:
        encoder: Shared, or made for the actor.
        chunk_length: H.
        seed: Equal seeds give equal networks.
        actor_class: The policy.
        critic: Further settings of the critic.
        **actor: Sections and fields of ``agent.actor``.
    """
    torch.manual_seed(seed)
    settings: dict[str, Any] = {"freezing": dataclasses.asdict(encoder.freezing.options), "chunk_length": chunk_length}
    fields = {field.name: field for field in dataclasses.fields(actor_class.OPTIONS)}
    if "hidden_dims" in fields:
        settings["hidden_dims"] = [32, 32]
    if "distribution_cfg" in fields and "Bounded" in str(fields["distribution_cfg"].type):
        # wide enough for a policy to move visibly within a few updates
        settings["distribution_cfg"] = {"init_std": 0.3} | actor.pop("distribution_cfg", {})
    obs = observations().select(*OBS_GROUPS["critic"])
    return Gr00tActorCritic.build(
        actor_class,
        encoder.spec,
        obs,
        OBS_GROUPS,
        settings | actor,
        {"hidden_dims": [32, 32], **(critic or {})},
        "cpu",
        encoder=encoder,
    )


def decided(actor: Actor, seed: int = 0) -> tuple[TensorDict, Decisions]:
    """Encoded observations, and stochastic decisions in them that were executed as a whole."""
    with torch.no_grad():
        obs = actor.encoder.encode(observations())
        torch.manual_seed(seed)
        actions = actor(obs, stochastic_output=True)
    valid = torch.ones(len(actions), actor.chunk_length, dtype=torch.bool)
    return obs, Decisions(actions, actor.output_distribution_params, valid)


def shift_mean(actor: Any, raw: float) -> None:
    """Let an actor's adapter output the same number for every entry, before Tanh."""
    *_, bias = actor.adapter.mlp.parameters()
    with torch.no_grad():
        bias.fill_(raw)


def gr00t_inference(
    encoder: Gr00tEncoder, raw: TensorDict, steps: int, seed: int, noise_scale: float = 1.0
) -> torch.Tensor:
    """Normalised actions of GR00T's own inference in observations with images, (B, horizon, max_action_dim).

    ``noise_scale`` multiplies the noise that it draws."""
    model = encoder.model
    torch.manual_seed(seed)
    with torch.no_grad():
        noise = noise_scale * torch.randn(raw.batch_size[0], model.action_horizon, model.max_action_dim)
        context = model.condition(model.encode(**encoder.model_inputs(raw)))
        return model.sample(context, encoder.head_state(raw), noise, steps)


def task_stand_in(**changes: Any) -> SimpleNamespace:
    """The attributes of a manager-based environment that TaskSpec.from_env reads."""
    env = SimpleNamespace(
        cfg=SimpleNamespace(instruction=SPEC.instruction),
        observation_manager=SimpleNamespace(
            active_terms={"rgb": ["camera", "wrist"], "state": ["joints", "object"], "privileged": ["everything"]},
            group_obs_term_dim={"rgb": [(64, 64, 3)] * 2, "state": [(9,), (7,)], "privileged": [(56,)]},
        ),
        action_manager=SimpleNamespace(active_terms=["arm", "gripper"], action_term_dim=[7, 1]),
    )
    vars(env).update(changes)
    return env
