# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The tiny checkpoints: deterministic, complete, small, careful with other people's directories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gr00t_rl_ext.gr00t import (
    Gr00tInputs,
    Gr00tModel,
    build_tiny_checkpoint,
    load_embodiment,
    load_gr00t,
    load_tokenizer,
)
from gr00t_rl_ext.gr00t.backbone_eagle import EagleBackbone
from gr00t_rl_ext.gr00t.backbone_qwen3vl import Qwen3VLBackbone
from gr00t_rl_ext.gr00t.tiny import small_image_size
from gr00t_rl_ext.gr00t.tiny.__main__ import main


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


@pytest.fixture(scope="module", params=["N1.5", "N1.6", "N1.7"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def tiny(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with all defaults. Not to be changed."""
    return build_tiny_checkpoint(tmp_path_factory.mktemp(version) / "checkpoint", version=version)


@pytest.fixture
def model(tiny: Path) -> Gr00tModel:
    return load_gr00t(tiny, dtype=torch.float32)


def published_keys(keys: Iterable[str]) -> set[str]:
    """Names up to layer numbers."""
    return {".".join("N" if part.isdigit() else part for part in key.split(".")) for key in keys}


def test_same_arguments_give_the_same_bytes(version: str, tiny: Path, tmp_path: Path):
    assert contents(build_tiny_checkpoint(tmp_path / "same", version=version)) == contents(tiny)
    other = contents(build_tiny_checkpoint(tmp_path / "other", version=version, seed=1))
    assert {k for k, v in contents(tiny).items() if other[k] != v} == {k for k in other if "model-" in k}


def test_it_is_small(tiny: Path, model: Gr00tModel):
    assert sum(len(content) for content in contents(tiny).values()) < 10e6
    assert sum(p.numel() for p in model.parameters()) < 1e6


def test_it_has_the_published_keys(
    version: str, tiny: Path, reference_checkpoint: Path, n1_6_checkpoint: Path, n1_7_checkpoint: Path
):
    """The same names as the reference's checkpoint, and the LM head, which some of those leave out."""
    tensors = {key: tensor for file in tiny.glob("*.safetensors") for key, tensor in load_file(file).items()}
    if version == "N1.5":
        reference = set((reference_checkpoint / "keys.txt").read_text().split())
    else:
        directory = n1_6_checkpoint if version == "N1.6" else n1_7_checkpoint
        reference = published_keys(load_file(directory / "model.safetensors"))
    (lm_head,) = {key for key in published_keys(tensors) if key.endswith("lm_head.weight")}
    assert published_keys(tensors) - reference <= {lm_head}
    assert reference - published_keys(tensors) == set()
    (embedding,) = (key for key in tensors if key.endswith("embed_tokens.weight"))
    assert torch.equal(tensors[lm_head], tensors[embedding]), "tied, as in the published language models"
    assert {len(t) for key, t in tensors.items() if key.endswith((".W", ".b"))} == {32}, "embodiment slots"


def test_config_has_the_fields_of_the_reference(
    version: str, tiny: Path, reference_checkpoint: Path, n1_6_checkpoint: Path, n1_7_checkpoint: Path
):
    reference = {"N1.5": reference_checkpoint, "N1.6": n1_6_checkpoint, "N1.7": n1_7_checkpoint}[version]
    ours, theirs = (json.loads((path / "config.json").read_text()) for path in (tiny, reference))
    # the last is an old name of "eagle_collator"
    assert theirs.keys() - ours.keys() - {"collator_overwrite_image_inputs"} == set()
    for section in ("diffusion_model_cfg", "vl_self_attention_cfg"):
        assert theirs.get(section, {}).keys() - ours.get(section, {}).keys() == set()


def test_every_text_is_tokenised(tiny: Path):
    tokenizer = load_tokenizer(tiny)
    for text in ("Grasp the ~17 mm hex-nut, quickly!", "Füge den Würfel ein", "把方块放好"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert max(ids) < 512  # pyright: ignore[reportArgumentType]


def test_it_depends_on_all_inputs(model: Gr00tModel):
    """Images, instruction and state each change the velocity: a policy on it has something to learn from."""
    inputs = Gr00tInputs.from_checkpoint(model, "new_embodiment")
    x = torch.zeros(1, model.action_horizon, model.max_action_dim)
    black, white = (torch.full((1, 64, 64, 3), value, dtype=torch.uint8) for value in (0, 255))

    def velocity(images: torch.Tensor, text: str, state: float) -> torch.Tensor:
        batch = inputs(images, text, torch.full((1, 9), state))
        padded = batch.pop("state")
        context = model.condition(model.encode(**batch))
        return model.velocity(context, padded, x, torch.zeros(1, dtype=torch.long))

    base = velocity(black, "lift the cube", 0.0)
    assert 0.1 < base.std() < 3
    for other in (
        velocity(white, "lift the cube", 0.0),
        velocity(black, "open it", 0.0),
        velocity(black, "lift the cube", 1.0),
    ):
        assert (other - base).abs().mean() > 1e-3


def test_arguments(tmp_path: Path):
    path = build_tiny_checkpoint(
        tmp_path / "out",
        state_keys={"arm": 3},
        action_keys={"arm": 3, "hand": 2},
        ranges={"state.arm": (-2.0, 4.0)},
        embodiment_tag="gr1",
        image_size=28,
        horizon=5,
        max_state_dim=8,
        max_action_dim=6,
        num_inference_timesteps=2,
        num_shards=3,
    )
    model = load_gr00t(path)
    assert model.embodiment_slot == 24
    assert (model.max_state_dim, model.max_action_dim, model.action_horizon) == (8, 6, 5)
    assert (model.config.action_head.num_inference_timesteps, model.backbone.tokens_per_image) == (2, 4)
    assert len(list(path.glob("*.safetensors"))) == 3
    assert load_embodiment(path, "gr1").state.normalize(torch.tensor([[1.0, 4.0, -2.0]])).tolist() == [[0, 1, -1]]


def test_shape_of_n1_5(tmp_path: Path):
    path = build_tiny_checkpoint(
        tmp_path / "out",
        image_size=48,
        patch_size=16,
        vision_layers=3,
        vision_width=32,
        vision_heads=2,
        text_layers=3,
        text_width=48,
        text_heads=6,
        vl_layers=2,
        dit_layers=6,
        dit_width=40,
        dit_heads=5,
        num_future_tokens=3,
    )
    model = load_gr00t(path, dtype=torch.float32)
    backbone, head = model.backbone, model.config.action_head
    assert isinstance(backbone, EagleBackbone)
    vision, text = backbone.vision_model.config, backbone.language_model.config
    assert (vision.num_hidden_layers, vision.hidden_size, vision.num_attention_heads) == (3, 32, 2)
    assert (text.num_hidden_layers, text.num_attention_heads, text.num_key_value_heads) == (3, 6, 3)
    assert (model.feature_dim, backbone.tokens_per_image) == (48, 9)
    assert head.vl_self_attention is not None
    assert (head.vl_self_attention.num_layers, head.vl_self_attention.num_attention_heads) == (2, 6)
    assert (head.diffusion_model.num_layers, head.diffusion_model.width, head.num_future_tokens) == (6, 40, 3)
    context = model.condition(
        model.encode(
            pixel_values=torch.zeros(1, 3, 48, 48),
            input_ids=torch.tensor([[1, *[backbone.image_token_index] * 9, 2]]),
        )
    )
    assert model.sample(context, torch.zeros(1, 1, 64), torch.zeros(1, 16, 32)).isfinite().all()


def test_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main([str(tmp_path / "out"), "--size", "small", "--horizon", "8"])
    model = load_gr00t(tmp_path / "out")
    assert (model.version, model.backbone.image_size, model.action_horizon) == ("N1.5", 64, 8)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 0.99, "as its documentation says"
    assert [small_image_size(*size) for size in ((64, 64), (200, 85), (480, 640), (20, 40))] == [64, 80, 128, 32]
    with pytest.raises(SystemExit):
        main([str(tmp_path / "other"), "--size", "small", "--version", "N1.7"])
    assert "--size small is a GR00T N1.5" in capsys.readouterr().err


def test_shape_of_n1_7(tmp_path: Path):
    path = build_tiny_checkpoint(
        tmp_path / "out",
        version="N1.7",
        image_size=288,
        horizon=6,
        max_state_dim=12,
        max_action_dim=9,
        vision_layers=3,
        vision_heads=1,
        deepstack=(0, 1, 2),
        text_layers=5,
        text_width=96,
        text_heads=6,
        text_kv_heads=3,
        vl_layers=2,
        vl_heads=3,
        dit_layers=6,
        dit_heads=2,
        dit_head_dim=8,
        attend_text_every_n_blocks=3,
    )
    model = load_gr00t(path, dtype=torch.float32)
    assert (model.embodiment_slot, model.action_horizon, model.max_state_dim, model.max_action_dim) == (10, 6, 12, 9)
    assert (model.feature_dim, model.backbone.tokens_per_image) == (96, 81)
    backbone, head = model.backbone, model.config.action_head
    assert isinstance(backbone, Qwen3VLBackbone)
    assert (len(backbone.visual.blocks), len(backbone.visual.deepstack_merger_list)) == (3, 3)
    text = backbone.language_model.config
    assert (text.num_hidden_layers, text.num_attention_heads, text.num_key_value_heads) == (5, 6, 3)
    assert (head.diffusion_model.num_layers, head.diffusion_model.width) == (6, 16)
    assert head.vl_self_attention is not None
    assert (head.vl_self_attention.num_layers, head.vl_self_attention.num_attention_heads) == (2, 3)
    assert head.attend_text_every_n_blocks == 3
    context = model.condition(
        model.encode(
            pixel_values=torch.zeros(1, 3, 288, 288),
            input_ids=torch.tensor([[1, *[backbone.image_token_index] * 81, 2]]),
        )
    )
    actions = model.sample(context, torch.zeros(1, 1, 12), torch.zeros(1, 6, 9))
    assert actions.isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"version": "N1.4"}, "version is 'N1.4'; expected one of N1.5, N1.6, N1.7"),
        ({"deepstack": (0,)}, "the shape of a tiny N1.5 has no deepstack; it has image_size, horizon, max_state_dim"),
        ({"version": "N1.7", "image_size": 240}, "image_size is 240; expected a multiple of 32 that is at least 256"),
        ({"version": "N1.7", "deepstack": (1, 4)}, r"deepstack is \[1, 4\]; expected rising indices of the 4 vision"),
        ({"version": "N1.7", "deepstack": (1, 0)}, r"deepstack is \[1, 0\]; expected rising"),
        ({"version": "N1.7", "text_kv_heads": 3}, "text_kv_heads is 3; expected a divisor of text_heads = 4"),
        ({"version": "N1.7", "vl_heads": 5}, "vl_heads is 5; expected a divisor of text_width = 64"),
        (
            {"version": "N1.7", "state_keys": {"arm": 133}},
            r"state_keys \{'arm': 133\} add up to 133; expected 1 to 132",
        ),
        ({"dit_heads": 3}, "dit_heads is 3; expected a divisor of dit_width = 64"),
        ({"image_size": 64}, "image_size is 64; expected a positive multiple of the patch size 14"),
        ({"embodiment_tag": "robot"}, "embodiment_tag is 'robot'; expected one of new_embodiment"),
        ({"action_keys": {"arm": 33}}, r"action_keys \{'arm': 33\} add up to 33; expected 1 to 32 dimensions"),
        ({"state_keys": {}}, r"state_keys \{\} add up to 0"),
        ({"ranges": {"arm": (0.0, 1.0)}}, "ranges name arm; expected some of action.gripper_position"),
    ],
)
def test_argument_errors(tmp_path: Path, arguments: dict, text: str):
    with pytest.raises(ValueError, match=text):
        build_tiny_checkpoint(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_it_replaces_only_its_own(tmp_path: Path, tiny_copy: Path):
    build_tiny_checkpoint(tiny_copy, horizon=4)
    assert load_gr00t(tiny_copy).action_horizon == 4
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty and was not written by this function"):
        build_tiny_checkpoint(tmp_path / "mine")
    assert contents(tmp_path / "mine") == {"notes.txt": b""}


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main([str(tmp_path / "out"), "--horizon", "8"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert load_gr00t(tmp_path / "out").action_horizon == 8
    main([str(tmp_path / "n1_7"), "--version", "N1.7", "--image-size", "288"])
    model = load_gr00t(tmp_path / "n1_7")
    assert (model.version, model.backbone.image_size, model.action_horizon) == ("N1.7", 288, 40)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "other"), "--image-size", "50"])
    assert "image_size is 50; expected a positive multiple" in capsys.readouterr().err


