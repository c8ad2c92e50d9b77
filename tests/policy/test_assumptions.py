# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a run prints of what it assumes: a row for each key, images, guesses, aspect ratios."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_policy import SPEC, load_encoder, observations

from gr00t_rl_ext.gr00t import Gr00tInputs, build_tiny_checkpoint, load_embodiment, load_gr00t, load_tokenizer
from gr00t_rl_ext.gr00t.data_config import read_data_config
from gr00t_rl_ext.gr00t.images import ImageRecipe
from gr00t_rl_ext.policy.assumptions import aspect_notes, data_config_notes, describe_images, print_assumptions
from gr00t_rl_ext.policy.base_checkpoint import base_fingerprint
from gr00t_rl_ext.policy.options import Gr00tOptions

DATA = Path(__file__).parents[1] / "data" / "processing_n1_5"


def inputs_of(tmp_path: Path, name: str, tag: str, data_config: str | None) -> Gr00tInputs:
    """A tiny model with the statistics of a reference."""
    tiny = build_tiny_checkpoint(tmp_path / "tiny", image_size=224)
    model = load_gr00t(tiny, 17, dtype=torch.float32)
    robot = load_embodiment(DATA / name, tag, slot=17, data_config=data_config)
    return Gr00tInputs(model, robot, load_tokenizer(tiny), num_cameras=3)


def test_a_row_for_each_key(tmp_path: Path, capsys: pytest.CaptureFixture):
    print_assumptions(inputs_of(tmp_path, "oxe_droid", "oxe_droid", "oxe_droid"), {})
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("│┃").split("│" if "│" in line else "┃")] for line in lines]
    assert ["key", "width", "mode", "rotation", "from"] in cells
    assert ["state.eef_rotation", "3", "none", "euler_angles_rpy -> rotation_6d", "oxe_droid"] in cells
    assert ["action.gripper_position", "1", "binary", "", "oxe_droid"] in cells
    assert (
        "cameras (exterior_image_1, exterior_image_2, wrist_image): centre crop of 0.95; resized to 224 x 224" in lines
    )
    assert not any("GUESS" in line for line in lines)


def test_a_guess_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture):
    print_assumptions(inputs_of(tmp_path, "oxe_droid", "oxe_droid", None), {})
    output = capsys.readouterr().out
    assert "how the numbers of 'oxe_droid' are processed is a GUESS" in output
    assert "agent.actor.gr00t.data_config=NAME_OR_FILE" in output
    assert "libero_goal" in output


def test_what_nobody_knows_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    inputs = inputs_of(tmp_path, "oxe_droid", "oxe_droid", "oxe_droid")
    print_assumptions(inputs, {})
    assert "IGNORES" not in capsys.readouterr().out
    inputs.unknown_fields = ("config.json.use_rtc",)
    print_assumptions(inputs, {})
    output = capsys.readouterr().out
    assert "warning: the checkpoint has config.json.use_rtc, which this package does not know and IGNORES" in output
    assert "scripts/gr00t_oracle.py compares" in output


def test_a_data_config_of_another_embodiment_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture):
    config = read_data_config("oxe_droid")
    robot = load_embodiment(DATA / "oxe_droid", "oxe_droid", slot=17, data_config=config)
    assert data_config_notes(robot) == []
    elsewhere = dataclasses.replace(robot, slot=31, camera_sizes={"front": (64, 64)})
    assert data_config_notes(elsewhere) == [
        "note: the data config is of embodiment oxe_droid, slot 17, and is used for oxe_droid, slot 31.",
        f"note: the checkpoint's metadata has no camera {', '.join(config.video_keys)}; it has front.",
    ]


def test_images_in_words():
    letterboxed = ImageRecipe((252, 252), "area", 0.95, letterbox=True, edge=256)
    expected = "padded with black to a square; resized to 256 x 256; centre crop of 0.95; resized to 252 x 252"
    assert describe_images(letterboxed) == expected
    by_pixels = ImageRecipe((256, 256), crop_pixels=230, letterbox=True, edge=256)
    assert "centre crop of 230 x 230" in describe_images(by_pixels)
    assert describe_images(ImageRecipe((224, 224))) == "no crop; resized to 224 x 224"
    assert describe_images(ImageRecipe((224, 224), crop_scale=1.0)) == "no crop; resized to 224 x 224"


def test_another_aspect_ratio_is_noted():
    known = {"front": (640, 480), "wrist": (256, 256)}
    assert aspect_notes({"front": (64, 48), "wrist": (64, 64), "other": (9, 1)}, known) == []
    (note,) = aspect_notes({"front": (64, 64)}, known)
    assert "camera front shows 64 x 64 pixels, but the checkpoint's data had 640 x 480" in note
    assert "stretched by 0.75" in note


def test_cameras_of_the_task_by_the_checkpoints_names():
    encoder = load_encoder()
    sizes = encoder.camera_sizes(observations(2))
    assert list(sizes) == list(encoder.inputs.embodiment.video_keys)
    assert set(sizes.values()) == {(64, 64)}


def test_the_fingerprint_knows_the_data_config(tmp_path: Path):
    """A policy that learned with another data config is another policy; without one, nothing changes."""
    tiny = build_tiny_checkpoint(
        tmp_path / "tiny", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms, video_keys=SPEC.cameras
    )
    options = Gr00tOptions(checkpoint=str(tiny))
    before = base_fingerprint(options, SPEC)
    plain = load_embodiment(tiny, "new_embodiment").data_config
    assert plain is not None
    first = next(iter(SPEC.action_terms))
    other = plain.model_copy(update={"action_modes": plain.action_modes | {first: "mean_std"}})
    other.write(tmp_path)
    options.data_config = str(tmp_path / "experiment_cfg" / "data_config.json")
    assert base_fingerprint(options, SPEC) != before
    plain.write(tmp_path)
    assert base_fingerprint(options, SPEC) == before
