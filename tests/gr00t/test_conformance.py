# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What this package computes agrees with what NVIDIA's code computed, and the command that shows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.gr00t.conformance import compare, main

DATA = Path(__file__).parents[1] / "data"

NUMBERS = {
    "gr00t_n1_5_tiny": 8,
    "gr00t_n1_6_tiny": 55,
    "gr00t_n1_7_tiny": 6,
    "images": 20,
    "processing_n1_5": 84,
    "processing_n1_7": 61,
    "prompts": 30,
    "rotations": 33,
}
"""Folder -> how many quantities it has: none is passed over."""


@pytest.mark.parametrize("folder", sorted(path.name for path in DATA.iterdir()))
def test_agreement(folder: str):
    found = compare(DATA / folder)
    assert [part for part in found if not part.agrees] == []
    assert len(found) == NUMBERS[folder]


def test_a_difference_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = Path(shutil.copytree(DATA / "processing_n1_5" / "so100", tmp_path / "so100"))
    assert main([str(folder)]) == 0
    assert "agrees" in capsys.readouterr().out
    with np.load(folder / "io.npz") as arrays:
        changed = dict(arrays)
    changed["state"][0, 0, 3] += 1e-3
    np.savez(folder / "io.npz", **changed)
    assert main([str(tmp_path)]) == 1
    output = capsys.readouterr().out
    assert "DIFFERS: so100: state" in output
    assert "0.001" in output


def test_images_that_are_stretched_fail(tmp_path: Path):
    """The tolerance is narrow enough to tell recipes apart."""
    folder = Path(shutil.copytree(DATA / "images", tmp_path / "images"))
    content = json.loads((folder / "n1_7.json").read_text())
    content["settings"]["albumentations_target80"]["image_crop_size"] = [72, 72]
    (folder / "n1_7.json").write_text(json.dumps(content))
    wrong = [part.what for part in compare(folder) if not part.agrees]
    assert wrong == [f"n1_7 albumentations_target80 {size}" for size in ("96x128", "128x96", "100x100")]


def test_token_ids_with_a_tokenizer(tmp_path: Path):
    """Ids are of the tokenizer that is given; a tiny one has others than the published."""
    tiny = build_tiny_checkpoint(tmp_path / "tiny")
    found = compare(DATA / "prompts", str(tiny))
    ids = [part for part in found if "token ids" in part.what]
    assert len(ids) == 18
    assert not any(part.agrees for part in ids)
    assert all(part.agrees for part in found if "token ids" not in part.what)


def test_every_quantity_is_printed_on_demand(capsys: pytest.CaptureFixture):
    assert main([str(DATA / "rotations"), "--all"]) == 0
    assert "n1_7.relative_xyz_rotvec" in capsys.readouterr().out


def test_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main([str(tmp_path)]) == 2
    assert "holds no reference outputs that are known" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nowhere")])
    assert "is no directory; expected a folder of reference outputs" in capsys.readouterr().err


def test_a_folder_that_is_incomplete_fails(tmp_path: Path, capsys: pytest.CaptureFixture):
    copy = Path(shutil.copytree(DATA / "processing_n1_5", tmp_path / "processing"))
    (copy / "so100" / "io.npz").unlink()
    assert main([str(copy)]) == 1
    assert "so100" in capsys.readouterr().out
    (missed,) = [part for part in compare(copy) if not part.agrees]
    assert missed.what == "so100: not recognised, holds data_config.json, experiment_cfg"


def test_weights_that_are_cut_off_are_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture):
    copy = Path(shutil.copytree(DATA / "gr00t_n1_5_tiny", tmp_path / "model"))
    (copy / "ref_io.safetensors").write_bytes((copy / "ref_io.safetensors").read_bytes()[:5000])
    assert main([str(copy)]) == 1
    assert "SafetensorError: " in capsys.readouterr().err


def test_what_is_broken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = Path(shutil.copytree(DATA / "processing_n1_5" / "so100", tmp_path / "so100"))
    content = json.loads((folder / "data_config.json").read_text())
    content["state_modes"]["elbow"] = "min_max"
    (folder / "data_config.json").write_text(json.dumps(content))
    assert main([str(folder)]) == 1
    assert "state_modes names elbow, which state_keys does not have" in capsys.readouterr().err
