# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GR00T N1.7: agreement with the reference implementation in float32 to 1e-5, dims, loading."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen3VLConfig, Qwen3VLModel

from gr00t_rl_ext.gr00t import ActionHead, ActionHeadConfig, Gr00tCheckpointError, Gr00tModel, load_gr00t
from gr00t_rl_ext.gr00t.backbone_qwen3vl import Qwen3VLBackbone

TOLERANCE = {"rtol": 0.0, "atol": 1e-5}
SLOT = 2
ENCODER_INPUTS = ("pixel_values", "input_ids", "attention_mask", "image_grid_thw")


@pytest.fixture(scope="module")
def checkpoint(n1_7_checkpoint: Path) -> Path:
    return n1_7_checkpoint


@pytest.fixture(scope="module")
def io(checkpoint: Path) -> dict[str, Tensor]:
    """Inputs and outputs of the reference implementation, 3 samples of one 64 px image."""
    return load_file(checkpoint / "ref_io.safetensors")


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "copy"))


@pytest.fixture
def model(checkpoint: Path) -> Gr00tModel:
    return load_gr00t(checkpoint, embodiment_slot=SLOT, dtype=torch.float32)


def encode(model: Gr00tModel, io: dict[str, Tensor]):
    return model.encode(**{name: io[name] for name in ENCODER_INPUTS})


def edit_config(directory: Path, file: str = "config.json", **changes: object) -> None:
    path = directory / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_parity(checkpoint: Path, io: dict[str, Tensor], implementation: str):
    model = load_gr00t(checkpoint, embodiment_slot=SLOT, dtype=torch.float32, attn_implementation=implementation)
    features = encode(model, io)
    torch.testing.assert_close(features.tokens, io["backbone_features"], **TOLERANCE)
    assert features.image_mask is not None
    assert torch.equal(features.image_mask, io["image_mask"])
    context = model.condition(features)
    torch.testing.assert_close(context.tokens, io["vl_features"], **TOLERANCE)
    torch.testing.assert_close(model.sample(context, io["state"], io["noise0"]), io["action_pred"], **TOLERANCE)


def test_properties(model: Gr00tModel):
    assert model.version == "N1.7"
    assert (model.action_horizon, model.max_state_dim, model.max_action_dim, model.feature_dim) == (8, 16, 12, 64)
    assert (model.backbone.image_size, model.backbone.tokens_per_image) == (256, 64)
    assert model.action_head.future_tokens is None
    assert not any(t.is_meta for t in [*model.parameters(), *model.buffers()])


def test_another_slot_gives_other_actions(checkpoint: Path, io: dict[str, Tensor]):
    other = load_gr00t(checkpoint, embodiment_slot=1, dtype=torch.float32)
    actions = other.sample(other.condition(encode(other, io)), io["state"], io["noise0"])
    assert (actions - io["action_pred"]).abs().max() > 1e-2


def test_text_and_image_blocks(model: Gr00tModel, io: dict[str, Tensor]):
    """Of the 4 blocks, 0 attends to text and 2 to images; padding is seen by neither."""
    features = encode(model, io)
    mask = features.attention_mask.clone()
    mask[:, 0] = False
    head = model.action_head
    assert features.image_mask is not None
    text, image = head._cross_attention_masks(head.condition(features.tokens, mask, features.image_mask)) or ()
    assert torch.equal(text[:, 0, 0], ~features.image_mask & mask)
    assert torch.equal(image[:, 0, 0], features.image_mask)
    with pytest.raises(ValueError, match="image_mask is None; this head's blocks attend to either text or images"):
        head.condition(features.tokens)


def test_train_mode_equals_eval_mode(model: Gr00tModel, io: dict[str, Tensor]):
    before = model.sample(model.condition(encode(model, io)), io["state"], io["noise0"])
    model.train()
    assert torch.equal(model.sample(model.condition(encode(model, io)), io["state"], io["noise0"]), before)


