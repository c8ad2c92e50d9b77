# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The whole model: dtypes, layer selection, parameter count, saving."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gr00t_rl_ext.gr00t import ActionHead, ActionHeadConfig, Gr00tCheckpointError, Gr00tModel, load_gr00t
from gr00t_rl_ext.gr00t.backbone_eagle import EagleBackbone

SOURCE = Path(__file__).parents[2] / "source"

PUBLISHED_CONFIG = {
    "backbone_cfg": {"select_layer": 12, "project_to_dim": None, "reproject_vision": False},
    "action_head_cfg": {
        "action_dim": 32,
        "action_horizon": 16,
        "add_pos_embed": True,
        "backbone_embedding_dim": 2048,
        "diffusion_model_cfg": {
            "attention_head_dim": 48,
            "cross_attention_dim": 2048,
            "interleave_self_attention": True,
            "norm_type": "ada_norm",
            "num_attention_heads": 32,
            "num_layers": 16,
            "output_dim": 1024,
            "positional_embeddings": None,
        },
        "hidden_size": 1024,
        "input_embedding_dim": 1536,
        "max_state_dim": 64,
        "num_inference_timesteps": 4,
        "num_target_vision_tokens": 32,
        "num_timestep_buckets": 1000,
        "use_vlln": True,
        "vl_self_attention_cfg": {
            "attention_head_dim": 64,
            "num_attention_heads": 32,
            "num_layers": 4,
            "positional_embeddings": None,
        },
    },
}
"""The fields of nvidia/GR00T-N1.5-3B's config.json that shape the model."""


def test_published_parameter_count(tmp_path: Path):
    """The dims are right: modules plus what a checkpoint holds besides add up to the published 2,724,163,520."""
    with torch.device("meta"):
        backbone = EagleBackbone(PUBLISHED_CONFIG, tmp_path, "sdpa")
        head = ActionHead(ActionHeadConfig.from_checkpoint(PUBLISHED_CONFIG["action_head_cfg"]))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    width, inner = 1152, 4304
    pooling_head = (
        width  # probe
        + 4 * (width * width + width)  # attention
        + 2 * width  # layer norm
        + 2 * width * inner + inner + width  # perceptron
    )  # fmt: skip
    lm_head = 151680 * 2048  # stored, though its weight is tied to the embedding
    one_slot = sum(count(head.get_submodule(name)) for name in ActionHead.SLOT_LAYERS)
    assert pooling_head == 15_238_352
    assert one_slot == 9_855_008
    ours = count(backbone) + count(head)
    assert ours == 2_092_779_280
    assert ours + 31 * one_slot + pooling_head + lm_head == 2_724_163_520
    assert backbone.tokens_per_image == 256


def test_properties(tiny_model: Gr00tModel):
    assert tiny_model.version == "N1.5"
    assert tiny_model.embodiment_slot == 31
    assert (tiny_model.max_state_dim, tiny_model.max_action_dim) == (64, 32)
    assert (tiny_model.action_horizon, tiny_model.feature_dim) == (16, 64)
    assert tiny_model.config.action_head.num_inference_timesteps == 4
    assert tiny_model.device.type == "cpu"
    assert not tiny_model.training
    assert not any(p.requires_grad for p in tiny_model.parameters())
    assert not any(t.is_meta for t in [*tiny_model.parameters(), *tiny_model.buffers()])


