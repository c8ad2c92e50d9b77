# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GR00T N1.7 from observations to actions: images, prompt, statistics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Qwen2VLImageProcessor

from gr00t_rl_ext.gr00t import (
    Gr00tCheckpointError,
    Gr00tInputs,
    Gr00tModel,
    build_tiny_checkpoint,
    load_embodiment,
    load_gr00t,
)
from gr00t_rl_ext.gr00t.backbone_qwen3vl import Qwen3VLBackbone
from gr00t_rl_ext.gr00t.images import ImageRecipe, area_weights

TAG, SLOT = "my_robot", 31
STATE_KEYS, ACTION_KEYS = {"arm": 3, "hand": 2}, {"arm": 3, "hand": 1}
STD = 100 / 12**0.5
"""Of a uniform distribution over [-50, 50]."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Minimum and maximum are -50 and 50, q01 and q99 are -49 and 49."""
    path = build_tiny_checkpoint(
        tmp_path / "checkpoint",
        version="N1.7",
        state_keys=STATE_KEYS,
        action_keys=ACTION_KEYS,
        ranges=dict.fromkeys(("state.arm", "state.hand", "action.arm", "action.hand"), (-50, 50)),
        embodiment_tag=TAG,
        horizon=8,
        max_state_dim=16,
        max_action_dim=12,
    )
    # this embodiment was trained for fewer actions than the model gives
    processor_options(path, lambda o: o["modality_configs"][TAG]["action"].update(delta_indices=list(range(5))))
    # the order of the statistics is not that of the vector
    file = path / "statistics.json"
    statistics = json.loads(file.read_text())[TAG]
    file.write_text(json.dumps({TAG: {name: dict(reversed(keys.items())) for name, keys in statistics.items()}}))
    return path


@pytest.fixture
def model(checkpoint: Path) -> Gr00tModel:
    return load_gr00t(checkpoint, dtype=torch.float32)


def processor_options(directory: Path, change) -> None:
    """Apply ``change`` to ``processor_kwargs``."""
    file = directory / "processor_config.json"
    content = json.loads(file.read_text())
    change(content["processor_kwargs"])
    file.write_text(json.dumps(content))


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_from_observation_to_actions(model: Gr00tModel):
    assert model.embodiment_slot == SLOT, "the slot of the only embodiment with statistics"
    inputs = Gr00tInputs.from_checkpoint(model, TAG, num_cameras=2)
    batch = inputs(random_images(2, 2, 96, 112, 3), "Lift the cube!", torch.zeros(2, 5))
    state = batch.pop("state")
    assert state.shape == (2, 1, 16)
    context = model.condition(model.encode(**batch))
    assert context.tokens.shape == (2, inputs.prompt_length("Lift the cube!"), 64)
    actions = inputs.decode_action(model.sample(context, state, torch.randn(2, 8, 12)))
    # 5 of the 8 actions of a chunk exist for this embodiment
    assert actions.shape == (2, 5, 4)
    assert actions.abs().max() <= 49, "clipped to q01 and q99"
    assert inputs.action_mask(2).sum(-1).tolist() == [[4] * 5 + [0] * 3] * 2


def test_prompt(model: Gr00tModel):
    """Qwen3-VL's chat template for one user message, images first; lower case and no punctuation."""
    inputs = Gr00tInputs.from_checkpoint(model, TAG, num_cameras=2)
    ids, mask = inputs.prompt("Lift the cube, it's 5_mm!", 1)
    image = "<|vision_start|>" + 64 * "<|image_pad|>" + "<|vision_end|>"
    expected = f"<|im_start|>user\n{image}{image}lift the cube its 5_mm<|im_end|>\n"
    assert inputs.tokenizer.decode(ids[0]) == expected
    assert mask.all()
    model.backbone.formalize_language = False
    plain = Gr00tInputs.from_checkpoint(model, TAG).prompt("Lift!", 1)[0]
    assert inputs.tokenizer.decode(plain[0]).endswith("<|vision_end|>Lift!<|im_end|>\n")


