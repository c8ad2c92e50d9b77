# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The benchmark of updates on kept features: both updates are the same, and its table follows from what it measured."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
import rollout
import torch
import update_cache
from update_cache import WORKLOADS, Learner

from gr00t_rl_ext.policy.encoder import Gr00tEncoder

SMALL = ["--size=tiny", "--num_envs=2", "--num_steps=2", "--mini_batches=2", "--repetitions=1", "--chunk=4"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def arguments(*options: str) -> argparse.Namespace:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["update_cache.py", *SMALL, *options])
        return update_cache._parse()


@pytest.mark.parametrize("name", WORKLOADS)
def test_both_updates_give_equal_weights(name: str) -> None:
    measured = update_cache.measure(WORKLOADS[name], arguments())
    assert measured["difference"] < 1e-5
    # the critic's rate is 20 times the actor's
    assert measured["change"] > 1e-3


def test_images_are_encoded_by_every_mini_batch() -> None:
    calls = {}
    for kept in update_cache.KEPT:
        learner = Learner(WORKLOADS["gaussian"], kept, "tiny", "cpu", arguments())
        encoder = learner.algorithm.encoder
        learner.rollout(0)
        before = encoder.calls
        learner.update(lambda: 0.0)
        calls[kept] = encoder.calls - before
    # 3 epochs of 2 mini-batches, and at the start two parts for the present policy and for the one at step 0
    assert calls == {"features": 0, "images": 3 * 2 + 2 * 2}


def test_other_images_would_give_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison sees what it is for."""
    complete = Gr00tEncoder.complete

    def blind(encoder: Gr00tEncoder, obs: update_cache.TensorDict) -> update_cache.TensorDict:
        return complete(encoder, obs.clone().update({"rgb": torch.zeros_like(obs["rgb"])}) if "rgb" in obs else obs)

    monkeypatch.setattr(Gr00tEncoder, "complete", blind)
    assert update_cache.measure(WORKLOADS["gaussian"], arguments())["difference"] > 1e-5


def test_flops_by_hand() -> None:
    """The adapter: linear layers, and products with the tokens before and after the softmax of its pooling."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rollout.py", "--dtype", "float32"])
        phases, _ = rollout.Benchmark("tiny", "N1.5", rollout._parse()).count()
    learner = Learner(WORKLOADS["gaussian"], "features", "tiny", "cpu", arguments())
    tokens, width = learner.algorithm.encoder.feature_shape
    linear = [m for m in learner.algorithm.actor.modules() if isinstance(m, torch.nn.Linear)]
    queries = linear[0].in_features // width
    adapter = 2 * sum(m.in_features * m.out_features for m in linear) + 2 * 2 * queries * tokens * width
    flops = update_cache.count(WORKLOADS["gaussian"], "tiny", arguments())
    # rotary angles are the same for all of a batch, which is one here and two there
    assert flops["forward"]["encoding"] == pytest.approx(phases["vision"] + phases["language"], rel=1e-4)
    assert flops["forward"]["policy"] == adapter
    encoding = flops["forward"]["encoding"]
    assert update_cache.proportion(flops) == encoding / adapter
    # three epochs, the policy at step 0, and the present one, which the Gaussian takes from the rollout
    assert flops["images"]["encoding"] == 5 * encoding
    assert flops["features"]["encoding"] == 0
    assert flops["features"]["policy"] == flops["images"]["policy"] == 4 * adapter


def test_summary_by_hand() -> None:
    phases = update_cache.PHASES

    def row(*values: float) -> dict[str, float]:
        return dict(zip(phases, values, strict=True))

    times = {
        "features": [row(0, 1, 0, 1, 0), row(0, 2, 0, 1, 1), row(0, 0, 1, 2, 0)],
        "images": [row(20, 1, 0, 1, 0), row(30, 2, 0, 1, 0), row(26, 0, 1, 2, 1)],
    }
    summary = update_cache.summarize(times)
    assert summary["seconds"] == {"features": 3, "images": 30}
    assert summary["fastest"] == {"features": 2, "images": 22}
    assert summary["slowest"] == {"features": 4, "images": 33}
    assert summary["phases"]["images"] == row(26, 1, 0, 1, 0)
    assert summary["speed_up"] == 10
    flops = {"features": row(0, 2, 0, 0, 2), "images": row(20, 2, 0, 0, 2)}
    assert update_cache.speed_up_by_flops(flops) == 6


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counted = {"forward": {"encoding": 6e9, "policy": 2e9}}
    counted |= {"features": dict.fromkeys(update_cache.PHASES, 1e9), "images": dict.fromkeys(update_cache.PHASES, 4e9)}
    monkeypatch.setattr(update_cache, "count", lambda *_: counted)
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["update_cache.py", *SMALL, "--policy", "gaussian", "--json", str(file)])
    update_cache.main()
    run = json.loads(file.read_text())["runs"]["gaussian"]
    assert run["summary"]["speed_up"] == pytest.approx(
        run["summary"]["seconds"]["images"] / run["summary"]["seconds"]["features"]
    )
    out = capsys.readouterr().out
    assert f"On features {run['summary']['speed_up']:.1f} times as fast; by FLOPs 4.0 times" in out
    assert "in FLOPs: 3 : 1" in out
    monkeypatch.setattr(update_cache, "TOLERANCE", 0.0)
    monkeypatch.setattr(update_cache, "measure", lambda *_: {"difference": 1e-3, "change": 1.0, "seconds": {}})
    with pytest.raises(SystemExit, match="gaussian: after one update the weights differ by 1.0e-03 at most"):
        update_cache.main()
