# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the model's benchmarks rest on: checkpoints of any size in the published layout, and figures that make sense."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch

from gr00t_rl_ext.gr00t import Gr00tInputs, build_tiny_checkpoint, load_embodiment, load_gr00t, load_tokenizer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


PUBLISHED = {"N1.5": 2_724_163_520, "N1.6": 2_960_729_840, "N1.7": 3_144_016_000}
"""Version -> parameters."""


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch):
    """Imports a script of the benchmarks' folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.mark.parametrize("version", PUBLISHED)
def test_scaled_checkpoints(tmp_path: Path, benchmark_module, version: str):
    published = PUBLISHED[version]
    scaled = benchmark_module("scaled_checkpoint")
    size = scaled.write_scaled_checkpoint(tmp_path, version, 1, torch.bfloat16, num_shards=2)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    model = load_gr00t(tmp_path, 31)
    assert model.feature_dim == 2048 // 16
    assert size < 0.01 * 2 * published
    assert scaled.sixteenths_for(version, published) == 16
    assert scaled.sixteenths_for(version, published / 4) == 8


def test_a_scaled_checkpoint_that_training_accepts(tmp_path: Path, benchmark_module, monkeypatch, capsys):
    scaled = benchmark_module("scaled_checkpoint")
    like, out = build_tiny_checkpoint(tmp_path / "tiny"), tmp_path / "scaled"
    monkeypatch.setattr("sys.argv", ["x", "--like", str(like), "--out", str(out), "--sixteenths", "1"])
    scaled.main()
    assert f"GB in {out}" in capsys.readouterr().out
    model, embodiment = load_gr00t(out, 31), load_embodiment(out, "new_embodiment")
    assert embodiment.action.describe() == load_embodiment(like, "new_embodiment").action.describe()
    assert (model.feature_dim, model.embodiment_slot) == (128, embodiment.slot)
    # refuses a tokenizer that does not belong to the model
    Gr00tInputs(model, embodiment, load_tokenizer(out), num_cameras=2)
    with pytest.raises(SystemExit):
        scaled.main()
    assert "exists already. Give another directory." in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["x", "--like", str(tmp_path), "--out", str(tmp_path / "other")])
    with pytest.raises(SystemExit):
        scaled.main()
    assert "has no experiment_cfg/metadata.json; expected a checkpoint of N1.5." in capsys.readouterr().err
    (like / "tokenizer.json").unlink()
    (like / "tokenizer_config.json").unlink()
    monkeypatch.setattr("sys.argv", ["x", "--like", str(like), "--out", str(tmp_path / "other")])
    with pytest.raises(SystemExit):
        scaled.main()
    error = capsys.readouterr().err
    assert "--like: " in error
    assert "copy its files into the checkpoint's directory" in error
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("version", PUBLISHED)
def test_full_width_is_the_published_size(tmp_path: Path, benchmark_module, version: str):
    scaled = benchmark_module("scaled_checkpoint")
    files = scaled.scaled_configs(version, 16)
    scaled.write_configs(tmp_path, files)
    shapes = scaled.tensor_shapes(tmp_path, version)
    if version == "N1.7":  # its output layer is the embedding and not counted
        del shapes["backbone.model.lm_head.weight"]
    if version == "N1.6":  # counted without what GR00T does not use
        shapes = {name: shape for name, shape in shapes.items() if ".head." not in name and "lm_head" not in name}
        del shapes["action_head.mask_token"]
    assert sum(math.prod(shape) for shape in shapes.values()) == PUBLISHED[version]


@pytest.mark.slow
def test_precision(benchmark_module):
    """Half precision costs something, of the order of its resolution, and log-probabilities in it spoil the ratio."""
    precision = benchmark_module("precision")
    rows = precision.measure("N1.5", 1, 2, 1, "cpu")
    assert set(rows) == {"float32", *(setting.name for setting in precision.SETTINGS)}
    for name, row in rows.items():
        exact = name == "float32"
        for stage in ("features", "context", "velocity", "actions"):
            rms, maximum = row[stage]
            assert rms <= maximum
            assert rms == 0 if exact else 1e-4 < rms < 0.1, (name, stage)
        for policy in ("Gaussian", "flow"):
            assert row[f"{policy} stored"][1] > 1e-3
            assert row[f"{policy} computed"][1] > 1e-2
        if name in ("float32", "bf16 backbone, fp32 head"):
            assert row["flow parts"][1] < 1e-3
    features = {name: row["features"][0] for name, row in rows.items()}
    assert features["fp16 backbone, fp32 head"] < features["bf16 backbone, fp32 head"] / 4


def test_ratio_and_relative_errors_by_hand(benchmark_module):
    precision = benchmark_module("precision")
    exact = torch.tensor([3.0, -4.0])
    rms, maximum = precision.relative_errors(exact + torch.tensor([0.0, 0.1]), exact)
    scale = math.sqrt(12.5)
    assert (rms, maximum) == pytest.approx((0.1 / math.sqrt(2) / scale, 0.1 / scale), rel=1e-5)
    rms, maximum = precision.ratio_errors(torch.tensor([0.0, math.log(2.0)]), torch.zeros(2))
    assert (rms, maximum) == pytest.approx((1 / math.sqrt(2), 1.0), rel=1e-5)