def test_patches_equal_the_processor_of_transformers(model: Gr00tModel):
    """At the target size and without a crop; the processor has the values of Qwen3-VL's published configuration."""
    images = random_images(3, 256, 256, 3)
    backbone = model.backbone
    assert isinstance(backbone, Qwen3VLBackbone)
    pixels = Gr00tInputs.from_checkpoint(model, TAG, crop_scale=1.0).pixel_values(images)
    processor = Qwen2VLImageProcessor(
        size={"shortest_edge": 65536, "longest_edge": 16777216},
        patch_size=16,
        temporal_patch_size=2,
        merge_size=2,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    expected = processor(images=list(images.permute(0, 3, 1, 2)), return_tensors="pt")
    assert expected["image_grid_thw"].tolist() == [[1, 16, 16]] * 3
    torch.testing.assert_close(backbone.patchify(pixels).flatten(0, 1), expected["pixel_values"], rtol=0, atol=1e-6)


def test_resize_crop_resize(model: Gr00tModel):
    """512 -> 256 by means of 2 x 2, the central 230, then 256 again; both results rounded to 8 bits."""
    inputs = Gr00tInputs.from_checkpoint(model, TAG)
    images = random_images(1, 512, 512, 3)
    small = images[0].permute(2, 0, 1).double().unflatten(1, (256, 2)).unflatten(3, (256, 2)).mean((2, 4))
    small = (small + 0.5).floor()
    # 2 x 2 pixels are rounded one half up there; enlarging cuts off, so that a level may differ
    weights = area_weights(230, 256, torch.device("cpu")).double()
    large = weights @ small[:, 13:243, 13:243] @ weights.T
    difference = (inputs.pixel_values(images)[0].double() + 1) * 127.5 - large
    assert difference.abs().max() <= 1.01
    constant = inputs.pixel_values(torch.full((1, 97, 97, 3), 51, dtype=torch.uint8))
    torch.testing.assert_close(constant, torch.full((1, 3, 256, 256), -0.6), rtol=0, atol=1e-6)


def test_recipe_of_the_processor(checkpoint: Path):
    def by_edge(options: dict) -> None:
        options.update(shortest_image_edge=320, crop_fraction=0.95)

    def without_albumentations(options: dict) -> None:
        by_edge(options)
        options.update(use_albumentations=False)

    processor_options(checkpoint, by_edge)
    model = load_gr00t(checkpoint, dtype=torch.float32)
    assert (model.backbone.image_size, model.backbone.tokens_per_image) == (320, 100)
    assert model.backbone.image_recipe == ImageRecipe((320, 320), "area", 0.95, letterbox=True, edge=320)
    pixels = Gr00tInputs.from_checkpoint(model, TAG).pixel_values(torch.full((1, 60, 80, 3), 255, dtype=torch.uint8))
    assert pixels.shape == (1, 3, 320, 320)
    assert pixels[0, 0, :, 160].tolist()[::319] == [-1, -1], "letterboxed with black"
    assert pixels[0, 0, 160].min() == 1
    # torchvision's path reads neither edge nor fraction
    processor_options(checkpoint, without_albumentations)
    recipe = load_gr00t(checkpoint, dtype=torch.float32).backbone.image_recipe
    assert recipe == ImageRecipe((256, 256), "bilinear", crop_pixels=230, letterbox=True, edge=256)


def test_statistics_by_hand(checkpoint: Path):
    robot = load_embodiment(checkpoint, TAG)
    assert (robot.slot, robot.action_horizon) == (SLOT, 5)
    assert [spec.key for spec in robot.state.specs] == ["arm", "hand"], "the processor's order"
    raw = torch.tensor([[24.5, -12.25, 60.0, -60.0, 0.0]])
    assert robot.state.normalize(raw).tolist() == [[0.5, -0.25, 1.0, -1.0, 0.0]]
    assert robot.decode_action(torch.tensor([[0.5, 2.0, -2.0, 0.0]])).tolist() == [[24.5, 49.0, -49.0, 0.0]]
    processor_options(checkpoint, lambda options: options.update(use_percentiles=False))
    raw = torch.tensor([[25.0, -12.5, 60.0, -60.0, 0.0]])
    assert load_embodiment(checkpoint, TAG).state.normalize(raw).tolist() == [[0.5, -0.25, 1.0, -1.0, 0.0]]


def test_modes_of_state_keys(checkpoint: Path):
    def change(options: dict) -> None:
        state = options["modality_configs"][TAG]["state"]
        state.update(mean_std_embedding_keys=["arm"], sin_cos_embedding_keys=["hand"])
        options["apply_sincos_state_encoding"] = True

    processor_options(checkpoint, change)
    robot = load_embodiment(checkpoint, TAG)
    assert robot.state.describe() == "arm (3, mean_std), hand (2, sin_cos)"


def test_modes_of_action_keys(checkpoint: Path):
    def change(options: dict) -> None:
        options["modality_configs"][TAG]["action"]["mean_std_embedding_keys"] = ["hand"]

    processor_options(checkpoint, change)
    robot = load_embodiment(checkpoint, TAG)
    assert robot.action.describe() == "arm (3, q99_bounded), hand (1, mean_std_bounded_input)"
    # what the network says is not clipped, what it is told is
    assert float(robot.decode_action(torch.full((1, 1, 12), 3.0))[0, 0, 3]) == pytest.approx(3 * STD)
    assert robot.encode_action(torch.full((1, 1, 4), 3 * STD), 12)[0, 0, 3] == 1.0


def test_outliers_that_are_not_clipped(checkpoint: Path):
    """``clip_outliers`` is about what the network is told; what it says is clipped in any case."""

    def change(options: dict) -> None:
        options["clip_outliers"] = False
        options["modality_configs"][TAG]["action"]["mean_std_embedding_keys"] = ["hand"]

    processor_options(checkpoint, change)
    robot = load_embodiment(checkpoint, TAG)
    assert robot.state.normalize(torch.full((1, 5), 147.0)).tolist() == [[3.0] * 5]
    encoded = robot.encode_action(torch.full((1, 1, 4), 147.0), 4)
    decoded = robot.decode_action(torch.full((1, 1, 4), 3.0))
    assert encoded.flatten().tolist() == pytest.approx([3.0, 3.0, 3.0, 147 / STD])
    assert decoded.flatten().tolist() == pytest.approx([49.0, 49.0, 49.0, 3 * STD])


def test_use_mean_std_changes_nothing(checkpoint: Path):
    """GR00T's processor stores it and hands it to nobody."""
    before = load_embodiment(checkpoint, TAG)
    processor_options(checkpoint, lambda options: options.update(use_mean_std=True))
    after = load_embodiment(checkpoint, TAG)
    assert (after.state.describe(), after.action.describe()) == (before.state.describe(), before.action.describe())


def test_cameras(checkpoint: Path):
    assert load_embodiment(checkpoint, TAG).video_keys == ("image",)
    processor_options(checkpoint, lambda o: o["modality_configs"][TAG].pop("video"))
    assert load_embodiment(checkpoint, TAG).video_keys == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda o: o["modality_configs"][TAG]["video"].update(delta_indices=[-15, 0]), "asks for a history of images"),
        (lambda o: o["modality_configs"][TAG]["state"].update(delta_indices=[-1, 0]), "asks for a history of states"),
        (lambda o: o.update(use_tactile=True), "asks for use_tactile"),
        (lambda o: o.update(exclude_state=True), "asks for exclude_state"),
        (lambda o: o.pop("use_percentiles"), f"no field 'use_percentiles' for embodiment '{TAG}'"),
        (
            lambda o: o.update(modality_configs={}),
            f"no modality_configs for embodiment tag '{TAG}'; available are none",
        ),
    ],
)
def test_unsupported_processors(checkpoint: Path, change, text: str):
    processor_options(checkpoint, change)
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(checkpoint, TAG)


