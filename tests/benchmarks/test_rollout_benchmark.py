# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The benchmark of policy calls: what it counts, by hand, and that its figures follow from what it measured."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import policy_call
import pytest
import rollout
import torch
import torch.nn.functional as F

from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_chain import FlowOptions


@pytest.fixture(scope="module")
def encoder() -> Gr00tEncoder:
    return policy_call.random_encoder("tiny", "N1.5", 1, torch.float32, "cpu")


def call(encoder: Gr00tEncoder, chunk: int = 16, max_batch: int | None = None) -> policy_call.PolicyCall:
    return policy_call.PolicyCall(policy_call.flow_actor(encoder, FlowOptions(), chunk), max_batch)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["rollout.py", *arguments])
    rollout.main()


def benchmark(size: str, version: str, *options: str) -> rollout.Benchmark:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rollout.py", "--dtype", "bfloat16", *options])
        return rollout.Benchmark(size, version, rollout._parse())


def test_speed_by_hand() -> None:
    # 8 envs x 16 steps in half a second; 2 GFLOP at 10 GFLOP/s take a fifth of one
    speed = rollout.Speed(batch_size=8, chunk=16, seconds=0.5, flops=2e9, peak_flops=1e10)
    assert speed.calls_per_second == 2.0
    assert speed.env_steps_per_second == 256.0
    assert speed.floor_env_steps_per_second == pytest.approx(640.0)
    assert speed.reached == pytest.approx(0.4)


def test_flops_of_a_linear_layer_and_attention() -> None:
    layer, x = torch.nn.Linear(5, 7), torch.randn(3, 5)
    query, key, value = (torch.randn(2, 3, length, 8, requires_grad=True) for length in (4, 6, 6))
    with rollout.flop_counter() as counter:
        layer(x)
        assert counter.get_total_flops() == 2 * 3 * 5 * 7
        before = counter.get_total_flops()
        out = F.scaled_dot_product_attention(query, key, value)
        forward = counter.get_total_flops() - before
        # scores (4, 8) x (8, 6), then (4, 6) x (6, 8); for each of 2 samples and 3 heads
        assert forward == 2 * 3 * 2 * (4 * 8 * 6 + 4 * 6 * 8)
        out.sum().backward()
        # scores again, and a gradient for both factors of both products
        assert counter.get_total_flops() - before - forward == 2 * 3 * 5 * (2 * 4 * 8 * 6)


def test_denoising_flops_by_hand() -> None:
    """A velocity of the tiny N1.5: 1 state, 4 future and 16 action tokens, 64 wide; 56 tokens of features."""
    w, tokens, features, actions, dims = 64, 21, 56, 16, 32
    encoders = actions * (dims * w + 2 * w * w + w * w) + 2 * w * w
    time = 256 * w + w * w
    # adaptive norm, queries and output, perceptron of expansion 4
    block = w * 2 * w + tokens * (2 * w * w + 2 * 4 * w * w)
    cross = block + tokens * features * 2 * w
    own = block + tokens * 2 * w * w + tokens * tokens * 2 * w
    # the last block answers for the actions alone
    last = w * 2 * w + actions * (2 * w * w + 2 * 4 * w * w) + tokens * 2 * w * w + actions * tokens * 2 * w
    decoder = w * 2 * w + actions * (w * w + w * w + w * dims)
    velocity = 2 * (encoders + time + 2 * cross + own + last + decoder)
    flops, _ = benchmark("tiny", "N1.5").count()
    assert flops["denoising"] == 4 * velocity
    assert flops["rest"] == flops["state and actions"] == 0


@pytest.mark.slow  # what is counted, and how, the tests above compare by hand
@pytest.mark.parametrize(
    ("version", "total", "vision", "language"), [("N1.5", 900e9, 220e9, 366e9), ("N1.7", 663e9, 175e9, 153e9)]
)
def test_published_flops(version: str, total: float, vision: float, language: float) -> None:
    """One camera, keys and values of the features cached."""
    flops, update = benchmark("full", version).count()
    assert sum(flops.values()) == pytest.approx(total, rel=2e-3)
    assert flops["vision"] == pytest.approx(vision, rel=3e-3)
    assert flops["language"] == pytest.approx(language, rel=3e-3)
    # one velocity forward and twice that backward, and the keys and values
    assert update > 3 * flops["denoising"] / 4


def test_phases_share_all_that_is_counted(encoder: Gr00tEncoder) -> None:
    policy = call(encoder)
    obs = policy_call.observations(encoder, 2)
    own = encoder.model.action_head.velocity
    reads = itertools.count()
    with policy_call.metered_phases(encoder, lambda: float(next(reads))) as phases:
        policy(obs)
    # every read but the first one ends a stretch; each of the K velocities is two, as it asks for keys and values
    assert sum(phases.values()) == next(reads) - 1
    assert tuple(phases) == policy_call.PHASES
    assert phases["denoising"] == 2 * 4
    assert phases["images"] == phases["vision"] == 1
    assert encoder.model.action_head.velocity == own
    assert "hidden_states" not in vars(encoder.model.backbone)


