# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Compilation of GR00T (``agent.torch_compile_mode``): refused modes, and that it changes no update."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from made_up_experience import Runner
from policies import POLICIES
from tiny_policy import load_encoder, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune", "fast"])
def test_refused_modes(mode: str) -> None:
    encoder = load_encoder()
    message = (
        f"`agent.torch_compile_mode` is '{mode}'; expected one of default, max-autotune-no-cudagraphs, or null to"
        " compile nothing"
    )
    with pytest.raises(ValueError, match=message):
        encoder.compile(mode)


@pytest.mark.parametrize(("backbone", "compiled"), [(None, False), (True, True)])
def test_what_is_compiled(backbone: bool | None, compiled: bool) -> None:
    """The backbone on a GPU only, unless asked for. Nothing is compiled before the first call."""
    encoder = load_encoder()
    encoder.compile("default", backbone)
    model = encoder.model
    own = model.action_head.vl_self_attention
    assert own is not None
    assert model.action_head.model._compiled_call_impl is not None
    layers = (*model.backbone.language_layers, *own.transformer_blocks)
    assert {layer._compiled_call_impl is not None for layer in layers} == {compiled}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow, sde, one step", "flow, lora"])
def test_a_compiled_update_is_the_eager_one(name: str) -> None:
    """Over two iterations, with another batch size in the rollout than in the mini-batches."""
    weights: dict[str | None, dict[str, Any]] = {}
    for mode in (None, "default"):
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        alg = Gr00tPPO(
            POLICIES[name].build(),  # type: ignore[arg-type]
            observations(4),
            6,
            num_mini_batches=3,
            num_learning_epochs=2,
            target_kl=None,
            learning_rate=1e-4,
        )
        alg.train_mode()
        alg.compile(mode)
        torch.manual_seed(0)
        before = {n: p.detach().clone() for n, p in alg.freezing.parameters().items()}
        Runner(alg).iterate(2)
        compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        # rollout, start of the update, and mini-batches, which need gradients; adapters switched off are one more
        assert compiled == (0 if mode is None else 4 if name == "flow, lora" else 3)
        weights[mode] = {**alg.actor.state_dict(), **alg.critic.state_dict(), **alg.freezing.state_dict()}
        assert max(float((p.detach() - before[n]).abs().max()) for n, p in alg.freezing.parameters().items()) > 1e-4
    for key, value in weights[None].items():
        torch.testing.assert_close(
            weights["default"][key], value, rtol=0, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
