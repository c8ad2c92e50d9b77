# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From observations to the model's inputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gr00t_rl_ext.gr00t import (
    Gr00tCheckpointError,
    Gr00tInputs,
    Gr00tModel,
    load_embodiment,
    load_gr00t,
    load_tokenizer,
)
from gr00t_rl_ext.gr00t.embodiment import own_data_config


def make(model: Gr00tModel, **options) -> Gr00tInputs:
    return Gr00tInputs.from_checkpoint(model, "new_embodiment", **options)


def random_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_from_observation_to_actions(tiny_model: Gr00tModel):
    inputs = make(tiny_model, num_cameras=2, crop_scale=0.95)
    batch = inputs(random_images(3, 2, 96, 112, 3), "lift the cube", torch.zeros(3, 9))
    state = batch.pop("state")
    assert state.shape == (3, 1, 64)
    context = tiny_model.condition(tiny_model.encode(**batch))
    actions = tiny_model.sample(context, state, torch.randn(3, 16, 32))
    assert inputs.decode_action(actions).shape == (3, 16, 8)
    assert inputs.action_mask(3).shape == (3, 16, 32)
    assert inputs.action_mask(3).sum() == 3 * 16 * 8
    assert inputs.action(torch.zeros(3, 16, 8)).shape == (3, 16, 32)


def test_pixel_values_at_native_size(tiny_model: Gr00tModel):
    """(x / 255 - 0.5) / 0.5 and nothing else."""
    images = random_images(2, 56, 56, 3)
    expected = (images.float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(make(tiny_model).pixel_values(images), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-6)


def test_resize_keeps_constant_images_and_range(tiny_model: Gr00tModel):
    inputs = make(tiny_model)
    out = inputs.pixel_values(torch.full((1, 97, 120, 3), 52, dtype=torch.uint8))
    assert set(((out + 1) * 127.5).round().unique().tolist()) <= {51.0, 52.0}
    checkers = (torch.arange(96)[:, None] // 4 + torch.arange(96) // 4) % 2 * 255
    out = inputs.pixel_values(checkers.to(torch.uint8)[None, ..., None].expand(1, 96, 96, 3))
    assert out.abs().max() <= 1


def test_centre_crop(tiny_model: Gr00tModel):
    images = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    images[:, 28:84, 28:84] = 255
    assert torch.equal(make(tiny_model, crop_scale=0.5).pixel_values(images), torch.ones(1, 3, 56, 56))


def test_cameras_of_a_sample_are_adjacent(tiny_model: Gr00tModel):
    inputs = make(tiny_model, num_cameras=2)
    images = random_images(3, 2, 56, 56, 3)
    stacked = inputs.pixel_values(images)
    listed = inputs.pixel_values([images[:, 0], images[:, 1]])
    assert torch.equal(stacked, listed)
    assert torch.equal(stacked[4], make(tiny_model).pixel_values(images[2:, 0])[0])
    mixed = inputs.pixel_values([random_images(3, 64, 80, 3), random_images(3, 100, 60, 3)])
    assert mixed.shape == (6, 3, 56, 56)


@pytest.mark.parametrize("cameras", [1, 2])
def test_prompt(tiny_model: Gr00tModel, cameras: int):
    inputs = make(tiny_model, num_cameras=cameras)
    ids, mask = inputs.prompt("Lift the cube!", 3)
    assert ids.shape == mask.shape == (3, inputs.prompt_length("Lift the cube!"))
    assert mask.all()
    images = "<image 1><img>" + 16 * "<IMG_CONTEXT>" + "</img>"
    if cameras == 2:
        images += "<image 2><img>" + 16 * "<IMG_CONTEXT>" + "</img>"
    assert inputs.tokenizer.decode(ids[0]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"{images}Lift the cube!<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (ids == tiny_model.backbone.image_token_index).sum() == 3 * 16 * cameras


def test_prompts_are_tokenised_once(tiny_model: Gr00tModel, monkeypatch: pytest.MonkeyPatch):
    inputs = make(tiny_model)
    ids, _ = inputs.prompt("stack the cubes", 2)
    monkeypatch.setattr(inputs, "tokenizer", None)
    again, _ = inputs.prompt("stack the cubes", 4)
    assert again.data_ptr() == ids.data_ptr()


def test_instruction_per_sample(tiny_model: Gr00tModel):
    inputs = make(tiny_model)
    texts = ["pick up the red cube", "pick up the green cube"]
    lengths = {text: inputs.prompt_length(text) for text in texts}
    if len(set(lengths.values())) == 1:  # the tokenizer's choice
        texts[1] = "pick up the extraordinarily green cube"
    with pytest.raises(ValueError, match=r"prompts of one length, .* attends to padding; got \{'pick up the red cube'"):
        inputs.prompt(texts, 2)
    ids, _ = inputs.prompt([texts[0], texts[0]], 2)
    assert torch.equal(ids, inputs.prompt(texts[0], 2)[0])
    with pytest.raises(ValueError, match="got 2 instructions for a batch of 3"):
        inputs.prompt([texts[0], texts[0]], 3)


def test_instruction_format(tiny_model: Gr00tModel):
    plain, quoted = make(tiny_model), make(tiny_model, instruction_format="['{instruction}']")
    assert "</img>['lift']<|im_end|>" in quoted.tokenizer.decode(quoted.prompt("lift", 1)[0][0])
    assert plain.prompt_length("lift") < quoted.prompt_length("lift")


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (torch.zeros(2, 56, 56, 3), r"dtype torch.float32 and shape \(2, 56, 56, 3\); expected uint8"),
        (
            torch.zeros(2, 56, 56, 4, dtype=torch.uint8),
            r"shape \(2, 56, 56, 4\); expected uint8 .* colour without alpha",
        ),
        (torch.zeros(2, 2, 56, 56, 3, dtype=torch.uint8), r"shape \(2, 2, 56, 56, 3\); expected \(B, 1, H, W, 3\)"),
        ([torch.zeros(2, 56, 56, 3, dtype=torch.uint8)] * 2, "got images of 2 cameras; expected num_cameras = 1"),
    ],
)
def test_image_errors(tiny_model: Gr00tModel, images: Tensor | list[Tensor], text: str):
    with pytest.raises(ValueError, match=text):
        make(tiny_model).pixel_values(images)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_cameras": 0}, "num_cameras is 0; expected at least 1"),
        ({"crop_scale": 1.5}, r"crop_scale is 1.5; expected a value in \(0, 1\]"),
        ({"instruction_format": "do it"}, r"instruction_format is 'do it'; it must contain '\{instruction\}'"),
    ],
)
def test_option_errors(tiny_model: Gr00tModel, options: dict, text: str):
    with pytest.raises(ValueError, match=text):
        make(tiny_model, **options)


