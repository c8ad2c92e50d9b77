# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several instructions in one batch: each environment is seen and decided as if it was alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from policies import POLICIES
from tensordict import TensorDict
from tiny_policy import OBS_GROUPS, SPEC, actor_critic, load_encoder, observations
from torch import nn

from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.configs import MlpActorCfg
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.mlp import MlpActor
from gr00t_rl_ext.policy.options import MlpActorOptions
from gr00t_rl_ext.policy.plain import PlainEncoder
from gr00t_rl_ext.robot.task_spec import TASK, TaskSpec

TOLD = (
    "stack the red cube on the blue cube",
    "lift the red cube",
    "lift the green cube",
    "pick up the red cube and place it on the green cube",
)
SEVERAL = dataclasses.replace(
    SPEC, instruction=TOLD[0], instructions=TOLD, tasks=("stack", "lift_red", "lift_green", "stack")
)
COLUMNS = [1, 0, 3, 2]


def told(columns: list[int] = COLUMNS, seed: int = 0) -> TensorDict:
    obs = observations(len(columns), seed)
    obs[TASK] = nn.functional.one_hot(torch.tensor(columns), len(TOLD)).float()
    return obs


def load(folder: Path, version: str, spec: TaskSpec, **settings: Any) -> Gr00tEncoder:
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms}
    directory = folder / version
    if not directory.exists():
        build_tiny_checkpoint(directory, version=version, **keys)
    return load_encoder(spec, checkpoint=str(directory), **settings)


def test_what_each_is_told() -> None:
    assert SEVERAL.told(told()) == [TOLD[column] for column in COLUMNS]
    assert SEVERAL.task_names == ("stack", "lift_red", "lift_green")
    assert SEVERAL.task_index(told()).tolist() == [1, 0, 0, 2]
    assert (SPEC.told(observations()), SPEC.task_index(observations())) == ([SPEC.instruction] * 4, None)


def test_an_old_checkpoint_has_the_digest_that_it_had() -> None:
    """Of a spec without several instructions, as version 0.1.0 made it."""
    assert SPEC.digest() == "af88d54cbedc"
    assert SEVERAL.digest() != dataclasses.replace(SEVERAL, instructions=(), tasks=()).digest()


@pytest.mark.parametrize("reads_head", [False, True])
@pytest.mark.parametrize("version", ["N1.5", "N1.6", "N1.7"])
def test_each_is_seen_as_if_it_was_alone(tmp_path: Path, version: str, reads_head: bool) -> None:
    encoder = load(tmp_path, version, SEVERAL, reads_head=reads_head)
    together = encoder.encode(told())[FEATURES]
    lengths = [encoder.inputs.prompt_length(text) for text in TOLD]
    assert len(set(lengths)) == 3, "or nothing would be padded"
    assert together.shape[1:] == encoder.feature_shape == (max(lengths), encoder.model.feature_dim)
    for row, column in enumerate(COLUMNS):
        spec = dataclasses.replace(SPEC, instruction=TOLD[column])
        alone = Gr00tEncoder(encoder.freezing, encoder.inputs, spec, "").encode(observations()[row : row + 1])[FEATURES]
        length = lengths[column]
        torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)
        assert not together[row, length:].any()
        # what critics make of it
        torch.testing.assert_close(encoder.pool(together, told())[row], alone[0].mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", ["N1.5", "N1.6", "N1.7"])
def test_each_decides_as_if_it_was_alone(tmp_path: Path, version: str) -> None:
    encoder = load(tmp_path, version, SEVERAL, reads_head=True)
    policy = actor_critic(encoder, actor_class=Gr00tFlowActor)
    context, state = encoder.context(encoder.encode(told())), encoder.head_state(told())
    noise = torch.randn(4, *policy.actor.noise_shape, generator=torch.Generator().manual_seed(1))
    together = encoder.model.sample(context, state, noise)
    for row, column in enumerate(COLUMNS):
        spec = dataclasses.replace(SPEC, instruction=TOLD[column])
        single = Gr00tEncoder(encoder.freezing, encoder.inputs, spec, "")
        context = single.context(single.encode(observations()[row : row + 1]))
        alone = encoder.model.sample(context, state[row : row + 1], noise[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "categorical"])
def test_every_policy_scores_what_it_decided(name: str) -> None:
    """And decides otherwise where nothing but the instruction differs."""
    policy = dataclasses.replace(POLICIES[name], spec=SEVERAL).build()
    actor = policy.actor
    with torch.no_grad():
        obs = actor.encoder.encode(told())
        actions = actor(obs, stochastic_output=True)
        valid = torch.ones(4, actor.chunk_length, dtype=torch.bool)
        decisions = Decisions(actions, actor.output_distribution_params, valid)
        kept = actor.encoder.complete(actor.encoder.kept(obs))
        ratio = actor.score(kept, decisions).log_ratio(actor.score_recorded(decisions))
        assert ratio.abs().max() < 1e-4
        same = told([0, 0, 0, 0])[torch.zeros(4, dtype=torch.long)]
        other = same.clone()
        other[TASK] = told([0, 1, 2, 3])[TASK]
        torch.manual_seed(0)
        before = actor(actor.encoder.encode(same), stochastic_output=False)
        torch.manual_seed(0)
        after = actor(actor.encoder.encode(other), stochastic_output=False)
    assert torch.allclose(before[0], after[0], atol=1e-5)
    if name != "steering" and "gaussian" not in name and name != "squashed":
        # what learns begins without a difference in these
        assert all(not torch.allclose(before[row], after[row], atol=1e-5) for row in (1, 2, 3))


def test_a_critic_may_read_the_task_itself() -> None:
    encoder = load_encoder(SEVERAL)
    critic = Gr00tCritic(encoder, told(), ["rgb", "state", TASK])
    with torch.no_grad():
        assert critic(told()).shape == (4, 1)


def test_an_mlp_reads_the_task_as_numbers() -> None:
    spec = dataclasses.replace(
        SEVERAL, image_groups=(), cameras=(), state_groups=(TASK, "state"), state_terms={TASK: 4, "joints": 16}
    )
    actor = MlpActor(
        PlainEncoder(spec, told()),
        MlpActorOptions(hidden_dims=[16], distribution_cfg=MlpActorCfg().distribution_cfg.to_dict()),
    )
    assert actor(told()).shape == (4, 8)
    assert OBS_GROUPS["actor"] == ["rgb", "state"], "what it is without"
