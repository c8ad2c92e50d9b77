# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Data configs of GR00T N1.5: the published ones, what is refused, and which one a checkpoint is read by.

``test_conformance`` compares what they do with numbers of NVIDIA's code.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tInputs, load_embodiment, load_gr00t
from gr00t_rl_ext.gr00t.data_config import DATA_CONFIG_FILE, DataConfig, data_config_names, read_data_config

DATA = Path(__file__).parents[1] / "data" / "processing_n1_5"

PUBLISHED = (
    *("so100", "so100_dualcam", "unitree_g1", "fourier_gr1_arms_only", "fourier_gr1_arms_waist", "oxe_droid"),
    *("bimanual_panda_gripper", "bimanual_panda_hand", "single_panda_gripper", "agibot_genie1", "libero_spatial"),
    *("libero_object", "libero_goal", "libero_long", "simpler_bridge", "simpler_fractal", "isaaclab_franka"),
    *("libero_franka", "maniskill_widowx"),
)


def test_the_published_ones_come_with_the_package():
    assert set(PUBLISHED) <= set(data_config_names())


@pytest.mark.parametrize("name", data_config_names())
def test_each_is_complete(name: str):
    config = read_data_config(name)
    assert config.source
    assert (config.crop_scale, config.resize, config.action_horizon) == (0.95, (224, 224), 16)
    slots = {"new_embodiment": 31, "oxe_droid": 17, "agibot_genie1": 26, "gr1": 24, "isaaclab_franka": 31}
    assert config.embodiment_id == (slots | {"libero_franka": 31, "maniskill_widowx": 30})[config.embodiment_tag]


def test_what_was_wrong_without_them():
    """Public checkpoints that min_max in the file's order reads wrongly."""
    six = dict.fromkeys(("x", "y", "z", "roll", "pitch", "yaw"), "mean_std")
    assert read_data_config("libero_goal").action_modes == six | {"gripper": "min_max"}
    assert read_data_config("simpler_fractal").action_modes == six | {"gripper": "min_max"}
    assert set(read_data_config("libero_spatial").action_modes.values()) == {"min_max"}
    assert set(read_data_config("fourier_gr1_arms_only").state_modes.values()) == {"sin_cos"}
    droid = read_data_config("oxe_droid")
    assert droid.state_target_rotations["eef_rotation"] == "rotation_6d"
    assert droid.action_modes == {
        "eef_position_delta": "none",
        "eef_rotation_delta": "none",
        "gripper_position": "binary",
    }


@pytest.mark.parametrize("name", ["so100", "fourier_gr1_arms_only", "oxe_droid", "libero_goal", "single_panda_gripper"])
def test_they_act_as_the_references(name: str):
    """The package's and the one of NVIDIA's outputs, whose numbers ``test_conformance`` compares."""
    reference = read_data_config(str(DATA / name / "data_config.json"))
    assert read_data_config(name).digest() == reference.digest()


def edited(tmp_path: Path, name: str, **changes: Any) -> str:
    content = json.loads((DATA / name / "data_config.json").read_text())
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content | changes))
    return str(file)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"state_modes": {"single_arm": "min_max"}},
            'state_modes has no mode for gripper; a key that is not norm.* "none"',
        ),
        (
            {"action_modes": {"single_arm": "min_max", "gripper": "min_max", "elbow": "q99"}},
            "action_modes names elbow, which action_keys does not have: single_arm, gripper",
        ),
        (
            {"state_modes": {"single_arm": "q95", "gripper": "min_max"}},
            "state_modes.single_arm: Input should be 'min_max', 'mean_std'.* got 'q95'",
        ),
        (
            {"state_target_rotations": {"single_arm": "euler"}},
            "state_target_rotations.single_arm is 'euler'; expected null or one of quaternion, .*rotation_6d",
        ),
        (
            {
                "state_target_rotations": {"gripper": "axis_angle"},
                "state_modes": {"single_arm": "none", "gripper": "q99"},
            },
            "state_modes.gripper is 'q99', but a key with a target rotation is normalised by the bounds",
        ),
        (
            {"observation_indices": [-1, 0]},
            r"observation_indices is \[-1, 0\]; only the current step, \[0\], is suppor",
        ),
        ({"crop_scale": 1.5}, r"crop_scale is 1.5; expected a value in \(0, 1\], or null for no crop"),
        ({"action_horizon": 0}, "action_horizon: Input should be greater than 0, got 0"),
        ({"mapping": {}}, "mapping: Extra inputs are not permitted"),
    ],
)
def test_what_is_refused(tmp_path: Path, changes: dict, text: str):
    with pytest.raises(Gr00tCheckpointError, match=text):
        read_data_config(edited(tmp_path, "so100", **changes))