def test_images_equal_their_patches(model: Gr00tModel, io: dict[str, Tensor]):
    """Images (N, 3, H, W) and Qwen3-VL's own layout with a grid give the same features."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, 3, 64, 64, generator=generator) * 2 - 1
    backbone = model.backbone
    assert isinstance(backbone, Qwen3VLBackbone)
    patches = backbone.patchify(images)
    assert patches.shape == (3, 16, 1536)
    grid = torch.tensor([[1, 4, 4]] * 3)
    flat = model.encode(pixel_values=patches.flatten(0, 1), input_ids=io["input_ids"], image_grid_thw=grid)
    assert torch.equal(model.encode(pixel_values=images, input_ids=io["input_ids"]).tokens, flat.tokens)


def test_two_cameras_equal_transformers(model: Gr00tModel, checkpoint: Path):
    """Positions and features of prompts with several images, with images that are not square, and with padding."""
    config = Qwen3VLConfig(**json.loads((checkpoint / "backbone" / "config.json").read_text()))
    config._attn_implementation = "sdpa"
    reference = Qwen3VLModel(config).eval()
    weights = {
        key.removeprefix("backbone.model.model."): value
        for key, value in load_file(checkpoint / "model.safetensors").items()
        if key.startswith("backbone.")
    }
    del reference.language_model.layers[2:]
    reference.load_state_dict(weights, strict=True)
    grid = torch.tensor([[1, 4, 6]] * 4)
    image, words = [500] * 6, [7, 8, 9]
    ids = torch.tensor(
        [
            [*words, 502, *image, 503, 502, *image, 503, 4, 5],
            [6, 502, *image, 503, *words, *image, 4, 5, 3],
        ]
    )
    mask = torch.ones_like(ids)
    mask[1, 0] = mask[0, -1] = 0  # on either side
    pixels = torch.rand(4 * 24, 1536, generator=torch.Generator().manual_seed(0)) * 2 - 1
    backbone = model.backbone
    assert isinstance(backbone, Qwen3VLBackbone)
    image_mask = ids == 500
    expected, _ = reference.get_rope_index(
        ids,
        mm_token_type_ids=image_mask.int(),
        image_grid_thw=grid,
        attention_mask=mask,  # pyright: ignore
    )
    positions = backbone.position_ids(image_mask, mask.bool(), (2, 3))
    assert torch.equal(positions, expected), "of padding as well, which the head's self-attention sees"

    captured: list[Tensor] = []
    reference.language_model.layers[-1].register_forward_hook(lambda *args: captured.append(args[-1]))
    with torch.no_grad():
        reference(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=pixels,
            image_grid_thw=grid,
            mm_token_type_ids=image_mask.int(),
        )
    features = model.encode(pixel_values=pixels, input_ids=ids, attention_mask=mask, image_grid_thw=grid)
    torch.testing.assert_close(features.tokens[mask.bool()], captured[0][mask.bool()], **TOLERANCE)


def test_input_errors(model: Gr00tModel, io: dict[str, Tensor]):
    with pytest.raises(ValueError, match=r"prompts hold 12 image tokens \(index 500\).* yields 2 images x 4 tokens"):
        model.encode(pixel_values=torch.zeros(2, 3, 64, 64), input_ids=io["input_ids"])
    with pytest.raises(ValueError, match=r"expected still images of one size, that is, one \(1, rows, columns\)"):
        model.encode(
            pixel_values=io["pixel_values"],
            input_ids=io["input_ids"],
            image_grid_thw=torch.tensor([[1, 4, 4], [1, 2, 8], [1, 4, 4]]),
        )


def test_rotary_frequencies_stay_float32(checkpoint: Path, model: Gr00tModel):
    loaded = load_gr00t(checkpoint, embodiment_slot=SLOT)  # bfloat16
    expected = {
        "visual.rotary_pos_emb": 1 / 10000 ** (torch.arange(0, 8, 2).float() / 8),
        "language_model.rotary_emb": 1 / 5000000 ** (torch.arange(0, 16, 2).float() / 16),
    }
    for half in (loaded, model.to(torch.bfloat16)):
        assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
        for name, frequencies in expected.items():
            buffer = half.backbone.get_submodule(name).inv_freq
            torch.testing.assert_close(buffer, frequencies, rtol=1e-6, atol=0)


def test_bfloat16_is_near_float32(checkpoint: Path, model: Gr00tModel, io: dict[str, Tensor]):
    half = encode(load_gr00t(checkpoint, embodiment_slot=SLOT), io).tokens
    exact = encode(model, io).tokens
    assert half.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(exact.flatten(), half.float().flatten(), dim=0) > 0.999


def test_language_model_head_is_ignored_and_nothing_else(copy: Path):
    tensors = load_file(copy / "model.safetensors")
    tensors["backbone.model.lm_head.weight"] = torch.zeros(512, 64)
    save_file(tensors, copy / "model.safetensors")
    load_gr00t(copy, embodiment_slot=SLOT)
    tensors["backbone.model.model.language_model.layers.2.mlp.up_proj.weight"] = torch.zeros(1)
    del tensors["action_head.vlln.bias"]
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(
        Gr00tCheckpointError, match=r"1 tensors are missing: action_head.vlln.bias; 1 tensors are unexp"
    ):
        load_gr00t(copy, embodiment_slot=SLOT)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"select_layer": 5}, "select_layer is 5, but the language model has 4 layers; expected 1 to 4"),
        ({"reproject_vision": True}, "reproject_vision is True; only False is supported"),
        ({"image_target_size": [224, 224]}, "image size is 224; expected a multiple of 32 that is at least 256"),
        ({"image_target_size": [256, 320]}, r"image_target_size is \[256, 320\]; expected a square"),
        ({"image_crop_size": [230, 200]}, r"image_crop_size is \[230, 200\]; expected a square"),
        ({"state_history_length": 2}, "state_history_length is 2; only 1 is supported"),
        ({"exclude_state": True}, "exclude_state is True; only False is supported"),
    ],
)
def test_unsupported_options(copy: Path, changes: dict, text: str):
    edit_config(copy, **changes)
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_gr00t(copy, embodiment_slot=SLOT)


def test_incomplete_backbone_config(copy: Path):
    edit_config(copy, "backbone/config.json", vision_config={})
    with pytest.raises(Gr00tCheckpointError, match="has no field 'deepstack_visual_indexes' for the backbone"):
        load_gr00t(copy, embodiment_slot=SLOT)


def test_published_parameter_count(checkpoint: Path, tmp_path: Path):
    """The dims are right: modules plus what a checkpoint holds besides add up to the published 3,144,016,000."""
    tiny = json.loads((checkpoint / "config.json").read_text())
    shape = {"action_horizon": 40, "max_state_dim": 132, "max_action_dim": 132, "hidden_size": 1024}
    shape |= {"input_embedding_dim": 1536, "backbone_embedding_dim": 2048, "max_num_embodiments": 32}
    dit = {"num_layers": 32, "num_attention_heads": 32, "attention_head_dim": 48, "output_dim": 1024}
    vl = {"num_layers": 4, "num_attention_heads": 32, "attention_head_dim": 64}
    published = tiny | shape | {"max_seq_len": 1024, "select_layer": 16}
    published["diffusion_model_cfg"] |= dit
    published["vl_self_attention_cfg"] |= vl
    with torch.device("meta"):
        backbone = Qwen3VLBackbone(published, tmp_path, "sdpa")
        head = ActionHead(ActionHeadConfig.from_checkpoint(published))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    one_slot = sum(count(head.get_submodule(name)) for name in ActionHead.SLOT_LAYERS)
    final_norm = 2048
    assert count(backbone.visual) == 406_957_056
    assert count(backbone.language_model) == 1_116_540_928
    assert count(head) == 1_304_913_028
    assert one_slot == 10_180_740
    # the LM head is tied to the embedding and not counted
    assert count(backbone) + count(head) + 31 * one_slot + final_norm == 3_144_016_000
    assert backbone.tokens_per_image == 64