def test_bytes_do_not_depend_on_the_process(tmp_path: Path):
    """Not on hash randomisation, which orders sets."""
    program = "import sys; from gr00t_rl_ext.gr00t.tiny.__main__ import main"
    program += "; [main([f'{sys.argv[1]}/{version}', '--version', version]) for version in sys.argv[2:]]"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "source"), "PYTHONHASHSEED": "12345"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path), "N1.5", "N1.6", "N1.7"], check=True, env=environment)
    for version in ("N1.5", "N1.6", "N1.7"):
        here = build_tiny_checkpoint(tmp_path / "here" / version, version=version)
        assert contents(tmp_path / version) == contents(here)


def test_it_is_fast(model: Gr00tModel):
    """Encoding and sampling for 8 environments, one camera: 30 ms (N1.5), 70 ms (N1.7). The bound: a busy core."""
    inputs = Gr00tInputs.from_checkpoint(model, "new_embodiment")
    images = torch.zeros(8, 96, 96, 3, dtype=torch.uint8)
    noise = torch.zeros(8, model.action_horizon, model.max_action_dim)
    durations = []
    for _ in range(10):
        start = time.perf_counter()
        batch = inputs(images, "lift the cube", torch.zeros(8, 9))
        state = batch.pop("state")
        model.sample(model.condition(model.encode(**batch)), state, noise)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.5