@pytest.mark.parametrize(
    ("modality", "field", "value", "text"),
    [
        (
            "state",
            "delta_indices",
            0,
            "the field state.delta_indices = 0 for embodiment 'my_robot'; expected a valid list",
        ),
        ("action", "modality_keys", "arm", "the field action.modality_keys = 'arm' for"),
        ("video", "delta_indices", [None], "the field video.delta_indices.0 = None for"),
        ("action", "action_configs", [1, 2], "the field action.action_configs.0 = 1 for"),
        (None, "video", None, "the field video = None for embodiment 'my_robot'; expected a valid dictionary."),
    ],
)
def test_fields_of_another_type_in_the_processor(checkpoint: Path, modality, field: str, value: object, text: str):
    def change(options: dict) -> None:
        modalities = options["modality_configs"][TAG]
        (modalities[modality] if modality else modalities)[field] = value

    processor_options(checkpoint, change)
    with pytest.raises(Gr00tCheckpointError, match=r"processor_config.json' has .*Copy the file again") as caught:
        load_embodiment(checkpoint, TAG)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda o: o.update(modality_configs=[]), r"processor_kwargs.modality_configs = \[\] .*expected a valid dict"),
        (lambda o: o["modality_configs"].update({TAG: 1}), "has 1 for embodiment 'my_robot'; expected a valid dict"),
        (lambda o: o.update(use_percentiles="no"), "processor_kwargs.use_percentiles = 'no' .*; expected a valid bool"),
    ],
)
def test_options_of_another_type_in_the_processor(checkpoint: Path, change, text: str):
    processor_options(checkpoint, change)
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(checkpoint, TAG)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"image_target_size": 256}, "has the field image_target_size = 256 for the backbone; expected a valid list"),
        (
            {"formalize_language": None},
            "has the field formalize_language = None for the backbone; expected a valid bool",
        ),
        ({"image_crop_size": None, "crop_fraction": None}, "has no field 'image_crop_size' for the backbone"),
    ],
)
def test_image_options_of_another_type_in_the_processor(checkpoint: Path, changes: dict, text: str):
    processor_options(checkpoint, lambda options: options.update(changes))
    with pytest.raises(Gr00tCheckpointError, match=rf"processor_config.json in .* {text}"):
        load_gr00t(checkpoint)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], r"field statistics = \[\] for embodiment 'my_robot'; expected a valid dictionary. Copy the file again"),
        ({"state": [1.0]}, r"field statistics.state = \[1.0\] for embodiment 'my_robot'; expected a valid dictionary"),
    ],
)
def test_fields_of_another_type_in_the_statistics(checkpoint: Path, content: object, text: str):
    (checkpoint / "statistics.json").write_text(json.dumps({TAG: content}))
    with pytest.raises(Gr00tCheckpointError, match=rf"statistics.json' has the {text}"):
        load_embodiment(checkpoint, TAG)


