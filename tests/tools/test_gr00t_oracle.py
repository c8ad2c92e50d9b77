# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/gr00t_oracle.py: what it refuses, what it hands over, what it prints; live where there is a checkout.

``GR00T_CHECKOUTS=DIR:DIR ./isaaclab.sh -t -m slow tests/tools/test_gr00t_oracle.py`` runs it against NVIDIA's packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tools.gr00t_oracle import command, exact_attention, exact_rotations
from tools.layered_environment import OracleError, read_pins

from gr00t_rl_ext.gr00t import load_gr00t
from gr00t_rl_ext.serving.served_policy import load_native

ROOT = Path(__file__).parents[2]


def checkout(folder: Path, version: str) -> Path:
    """What tells NVIDIA's checkouts apart."""
    mark = folder / command.MARKS[version]
    mark.parent.mkdir(parents=True)
    mark.touch() if mark.suffix else mark.mkdir()
    return folder


@pytest.mark.parametrize("version", ["N1.5", "N1.6", "N1.7"])
def test_a_checkout_tells_its_version(version: str, tmp_path: Path) -> None:
    assert command.version_of(checkout(tmp_path, version)) == version


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "is no checkout of NVIDIA/Isaac-GR00T: it has none of gr00t/model/gr00t_n1.py"),
        (["CHECKOUT", "--checkpoint", "n1_5"], "the checkpoint is a GR00T N1.5, the checkout is of N1.6"),
        (["CHECKOUT", "--checkpoint", "/nowhere/at/all"], "/nowhere/at/all"),
        (["CHECKOUT", "--device", "gpu"], "gpu"),
        (["CHECKOUT", "--data-config", "so100"], "--data-config is for N1.5; a GR00T N1.6 tells by itself how numbers"),
        (
            ["N1.5", "--data-config", "oxe_droid"],
            "no random weights for --data-config oxe_droid, only for so100, single_panda_gripper; give --checkpoint",
        ),
        (["N1.5", "--checkpoint", "n1_5"], "--data-config is missing: an N1.5 does not tell how its numbers are"),
    ],
)
def test_what_cannot_be_compared(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"CHECKOUT": str(checkout(tmp_path / "x", "N1.6")), "n1_5": str(ROOT / "tests/data/gr00t_n1_5_tiny")}
    places["N1.5"] = str(checkout(tmp_path / "y", "N1.5"))
    assert command.main([places.get(item, item) for item in arguments]) == 2
    assert message in capsys.readouterr().err


def test_sizes() -> None:
    assert command.parse(["x", "--image-size", "3x4", "50x60"]).image_size == [(3, 4), (50, 60)]
    for wrong in ("3", "0x4", "ax4", "3x4x5"):
        with pytest.raises(SystemExit):
            command.parse(["x", "--image-size", wrong])


@pytest.mark.parametrize(
    ("version", "data_config", "camera", "key", "decided"),
    [
        ("N1.5", "so100", "webcam", "single_arm", {"single_arm": (2, 16, 5), "gripper": (2, 16, 1)}),
        (
            "N1.5",
            "single_panda_gripper",
            "left_view",
            "base_position",
            {
                "end_effector_position": (2, 16, 3),
                "end_effector_rotation": (2, 16, 3),
                "gripper_close": (2, 16, 1),
                "base_motion": (2, 16, 4),
                "control_mode": (2, 16, 1),
            },
        ),
        ("N1.6", None, "front", "single_arm", {"single_arm": (2, 16, 5), "gripper": (2, 16, 1)}),
        (
            "N1.7",
            None,
            "front",
            "joint_position",
            {"eef_9d": (2, 40, 9), "gripper_position": (2, 40, 1), "joint_position": (2, 40, 7)},
        ),
    ],
)
def test_both_sides_get_the_same_weights_and_observations(
    version: str,
    data_config: str | None,
    camera: str,
    key: str,
    decided: dict[str, tuple[int, ...]],
    tmp_path: Path,
) -> None:
    own, theirs = command.random_checkpoint(tmp_path, version, 3, data_config)
    first, second = (load_gr00t(place).state_dict() for place in (own, theirs))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    flags = json.loads((theirs / "config.json").read_text())
    assert bool(flags.get("use_flash_attention")) == (version == "N1.6")
    policy = load_native(str(own), "cpu", {"data_config": data_config or ""})
    given = command.observations(policy, (12, 16), 5)
    assert given[f"video.{camera}"].shape == (2, 1, 12, 16, 3)
    state = policy.encoder.inputs.embodiment.state
    low, high = state.limits().numpy()[:, state.slices()[key]]
    assert given[f"state.{key}"].shape == (2, 1, len(low))
    assert (low <= given[f"state.{key}"]).all()
    assert (given[f"state.{key}"] <= high).all()
    actions = command.ours(policy, given)
    assert {name: value.shape for name, value in actions.items()} == decided
    # the noise is the one that was given, and each observation has its own
    again = command.ours(policy, given)
    assert all(np.array_equal(actions[key], again[key]) for key in actions)
    other = command.ours(policy, given | {"noise": given["noise"][::-1].copy()})
    assert not any(np.allclose(other[name], actions[name]) for name in list(actions)[:1])


def test_the_table_and_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = command.parse(["x"])
    mine = {"8x8": {"arm": np.full((1, 2, 3), 2.0)}}
    close, far = ({"8x8": {"arm": np.full((1, 2, 3), value)}} for value in (2.0001, 2.001))
    versions = {"torch": "2.11.0"}
    assert command.report(arguments, "N1.6", versions, mine, close) == 0
    assert "agrees" in capsys.readouterr().out
    assert command.report(arguments, "N1.6", versions, mine, far) == 1
    printed = capsys.readouterr().out
    assert "differs" in printed
    assert "torch 2.11.0" in printed
    nan = {"8x8": {"arm": np.full((1, 2, 3), np.nan)}}
    assert command.report(arguments, "N1.6", versions, nan, close) == 1
    with pytest.raises(OracleError, match="they cannot be compared"):
        command.report(arguments, "N1.6", versions, {"8x8": {"leg": mine["8x8"]["arm"]}}, close)


