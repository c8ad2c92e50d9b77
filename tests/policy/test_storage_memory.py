# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""memory: the estimate is what rsl_rl allocates, and too much is refused before it is allocated."""

from __future__ import annotations

import pytest
import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from tiny_policy import actor_critic, observations

from gr00t_rl_ext.policy import memory
from gr00t_rl_ext.policy.encoder import Gr00tEncoder


def example(encoder: Gr00tEncoder, num_envs: int = 3) -> TensorDict:
    encoded = encoder.encoded_example(observations(num_envs))
    encoded["executed"] = torch.zeros(num_envs, 4, dtype=torch.bool)
    return encoded


def test_the_estimate_is_what_the_storage_allocates(encoder: Gr00tEncoder) -> None:
    obs, num_steps, num_actions = example(encoder), 5, 4 * 8
    storage = RolloutStorage("rl", 3, num_steps, obs, [num_actions], "cpu")
    actor = actor_critic(encoder).actor
    transition = RolloutStorage.Transition()
    transition.observations, transition.rewards, transition.dones = obs, torch.zeros(3), torch.zeros(3)
    transition.values, transition.actions = torch.zeros(3, 1), actor(obs)
    transition.actions_log_prob = actor.get_output_log_prob(transition.actions)
    transition.distribution_params = actor.output_distribution_params
    with torch.no_grad():
        storage.add_transition(transition)  # allocates the distribution

    tensors = [value for value in vars(storage).values() if isinstance(value, torch.Tensor)]
    tensors += [*storage.observations.values(), *storage.distribution_params]
    allocated = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    parts = memory.storage_bytes(obs, num_steps, num_actions)
    assert sum(parts.values()) == allocated
    assert parts["features"] == 5 * 3 * encoder.feature_shape[0] * encoder.feature_shape[1] * 4
    assert parts["executed"] == 5 * 3 * 4


def test_what_fits_is_described(encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda device: 8 * 2**30)
    text = memory.require_storage(example(encoder), 5, 32, "cpu")
    assert text.startswith("rollout storage: 0.00")
    assert "5 decisions x 3 environments on cpu, 8.0 GiB free (largest: features" in text


def test_what_does_not_fit_is_refused_with_settings_that_do(
    encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    obs, num_steps = example(encoder, num_envs=8), 100
    total = sum(memory.storage_bytes(obs, num_steps, 32).values())
    monkeypatch.setattr(memory, "available_bytes", lambda device: total // 2)
    with pytest.raises(ValueError, match=r"does not fit.*`agent.num_steps_per_env=45` or `--num_envs 3`"):
        memory.require_storage(obs, num_steps, 32, "cpu")
    memory.require_storage(obs, 45, 32, "cpu")
    memory.require_storage(example(encoder, num_envs=3), num_steps, 32, "cpu")


def test_free_memory_of_the_cpu_is_known() -> None:
    assert memory.available_bytes("cpu") > 2**20