def test_slots_come_from_the_checkpoint(checkpoint: Path):
    """Not from N1.5's published slots, in which new_embodiment has another."""
    assert load_gr00t(checkpoint, embodiment_tag="new_embodiment").embodiment_slot == 10
    assert load_gr00t(checkpoint, embodiment_tag=TAG).embodiment_slot == SLOT
    assert load_gr00t(checkpoint, 1, embodiment_tag=TAG).embodiment_slot == 1
    (checkpoint / "embodiment_id.json").write_text(json.dumps({"libero_sim": 7}))
    assert load_gr00t(checkpoint, embodiment_tag="libero_sim").embodiment_slot == 7
    # where the file lacks a tag, the published slots count
    assert load_gr00t(checkpoint, embodiment_tag="unitree_g1_sonic").embodiment_slot == 11
    assert load_gr00t(checkpoint, embodiment_tag="robocasa_panda").embodiment_slot == 10
    (checkpoint / "embodiment_id.json").unlink()
    with pytest.raises(
        Gr00tCheckpointError, match=f"has statistics for {TAG}. Pass embodiment_slot; known slots are simpler_env_"
    ):
        load_gr00t(checkpoint, embodiment_tag="another_robot")
    with pytest.raises(Gr00tCheckpointError, match="has no published slot; published are simpler_env_google: 0, sim"):
        load_embodiment(checkpoint, TAG)


def test_a_processor_in_a_folder(checkpoint: Path, tmp_path: Path):
    """Fine-tuning writes it there, and saving keeps it there."""

    def crop(options: dict) -> None:
        options.update(image_crop_size=[200, 200])

    processor_options(checkpoint, crop)
    (checkpoint / "processor").mkdir()
    for name in ("processor_config.json", "statistics.json", "embodiment_id.json"):
        (checkpoint / name).rename(checkpoint / "processor" / name)
    model = load_gr00t(checkpoint, dtype=torch.float32, embodiment_tag=TAG)
    assert (model.embodiment_slot, model.backbone.image_recipe.crop_scale) == (SLOT, 200 / 256)
    assert load_embodiment(checkpoint, TAG).action_horizon == 5
    model.save_pretrained(tmp_path / "out")
    assert (tmp_path / "out" / "processor" / "statistics.json").is_file()
    assert load_embodiment(tmp_path / "out", TAG).action_horizon == 5


def test_missing_files(checkpoint: Path, model: Gr00tModel):
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(Gr00tCheckpointError, match="GR00T N1.7 uses 'nvidia/Cosmos-Reason2-2B'"):
        Gr00tInputs.from_checkpoint(model, TAG)
    (checkpoint / "processor_config.json").unlink()
    with pytest.raises(Gr00tCheckpointError, match="has statistics.json but no processor_config.json"):
        load_embodiment(checkpoint, TAG)


def test_a_chunk_longer_than_the_model_gives(checkpoint: Path, model: Gr00tModel):
    processor_options(checkpoint, lambda o: o["modality_configs"][TAG]["action"].update(delta_indices=list(range(9))))
    with pytest.raises(Gr00tCheckpointError, match="describe 9 actions per chunk, the model gives 8"):
        Gr00tInputs.from_checkpoint(model, TAG)
