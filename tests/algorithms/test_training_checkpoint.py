# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""checkpoint: the header that tells our checkpoints from others, and random states."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from made_up_experience import N, T, same, weights
from policies import POLICIES
from rsl_rl.utils import resolve_callable
from tiny_policy import observations

from gr00t_rl_ext.algorithms import checkpoint
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO

HEADER = {"format": checkpoint.FORMAT, "base_fingerprint": "abc", "base_name": "/models/base"}


def test_the_own_header_is_accepted() -> None:
    checkpoint.check_header(HEADER, "abc", "/elsewhere/base")


def test_a_checkpoint_of_another_program_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not written by gr00t_rl_ext \(it has the keys actor_state_dict, iter\)"):
        checkpoint.check_header({"iter": 3, "actor_state_dict": {}}, "abc", "base")


@pytest.mark.parametrize("version", [checkpoint.FORMAT - 1, checkpoint.FORMAT + 1])
def test_another_format_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match=rf"has format {version}; this version .* reads format {checkpoint.FORMAT}"):
        checkpoint.check_header(HEADER | {"format": version}, "abc", "base")


def test_a_checkpoint_of_another_base_is_refused_with_both_names() -> None:
    with pytest.raises(ValueError, match=r"trained on the GR00T in '/models/base', but '/models/new' is loaded"):
        checkpoint.check_header(HEADER, "def", "/models/new")


# Policies


def of(class_name: str, algorithm: str = "Gr00tPPO") -> dict[str, Any]:
    """The header of a checkpoint of some policy."""
    return HEADER | {"algorithm": algorithm, "actor_recipe": {"class_name": class_name}}


GAUSSIAN, STEERING, FLOW = (
    f"gr00t_rl_ext.policy.{name}"
    for name in ("gaussian_actor:Gr00tGaussianActor", "steering:Gr00tSteeringActor", "flow_actor:Gr00tFlowActor")
)


def test_the_own_policy_is_accepted() -> None:
    for class_name in (*checkpoint.POLICIES, "my.module:Policy"):
        checkpoint.check_policy(of(class_name), class_name)


@pytest.mark.parametrize(
    ("trained", "agent", "message"),
    [
        (
            of(GAUSSIAN),
            STEERING,
            "This checkpoint's policy is a Gaussian adapter, which gr00t_adapter_ppo or gr00t_adapter_ppo_small plays"
            " (before version 0.2 they were called gr00t_ppo and gr00t_ppo_small). The policy of the agent here is a"
            " steering adapter.",
        ),
        (
            of(STEERING, "Gr00tGRPO"),
            FLOW,
            "This checkpoint's policy is a steering adapter, which gr00t_grpo or gr00t_grpo_small plays. The policy of"
            " the agent here is GR00T's action head.",
        ),
        (
            of("gr00t_rl_ext.policy.mlp:MlpActor"),
            "my.module:Policy",
            "This checkpoint's policy is an MLP, which the agent mlp_ppo plays. The policy of the agent here is a"
            " my.module:Policy.",
        ),
        (
            of("my.module:Policy"),
            FLOW,
            "This checkpoint's policy is a my.module:Policy. Choose the `--agent` that it was trained with. The policy"
            " of the agent here is GR00T's action head.",
        ),
        (HEADER | {"format": 1}, FLOW, "This checkpoint has format 1; this version of gr00t_rl_ext reads format"),
    ],
)
def test_another_policy_is_refused_with_the_agent_that_plays_it(trained: dict, agent: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checkpoint.check_policy(trained, agent)


def test_every_policy_of_a_recipe_has_a_name_and_agents() -> None:
    recipes = pytest.importorskip("gr00t_rl_ext.tasks.recipes")
    configs = [cls() for cls in vars(recipes).values() if isinstance(cls, type) and cls.__name__.endswith("RunnerCfg")]
    classes = {
        str(cfg.actor.class_name) for cfg in configs if "gr00t_rl_ext" in str(getattr(cfg.actor, "class_name", ""))
    }
    assert classes == checkpoint.POLICIES.keys()
    docs = " ".join(str(cls.__doc__) for cls in vars(recipes).values())
    for class_name, (_, stem) in checkpoint.POLICIES.items():
        actor_class = resolve_callable(class_name)
        assert f"{actor_class.__module__}:{actor_class.__qualname__}" == class_name
        assert f"``{stem}_ppo``" in docs


def test_a_checkpoint_of_another_policy_is_refused_before_anything_changes() -> None:
    def algorithm(policy: str, seed: int) -> Gr00tPPO:
        return Gr00tPPO(POLICIES[policy].build(seed), observations(N), T)

    saved, alg = algorithm("steering", 1).save(), algorithm("gaussian", 0)
    before = weights(alg)
    random = torch.get_rng_state()
    message = "policy is a steering adapter, which gr00t_ppo or gr00t_ppo_small plays. .* here is a Gaussian adapter"
    with pytest.raises(ValueError, match=message):
        alg.load(saved | {"iteration": 7, "stage": 3}, None, True)
    assert same(before, weights(alg))
    assert alg.iteration == alg.freezing.stage == 0
    assert torch.equal(torch.get_rng_state(), random)


# The scale of the noise


@pytest.mark.parametrize(
    ("recorded", "note"),
    [
        ({}, None),
        # older runs do not hold it, and began with the noise that GR00T draws
        ({"noise_scale": None}, "=1, the agent here has 0. Add `agent.actor.noise_scale=1` to act as the run did, or"),
        (
            {"noise_scale": 0.5},
            "=0.5, the agent here has 0. Add `agent.actor.noise_scale=0.5` to act as the run did, or",
        ),
    ],
)
def test_a_scale_that_is_not_that_of_the_run_is_noted(
    recorded: dict[str, float | None], note: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    algorithm = Gr00tPPO(POLICIES["residual"].build(), observations(N), T, num_mini_batches=1)
    saved = algorithm.save()
    actor = saved["actor_recipe"]["actor"] | recorded
    saved["actor_recipe"]["actor"] = {
        name: value for name, value in actor.items() if recorded.get(name, 0.0) is not None
    }
    algorithm.load(saved, None, strict=True)
    told = capsys.readouterr().out
    assert (f"note: the checkpoint's run had agent.actor.noise_scale{note}" in told) if note else "note:" not in told