def test_parts_of_a_batch_are_joined(encoder: Gr00tEncoder) -> None:
    obs = policy_call.observations(encoder, 5, resolution=64)
    whole = call(encoder, 8)(obs)
    parts = call(encoder, 8, max_batch=2)(obs)
    torch.testing.assert_close(parts.kept[FEATURES], whole.kept[FEATURES], rtol=1e-4, atol=1e-5)
    assert parts.actions.shape == whole.actions.shape == (5, 8, 8)
    assert [tensor.shape for tensor in parts.recorded] == [tensor.shape for tensor in whole.recorded]


@pytest.mark.parametrize("amp", [False, True])
def test_update_trains_the_head(amp: bool) -> None:
    encoder = policy_call.random_encoder("tiny", "N1.7", 2, torch.float32, "cpu")
    policy = call(encoder)
    update = policy_call.Update(policy.actor, policy(policy_call.observations(encoder, 3)))
    before = [parameter.detach().clone() for parameter in update.parameters]
    update.step(amp)
    # all but the biases of keys, whose gradient is 0: they add the same to all scores of a query
    changed = [not torch.equal(old, new) for old, new in zip(before, update.parameters, strict=True)]
    assert sum(changed) > 0.9 * len(changed)
    assert all(parameter.dtype == torch.float32 for parameter in update.parameters)


@pytest.mark.slow  # the phases that it measures are tested above
def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    options = "--size tiny --steps 1 --batch_sizes 1 3 --max_batch 2 --chunk 10 --repetitions 2 --mini_batch 4"
    run(monkeypatch, *options.split(), "--peak_tflops", "0.05", "--json", str(file))
    (result,) = json.loads(file.read_text())["runs"]
    flops = sum(result["flops_per_decision"].values())
    for row, size in zip(result["calls"], (1, 3), strict=True):
        assert row["calls_per_second"] * row["seconds"] == pytest.approx(1.0)
        assert row["env_steps_per_second"] == pytest.approx(row["calls_per_second"] * size * 10)
        assert row["floor_env_steps_per_second"] == pytest.approx(10 * 0.05e12 / flops)
        assert row["reached"] == pytest.approx(row["env_steps_per_second"] / row["floor_env_steps_per_second"])
        assert row["fastest_seconds"] <= row["seconds"] <= row["slowest_seconds"]
        assert set(row["phase_seconds"]) == set(policy_call.PHASES)
        assert all(value > 0 for value in row["phase_seconds"].values())
    one, three = (row["peak_memory_bytes"] for row in result["calls"])
    assert 1e6 < one < three < 1e8
    update = result["update"]
    assert update["speed_up"] == pytest.approx(update["float32_seconds"] / update["autocast_seconds"])
    assert update["flops"] == 4 * result["update_flops_per_decision"]
    cells = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| none | ")]
    assert [(cell[1], cell[4], cell[5]) for cell in cells] == [
        (str(row["batch_size"]), f"{row['floor_env_steps_per_second']:.0f}", f"{row['reached']:.0%}")
        for row in result["calls"]
    ]


@pytest.mark.slow
def test_estimate_measures_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rollout, "seconds", None)
    file = tmp_path / "figures.json"
    options = ["--batch_sizes", "4", "12", "--mini_batch", "2", "--max_batch"]
    rest = ["--size", "tiny", "--dtype", "bfloat16", "--estimate", "--peak_tflops", "1", "--json", str(file)]
    run(monkeypatch, *options, "4", *rest)
    (result,) = json.loads(file.read_text())["runs"]
    parts = {row["batch_size"]: row["peak_memory_bytes"] for row in result["estimates"]}
    whole = benchmark("tiny", "N1.5", *options, "12").traced_memory
    assert parts[4] == whole[4]
    # parts save memory; what is kept of all decisions remains
    assert parts[4] < parts[12] < 0.9 * whole[12]
    assert "| 12 | " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cuda_graphs", "--compile", "head"], "--cuda_graphs needs a GPU, but --device is cpu"),
        (["--cuda_graphs", "--device", "cuda:0"], "--compile is none; set it to head or all"),
        (["--estimate"], "say what the device reaches with --peak_tflops"),
        (["--batch_sizes", "0"], "0 is not positive"),
    ],
)
def test_bad_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, *options)
    assert message in capsys.readouterr().err


def test_chunk_beyond_the_horizon(encoder: Gr00tEncoder) -> None:
    with pytest.raises(ValueError, match=r"--chunk is 17; expected 1 to 16, the model's horizon"):
        call(encoder, 17)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["N1.5", "N1.7"])
def test_compiled_decisions_are_the_eager_ones(version: str) -> None:
    encoder = policy_call.random_encoder("tiny", version, 1, torch.float32, "cpu")
    policy = call(encoder)
    obs = policy_call.observations(encoder, 2)

    def decide() -> Any:
        torch.manual_seed(0)
        return policy(obs).actions

    eager = decide()
    policy_call.compile_policy(encoder, "all", cuda_graphs=False)
    torch.testing.assert_close(decide(), eager, rtol=1e-4, atol=1e-4)
