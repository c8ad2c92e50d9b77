# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GR00T N1.6: its backbone's size, grids of images, configs that are incomplete or ask for what is not done.

``test_conformance`` compares its numbers with those of NVIDIA's code.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tModel, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.action_head import ActionHead, ActionHeadConfig
from gr00t_rl_ext.gr00t.backbone_eagle3 import Eagle3Backbone
from gr00t_rl_ext.gr00t.model import meta_gr00t
from gr00t_rl_ext.gr00t.versions import N1_6_DEFAULTS


@pytest.fixture
def copy(n1_6_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(n1_6_checkpoint, tmp_path / "copy"))


def edit(file: Path, *section: str, **changes: object) -> None:
    content = json.loads(file.read_text())
    part = content
    for name in section:
        part = part[name]
    part.update(changes)
    file.write_text(json.dumps(content))


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_parameter_count(tmp_path: Path):
    """The dims are right: the parts that GR00T uses add up to 2,960,729,840, the file's to 15.2 and 310.6 M more."""
    published = {**N1_6_DEFAULTS, "action_horizon": 50, "max_state_dim": 128, "max_action_dim": 128}
    with torch.device("meta"):
        backbone = Eagle3Backbone(published, tmp_path, "sdpa")
        head = ActionHead(ActionHeadConfig.from_checkpoint(published))
    one_slot = sum(count(head.get_submodule(name)) for name in ActionHead.SLOT_LAYERS)
    assert count(backbone.vision_model) == 412_442_352
    assert count(backbone.mlp1) == 13_644_800
    assert count(backbone.language_model) == 1_116_018_688
    assert count(head) + 31 * one_slot == 1_418_624_000
    assert count(backbone) + count(head) + 31 * one_slot == 2_960_729_840
    assert backbone.tokens_per_image == 81
    assert (backbone.image_recipe.edge, backbone.image_recipe.size) == (256, (252, 252))


def test_a_sparse_config_has_gr00ts_defaults(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "Gr00tN1d6", "action_horizon": 50}))
    head = meta_gr00t(tmp_path).config.action_head
    assert (head.action_horizon, head.max_state_dim, head.diffusion_model.num_layers) == (50, 29, 32)
    assert head.attend_text_every_n_blocks == 2


def test_what_is_stored_and_not_used_survives_saving(copy: Path, tmp_path: Path):
    from safetensors.torch import load_file

    model = load_gr00t(copy, embodiment_slot=10, dtype=torch.float32)
    with torch.no_grad():
        model.action_head.vlln.weight += 1
    model.save_pretrained(tmp_path / "out")
    before, after = (load_file(path / "model.safetensors") for path in (copy, tmp_path / "out"))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"action_head.vlln.weight"}
    assert "action_head.mask_token" in before


@pytest.fixture(scope="module")
def model(n1_6_checkpoint: Path) -> Gr00tModel:
    return load_gr00t(n1_6_checkpoint, embodiment_slot=10, dtype=torch.float32)


def test_images_of_other_sizes(model: Gr00tModel):
    assert model.backbone.grid(None) == (3, 3)
    assert model.backbone.grid(None, torch.zeros(1, 3, 56, 84)) == (2, 3)
    with pytest.raises(ValueError, match="images have 60 x 84 pixels; expected multiples of 28"):
        model.backbone.grid(None, torch.zeros(1, 3, 60, 84))
    with pytest.raises(ValueError, match="takes its grid from the images: image_grid_thw must be None"):
        model.backbone.grid(torch.tensor([[1, 2, 2]]))


@pytest.mark.parametrize(
    ("file", "section", "changes", "text"),
    [
        (
            "config.json",
            (),
            {"backbone_model_type": "qwen"},
            "backbone_model_type is 'qwen'; only 'eagle' is supported",
        ),
        ("config.json", (), {"select_layer": 9}, "select_layer is 9, but the language model has 4 layers; expected 1"),
        ("eagle_config.json", (), {"downsample_ratio": 0.25}, "downsample_ratio is 0.25; only 0.5 is supported"),
        ("eagle_config.json", ("vision_config",), {"use_rope": True}, "use_rope is True; only False is supported"),
        ("processor_config.json", ("processor_kwargs",), {"shortest_image_edge": 12}, "image edge is 12; expected at"),
    ],
)
def test_what_is_not_supported(copy: Path, file: str, section: tuple[str, ...], changes: dict, text: str):
    edit(copy / file, *section, **changes)
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_gr00t(copy, embodiment_slot=10)


def test_slots_of_the_version_where_the_file_has_none(copy: Path):
    (copy / "embodiment_id.json").unlink()
    assert load_gr00t(copy, embodiment_tag="gr1").embodiment_slot == 20
    with pytest.raises(Gr00tCheckpointError, match="embodiment_slot is 40, but .* has 32 slots.* oxe_google: 0"):
        load_gr00t(copy, embodiment_slot=40)


def test_shapes_of_tiny_ones(tmp_path: Path):
    with pytest.raises(ValueError, match="image_size is 60; expected a positive multiple of 28, the side of a token"):
        build_tiny_checkpoint(tmp_path / "a", version="N1.6", image_size=60)
    with pytest.raises(ValueError, match="vl_layers is 1; GR00T N1.6 has no VL self-attention: expected 0"):
        build_tiny_checkpoint(tmp_path / "b", version="N1.6", vl_layers=1)
    tiny = build_tiny_checkpoint(tmp_path / "c", version="N1.6", image_size=84, vision_layers=1, text_layers=1)
    assert load_gr00t(tiny).backbone.tokens_per_image == 9