def test_parts_that_do_not_belong_together(tiny_model: Gr00tModel, tiny_checkpoint: Path, reference_model: Gr00tModel):
    tokenizer = load_tokenizer(tiny_checkpoint)
    with pytest.raises(Gr00tCheckpointError, match="the model holds embodiment slot 31, the statistics are of 'new_em"):
        Gr00tInputs(tiny_model, load_embodiment(tiny_checkpoint, "new_embodiment", slot=24), tokenizer)
    robot = load_embodiment(tiny_checkpoint, "new_embodiment", slot=1)
    with pytest.raises(Gr00tCheckpointError, match=r"maps <IMG_CONTEXT> to \d+, the checkpoint to 500"):
        Gr00tInputs(reference_model, robot, tokenizer)
    own = own_data_config(tiny_checkpoint, "new_embodiment", horizon=16, crop_scale=None)
    twice = own.model_copy(update={"state_keys": [*own.state_keys, *own.state_keys]})
    too_wide = load_embodiment(tiny_checkpoint, "new_embodiment", slot=1, data_config=twice)
    with pytest.raises(Gr00tCheckpointError, match="18 dimensions exceed max_state_dim = 16"):
        Gr00tInputs(reference_model, too_wide, tokenizer)


def test_missing_tokenizer(tiny_copy: Path, tmp_path: Path, tiny_checkpoint: Path):
    model = load_gr00t(tiny_copy, dtype=torch.float32)
    (tiny_copy / "tokenizer.json").unlink()
    with pytest.raises(Gr00tCheckpointError, match=r"holds no tokenizer .* 'lerobot/eagle2hg-processor-groot-n1p5"):
        make(model)
    with pytest.raises(Gr00tCheckpointError, match=r"no tokenizer can be loaded from .*nowhere"):
        make(model, tokenizer=tmp_path / "nowhere")
    by_directory = make(model, tokenizer=tiny_checkpoint)
    by_object = make(model, tokenizer=load_tokenizer(tiny_checkpoint))
    assert torch.equal(by_directory.prompt("lift", 1)[0], by_object.prompt("lift", 1)[0])