@pytest.mark.parametrize(("version", "transformers"), [("N1.5", "4.51.3"), ("N1.6", "4.51.3"), ("N1.7", "4.57.3")])
def test_the_pins_have_the_project_s_torch(version: str, transformers: str) -> None:
    project = {pin.name: pin for pin in read_pins(ROOT / "requirements.lock")}
    pins = {pin.name: pin for pin in read_pins(command.PINS[version])}
    assert str(pins["torch"].specifier) == str(project["torch"].specifier)
    assert str(pins["transformers"].specifier) == f"=={transformers}", "NVIDIA's"


def test_what_n1_7_s_backbone_is_made_from(tmp_path: Path) -> None:
    own, _ = command.random_checkpoint(tmp_path / "tiny", "N1.7", 0)
    assert command.qwen_parts(own, None, tmp_path) == {
        "backbone": str(own / "backbone" / "config.json"),
        "tokenizer": str(own),
    }
    published = tmp_path / "published"
    published.mkdir()
    found = command.qwen_parts(published, None, tmp_path)
    assert found["tokenizer"] is None, "NVIDIA's code fetches its own"
    assert json.loads(Path(str(found["backbone"])).read_text())["text_config"]["hidden_size"] == 2048
    assert command.qwen_parts(published, "DIR", tmp_path)["tokenizer"] == "DIR"


# Exact attention


def naive(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, scale: float) -> torch.Tensor:
    """(S, heads, D) each; grouped keys are repeated."""
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)


@pytest.mark.parametrize("causal", [False, True])
def test_packed_sequences_do_not_see_each_other(causal: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(9, 4, 8, generator=generator)
    k, v = torch.randn(2, 9, 2, 8, generator=generator)
    ends = torch.tensor([0, 5, 9], dtype=torch.int32)
    out = exact_attention.attend_packed(q, k, v, ends, ends, 5, 5, softmax_scale=0.3, causal=causal)
    for start, stop in ((0, 5), (5, 9)):
        expected = naive(q[start:stop], k[start:stop], v[start:stop], causal, 0.3)
        torch.testing.assert_close(out[start:stop], expected)


def test_padding_is_taken_out_and_put_back() -> None:
    x = torch.arange(24.0).view(2, 4, 3)
    mask = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
    tokens, places, ends, longest, lengths = exact_attention.unpad(x, mask)
    assert tokens.shape == (5, 3)
    assert (ends.tolist(), longest, lengths.tolist()) == ([0, 2, 5], 3, [2, 3])
    assert torch.equal(exact_attention.pad(tokens, places, 2, 4), x * mask[..., None])


@pytest.mark.slow
def test_live() -> None:
    places = os.environ.get("GR00T_CHECKOUTS")
    if not places:
        pytest.skip("GR00T_CHECKOUTS names no checkouts of NVIDIA/Isaac-GR00T")
    # N1.6's code of February 2026 keeps the aspect ratio of images that are not square, where later ones pad
    arguments = {
        "N1.5": {("--data-config", "so100"): 2, ("--data-config", "single_panda_gripper"): 5},
        "N1.6": {("--image-size", "128x128"): 2},
        "N1.7": {(): 6},
    }
    for place in places.split(":"):
        for chosen, rows in arguments[command.version_of(Path(place))].items():
            program = [sys.executable, str(ROOT / "scripts" / "gr00t_oracle.py"), place, *chosen]
            done = subprocess.run(program, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert done.stdout.count("agrees") == rows


# pytorch3d's functions


@pytest.mark.parametrize(
    ("name", "recorded", "convention"),
    [
        ("axis_angle", "n1_5.axis_angle", {}),
        ("rotation_6d", "n1_5.rotation_6d", {}),
        ("quaternion", "n1_5.quaternion_from_matrix", {}),
        ("euler_angles", "n1_5.euler_angles_rpy", {"convention": "XYZ"}),
        ("euler_angles", "n1_5.euler_angles_ypr", {"convention": "ZYX"}),
    ],
)
def test_rotations_are_those_of_pytorch3d(name: str, recorded: str, convention: dict[str, str]) -> None:
    with np.load(ROOT / "tests/data/rotations/rotations.npz") as file:
        matrix, given = (torch.from_numpy(file[key]) for key in ("matrix", recorded))
    forward, back = (exact_rotations.FUNCTIONS[key] for key in (f"{name}_to_matrix", f"matrix_to_{name}"))
    torch.testing.assert_close(forward(given, **convention), matrix, rtol=0, atol=1e-6)
    again = back(matrix, **convention)
    assert again.shape == given.shape
    torch.testing.assert_close(forward(again, **convention), matrix, rtol=0, atol=1e-6)
    if name != "euler_angles":
        # axis and sign are ambiguous at 180 degrees only, which none of these has
        torch.testing.assert_close(again, given, rtol=0, atol=1e-4)


def test_six_numbers_that_are_no_rotation() -> None:
    with np.load(ROOT / "tests/data/rotations/rotations.npz") as file:
        noisy, expected = (
            torch.from_numpy(file[key]) for key in ("noisy_rotation_6d", "n1_5.matrix_from_noisy_rotation_6d")
        )
    torch.testing.assert_close(exact_rotations.rotation_6d_to_matrix(noisy), expected, rtol=0, atol=1e-6)
