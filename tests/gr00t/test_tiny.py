# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The tiny checkpoint: deterministic, complete, small, careful with other people's directories."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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
from gr00t_rl_ext.gr00t.tiny import main


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_same_arguments_give_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path):
    assert contents(build_tiny_checkpoint(tmp_path / "same")) == contents(tiny_checkpoint)
    other = contents(build_tiny_checkpoint(tmp_path / "other", seed=1))
    assert {k for k, v in contents(tiny_checkpoint).items() if other[k] != v} == {k for k in other if "model-" in k}


def test_it_is_small(tiny_checkpoint: Path, tiny_model: Gr00tModel):
    assert sum(len(content) for content in contents(tiny_checkpoint).values()) < 10e6
    assert sum(p.numel() for p in tiny_model.parameters()) < 1e6


def test_it_has_the_published_keys(tiny_checkpoint: Path, reference_checkpoint: Path):
    """The same names as the reference's checkpoint up to layer numbers, and the LM head, which that one leaves out."""
    keys = {key for file in tiny_checkpoint.glob("*.safetensors") for key in load_file(file)}
    generic = {".".join("N" if part.isdigit() else part for part in key.split(".")) for key in keys}
    published = set((reference_checkpoint / "keys.txt").read_text().split())
    assert generic - published == {"backbone.eagle_model.language_model.lm_head.weight"}
    assert published - generic == set()


def test_every_text_is_tokenised(tiny_checkpoint: Path):
    tokenizer = load_tokenizer(tiny_checkpoint)
    for text in ("Grasp the ~17 mm hex-nut, quickly!", "Füge den Würfel ein", "把方块放好"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert max(ids) < 512  # pyright: ignore[reportArgumentType]


def test_it_depends_on_all_inputs(tiny_model: Gr00tModel):
    """Images, instruction and state each change the velocity: a policy on it has something to learn from."""
    inputs = Gr00tInputs.from_checkpoint(tiny_model, "new_embodiment")
    x = torch.zeros(1, 16, 32)
    black, white = (torch.full((1, 64, 64, 3), value, dtype=torch.uint8) for value in (0, 255))

    def velocity(images: torch.Tensor, text: str, state: float) -> torch.Tensor:
        batch = inputs(images, text, torch.full((1, 9), state))
        padded = batch.pop("state")
        context = tiny_model.condition(tiny_model.encode(**batch))
        return tiny_model.velocity(context, padded, x, torch.zeros(1, dtype=torch.long))

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
        embodiment_tag="so100",
        image_size=28,
        horizon=5,
        max_state_dim=8,
        max_action_dim=6,
        num_inference_timesteps=2,
        num_shards=3,
    )
    model = load_gr00t(path)
    assert model.embodiment_slot == 2
    assert (model.max_state_dim, model.max_action_dim, model.action_horizon) == (8, 6, 5)
    assert (model.num_inference_timesteps, model.backbone.tokens_per_image) == (2, 4)
    assert len(list(path.glob("*.safetensors"))) == 3
    assert load_embodiment(path, "so100").state.normalize(torch.tensor([[1.0, 4.0, -2.0]])).tolist() == [[0, 1, -1]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
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
    with pytest.raises(SystemExit):
        main([str(tmp_path / "other"), "--image-size", "50"])
    assert "image_size is 50; expected a positive multiple" in capsys.readouterr().err


def test_bytes_do_not_depend_on_the_process(tiny_checkpoint: Path, tmp_path: Path):
    """Not on hash randomisation, which orders sets."""
    source = str(Path(__file__).parents[2] / "source")
    command = [sys.executable, "-m", "gr00t_rl_ext.gr00t.tiny", str(tmp_path / "out")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": source, "PYTHONHASHSEED": "12345"})
    assert contents(tmp_path / "out") == contents(tiny_checkpoint)


def test_it_is_fast(tiny_model: Gr00tModel):
    """Encoding and sampling for 8 environments, one camera: 20 ms on an idle core, the bound is for a busy one."""
    inputs = Gr00tInputs.from_checkpoint(tiny_model, "new_embodiment")
    images, noise = torch.zeros(8, 96, 96, 3, dtype=torch.uint8), torch.zeros(8, 16, 32)
    durations = []
    for _ in range(10):
        start = time.perf_counter()
        batch = inputs(images, "lift the cube", torch.zeros(8, 9))
        state = batch.pop("state")
        tiny_model.sample(tiny_model.condition(tiny_model.encode(**batch)), state, noise)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 0.2