def test_rotary_frequencies_stay_float32(tiny_checkpoint: Path, tiny_model: Gr00tModel):
    loaded = load_gr00t(tiny_checkpoint)  # bfloat16
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    expected = 1 / 1000000 ** (torch.arange(0, 16, 2).float() / 16)
    cast = tiny_model.to(torch.bfloat16)
    assert {p.dtype for p in cast.parameters()} == {torch.bfloat16}
    for model in (loaded, cast):
        rope = model.backbone.language_model.rotary_emb
        assert rope.inv_freq.dtype == torch.float32
        torch.testing.assert_close(rope.inv_freq, expected, rtol=1e-6, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpu_gets_the_same_bits(tiny_checkpoint: Path, dtype: torch.dtype):
    """On the current device, which is what "cuda" means."""
    last = torch.device("cuda", torch.cuda.device_count() - 1)
    with torch.cuda.device(last):
        model = load_gr00t(tiny_checkpoint, dtype=dtype, device="cuda")
    assert {t.device for t in [*model.parameters(), *model.buffers()]} == {last}
    assert model.backbone.language_model.rotary_emb.inv_freq.dtype == torch.float32
    for ours, there in zip(load_gr00t(tiny_checkpoint, dtype=dtype).parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, there.cpu())


def test_bfloat16_is_near_float32(tiny_checkpoint: Path, tiny_model: Gr00tModel):
    half = load_gr00t(tiny_checkpoint)
    generator = torch.Generator().manual_seed(0)
    pixel_values = torch.rand(2, 3, 56, 56, generator=generator) * 2 - 1
    ids = torch.full((2, 20), tiny_model.backbone.image_token_index)
    ids[:, 16:] = torch.tensor([5, 6, 7, 8])
    exact = tiny_model.encode(pixel_values=pixel_values, input_ids=ids).tokens
    rounded = half.encode(pixel_values=pixel_values, input_ids=ids).tokens
    assert rounded.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(exact.flatten(), rounded.float().flatten(), dim=0) > 0.999


@pytest.mark.parametrize("select_layer", [-1, 0, 2, 3, -2])
def test_vision_layer_selection(
    select_layer: int, reference_checkpoint: Path, tmp_path: Path, reference_io: dict[str, Tensor]
):
    """-1 is transformers' last_hidden_state (after post_layernorm); other indices are its hidden_states (before it)."""
    directory = Path(shutil.copytree(reference_checkpoint, tmp_path / "copy"))
    eagle = json.loads((directory / "eagle_config.json").read_text())
    (directory / "eagle_config.json").write_text(json.dumps(eagle | {"select_layer": select_layer}))
    model = load_gr00t(directory, embodiment_slot=1, dtype=torch.float32)
    vision = model.backbone.vision_model
    pixel_values = reference_io["eagle_pixel_values"]
    output = vision(pixel_values, output_hidden_states=True)
    # the states of 4.51, with which the checkpoint was published: embeddings, then each layer, without the last norm
    states = [vision.embeddings(pixel_values)]
    for layer in vision.encoder.layers:
        states.append(layer(states[-1], None))
    torch.testing.assert_close(vision.post_layernorm(states[-1]), output.last_hidden_state)
    expected = output.last_hidden_state if select_layer == -1 else states[select_layer]
    rows, _ = model.backbone.image_features(pixel_values, model.backbone.grid(None))
    torch.testing.assert_close(rows, model.backbone.mlp1[0](expected).flatten(0, 1))


def test_select_layer_out_of_range(reference_checkpoint: Path, tmp_path: Path):
    directory = Path(shutil.copytree(reference_checkpoint, tmp_path / "copy"))
    eagle = json.loads((directory / "eagle_config.json").read_text())
    (directory / "eagle_config.json").write_text(json.dumps(eagle | {"select_layer": 4}))
    with pytest.raises(Gr00tCheckpointError, match="select_layer is 4, but the vision model has 3 layers"):
        load_gr00t(directory, embodiment_slot=1)


def test_wrong_number_of_image_tokens(reference_model: Gr00tModel, reference_io: dict[str, Tensor]):
    with pytest.raises(ValueError, match=r"prompts hold 48 image tokens .* yields 2 images x 16 tokens"):
        reference_model.encode(
            pixel_values=reference_io["eagle_pixel_values"][:2], input_ids=reference_io["eagle_input_ids"]
        )
    with pytest.raises(ValueError, match="image_grid_thw must be None"):
        reference_model.encode(
            pixel_values=reference_io["eagle_pixel_values"],
            input_ids=reference_io["eagle_input_ids"],
            image_grid_thw=torch.ones(3, 3),
        )


def test_importing_the_package_costs_no_torch():
    code = "import sys, gr00t_rl_ext.gr00t; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(SOURCE)})


def test_the_package_imports_nothing_above_it():
    """Neither Isaac Lab, nor rsl_rl, nor another part of gr00t_rl_ext."""
    files = list((SOURCE / "gr00t_rl_ext" / "gr00t").glob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{file.name} imports from a parent package"
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"isaaclab", "isaaclab_rl", "isaaclab_tasks", "rsl_rl", "gr00t_rl_ext"}, file.name