def test_unknown_names(tmp_path: Path):
    with pytest.raises(
        Gr00tCheckpointError, match="'so101', which is neither a file nor the name of .* so100, so100_d"
    ):
        read_data_config("so101")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(Gr00tCheckpointError, match="is not valid JSON"):
        read_data_config(str(tmp_path / "broken.json"))


def test_rotations_that_do_not_fit(tmp_path: Path):
    droid = Path(shutil.copytree(DATA / "oxe_droid", tmp_path / "droid"))
    wide = edited(tmp_path, "oxe_droid", action_target_rotations={"eef_rotation_delta": "rotation_6d"})
    with pytest.raises(
        Gr00tCheckpointError, match=r"action.eef_rotation_delta from euler_angles_rpy \(3 numbers\) to rot"
    ):
        load_embodiment(droid, "oxe_droid", data_config=wide)
    no_rotation = {"eef_position": "rotation_6d"}
    position = edited(tmp_path, "oxe_droid", state_target_rotations=no_rotation)
    with pytest.raises(
        Gr00tCheckpointError, match=r"describes it as no rotation \(rotation_type None\); expected one of"
    ):
        load_embodiment(droid, "oxe_droid", data_config=position)
    file = droid / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["oxe_droid"]["modalities"]["state"]["eef_rotation"]["rotation_type"] = "quaternion"
    file.write_text(json.dumps(metadata))
    with pytest.raises(Gr00tCheckpointError, match="has 3 numbers, but a rotation as quaternion_wxyz has 4"):
        load_embodiment(droid, "oxe_droid", data_config="oxe_droid")


def test_a_foreign_checkpoint_is_a_guess():
    robot = load_embodiment(DATA / "oxe_droid", "oxe_droid")
    assert (robot.is_guess, robot.origin, robot.is_plain) == (True, "guess", False)
    assert robot.data_config is not None
    assert robot.data_config.crop_scale == 0.95
    assert {spec.mode for spec in (*robot.state.specs, *robot.action.specs)} == {"min_max"}
    named = load_embodiment(DATA / "oxe_droid", "oxe_droid", data_config="oxe_droid")
    assert (named.is_guess, named.origin, named.is_plain) == (False, "oxe_droid", False)


def test_a_guess_stays_one_when_it_is_recorded(tmp_path: Path):
    guessed = load_embodiment(DATA / "oxe_droid", "oxe_droid").data_config
    assert guessed is not None
    copy = Path(shutil.copytree(DATA / "oxe_droid", tmp_path / "copy"))
    guessed.write(copy)
    robot = load_embodiment(copy, "oxe_droid")
    assert (robot.is_guess, robot.origin) == (True, "checkpoint, a guess")
    told = load_embodiment(copy, "oxe_droid", data_config="oxe_droid").data_config
    assert told is not None
    told.write(copy)
    assert "guess" not in json.loads((copy / "experiment_cfg/data_config.json").read_text())
    assert not load_embodiment(copy, "oxe_droid").is_guess


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state_keys": ["arm", "arm"]}, "state_keys names arm more than once"),
        ({"video_keys": ["front", "wrist", "front"]}, "video_keys names front more than once"),
        ({"state_keys": [], "state_modes": {}}, "state_keys is empty; expected keys in order"),
    ],
)
def test_keys_that_make_no_vector(tmp_path: Path, changes: dict, text: str):
    content = {"embodiment_tag": "new_embodiment", "action_horizon": 16}
    content |= {name: ["arm"] for name in ("state_keys", "action_keys")}
    content |= {name: {"arm": "min_max"} for name in ("state_modes", "action_modes")}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content | changes))
    with pytest.raises(Gr00tCheckpointError, match=text):
        read_data_config(str(file))


def test_a_tiny_checkpoint_is_no_guess(tiny_checkpoint: Path):
    robot = load_embodiment(tiny_checkpoint, "new_embodiment")
    assert (robot.is_guess, robot.origin, robot.is_plain) == (False, "gr00t_rl_ext", True)
    assert robot.data_config is not None
    assert robot.data_config.crop_scale is None


@pytest.mark.parametrize(
    ("file", "content", "crop"),
    [
        ("sft/settings.json", {"crop_scale": 0.9}, 0.9),
        ("sft/settings.json", {"crop_scale": None}, None),
        ("rl_policy/recipe.json", {"actor": {"gr00t": {"crop_scale": 0.8}}}, 0.8),
    ],
)
def test_what_this_project_wrote_before_it_recorded_them(tmp_path: Path, file: str, content: dict, crop: float | None):
    """Checkpoints of ``sft.py`` and exports of version 0.1 act as they did."""
    old = Path(shutil.copytree(DATA / "so100", tmp_path / "old"))
    (old / file).parent.mkdir()
    (old / file).write_text(json.dumps(content))
    robot = load_embodiment(old, "new_embodiment")
    assert (robot.is_guess, robot.is_plain) == (False, True)
    assert robot.data_config is not None
    assert robot.data_config.crop_scale == crop


def test_what_is_recorded_counts(tiny_copy: Path):
    plain = load_embodiment(tiny_copy, "new_embodiment").data_config
    assert plain is not None
    changed = DataConfig.model_validate(plain.model_dump() | {"crop_scale": 0.9, "video_keys": ["front"]})
    changed.write(tiny_copy)
    assert (tiny_copy / DATA_CONFIG_FILE).is_file()
    robot = load_embodiment(tiny_copy, "new_embodiment")
    assert (robot.origin, robot.video_keys, robot.data_config) == ("checkpoint", ("front",), changed)
    model = load_gr00t(tiny_copy, dtype=torch.float32)
    assert Gr00tInputs.from_checkpoint(model, "new_embodiment").images.recipe.crop_scale == 0.9
    assert Gr00tInputs.from_checkpoint(model, "new_embodiment", crop_scale=1.0).images.recipe.crop_scale == 1.0


def test_another_image_size_is_refused(tiny_copy: Path):
    plain = load_embodiment(tiny_copy, "new_embodiment").data_config
    assert plain is not None
    plain.model_copy(update={"resize": (224, 224)}).write(tiny_copy)
    with pytest.raises(Gr00tCheckpointError, match="resizes images to 224 x 224, the model takes 56 x 56"):
        Gr00tInputs.from_checkpoint(load_gr00t(tiny_copy), "new_embodiment")


def test_versions_with_a_processor_take_none(n1_6_checkpoint: Path):
    with pytest.raises(
        Gr00tCheckpointError, match="tells in processor_config.json how its numbers are processed; leave"
    ):
        load_embodiment(n1_6_checkpoint, "new_embodiment", data_config="so100")
    assert load_embodiment(n1_6_checkpoint, "new_embodiment").origin == "processor"


def test_the_digest_is_of_what_a_policy_acts_by():
    config = read_data_config("so100")
    assert config.model_copy(update={"source": "mine", "embodiment_tag": "gr1"}).digest() == config.digest()
    turned = {key: config.state_modes[key] for key in reversed(config.state_modes)}
    assert config.model_copy(update={"state_modes": turned}).digest() == config.digest()
    for changes in ({"crop_scale": None}, {"state_keys": config.state_keys[::-1]}, {"video_keys": []}):
        assert config.model_copy(update=changes).digest() != config.digest()
