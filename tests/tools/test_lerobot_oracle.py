# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The comparison with LeRobot: its parts, without LeRobot, and the command as a whole (slow)."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.requirements import Requirement
from safetensors.torch import load_file, save_file
from tools import layered_environment as environment
from tools.layered_environment import OracleError, missing_pins, read_pins
from tools.lerobot import LOCK, command
from tools.lerobot.models import (
    SIZES,
    STAGES,
    ModelCase,
    change_weights,
    compute,
    random_inputs,
    tiny_cases,
    trained_case,
)
from tools.lerobot.observations import BOUNDS, RECIPES, ObservationCase, tiny_observations
from tools.lerobot.table import Row, largest_difference, table

from gr00t_rl_ext.gr00t import build_tiny_checkpoint, load_gr00t

ROOT = Path(__file__).parents[2]


def oracle_python() -> Path:
    return environment.oracle_python(LOCK, "lerobot-oracle")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small N1.7. Not to be changed."""
    path = tmp_path_factory.mktemp("oracle") / "checkpoint"
    return build_tiny_checkpoint(path, version="N1.7", horizon=4, max_state_dim=12, max_action_dim=10)


# Pins


def test_the_lock_holds_pins_that_meet_what_is_asked_for():
    pins = {pin.name: pin for pin in read_pins(LOCK)}
    assert all(str(pin.specifier).startswith("==") and pin.marker is None for pin in pins.values())
    lines = LOCK.with_suffix(".in").read_text().splitlines()
    asked = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
    assert {"lerobot", "torch", "transformers"} <= {requirement.name for requirement in asked}
    for requirement in asked:
        assert requirement.specifier.contains(str(pins[requirement.name].specifier).removeprefix("=="))


def test_torch_and_transformers_are_the_projects():
    project = {pin.name: pin for pin in read_pins(ROOT / "requirements.lock")}
    pins = {pin.name: pin for pin in read_pins(LOCK)}
    for name in ("torch", "torchvision", "transformers", "tokenizers", "safetensors", "peft"):
        assert pins[name] == project[name]
    assert not [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert "lerobot" not in project


def test_missing_pins():
    pins = [Requirement("a==1.0"), Requirement("b==2.0"), Requirement("c==3.0"), Requirement("d==1.0")]
    installed = {"a": "1.0", "b": "2.1", "c": None, "d": "1.0+cpu"}
    assert [pin.name for pin in missing_pins(pins, installed)] == ["b", "c"]


# The environment


@pytest.fixture
def installations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What was installed into environments; a stand-in for the installer, which puts a module there."""
    monkeypatch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path / "cache"))
    calls: list[list[str]] = []

    def install(python: Path, requirements: Sequence[Requirement], lock: Path) -> None:
        calls.append([str(requirement) for requirement in requirements])
        (packages,) = python.parents[1].glob("lib/python3*/site-packages")
        (packages / "packaging.py").write_text("mine = True")

    monkeypatch.setattr(environment, "_install", install)
    return calls


def test_an_environment_is_made_once_and_lies_over_the_projects(installations: list[list[str]]):
    python = oracle_python()
    assert oracle_python() == python
    assert len(installations) == 1
    assert "lerobot==0.6.1" in installations[0]
    assert not [pin for pin in installations[0] if pin.startswith(("torch==", "transformers=="))]
    program = "import packaging, torch, sys; print(packaging.mine, torch.__file__, *sys.path, sep='\\n')"
    done = subprocess.run([python, "-I", "-B", "-c", program], capture_output=True, text=True, check=True)
    mine, torch_file, *paths = done.stdout.splitlines()
    assert (mine, torch_file) == ("True", torch.__file__), "its own packages first, then the project's"
    assert str(ROOT / "source") not in paths


def test_an_installation_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, installations: list[list[str]]):
    def fail(*_: object) -> None:
        raise OracleError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", fail)
        with pytest.raises(OracleError, match="no network"):
            oracle_python()
    folder = Path(os.environ["GR00T_RL_EXT_CACHE"]) / "lerobot-oracle"
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert oracle_python().exists()
    assert len(installations) == 1


def test_what_a_killed_process_left_is_removed(installations: list[list[str]]):
    left = Path(os.environ["GR00T_RL_EXT_CACHE"]) / "lerobot-oracle" / ".0123-abcd" / "new" / "bin"
    left.mkdir(parents=True)
    (left / "python").touch()
    assert oracle_python().exists()
    assert len(installations) == 1
    assert not left.exists()


def test_other_pins_are_another_environment(
    monkeypatch: pytest.MonkeyPatch, installations: list[list[str]], tmp_path: Path
):
    first = oracle_python()
    other = tmp_path / "other.lock"
    other.write_text(LOCK.read_text().replace("lerobot==0.6.1", "lerobot==0.6.2"))
    assert environment.oracle_python(other, "lerobot-oracle") != first
    assert [("lerobot==0.6.2" in call) for call in installations] == [False, True]


def test_another_torch_is_refused(monkeypatch: pytest.MonkeyPatch, installations: list[list[str]]):
    version = environment._installed_version
    monkeypatch.setattr(environment, "_installed_version", lambda name: "2.10.0" if name == "torch" else version(name))
    with pytest.raises(OracleError, match=r"needs torch==2.11.0; .* has torch 2.10.0. Run it in the environment that"):
        oracle_python()
    assert installations == []


@pytest.mark.parametrize("uv", [None, "/somewhere/uv"])
def test_uv_is_tried_before_pip(monkeypatch: pytest.MonkeyPatch, uv: str | None):
    commands: list[str] = []

    def run(arguments: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(arguments[0])
        return subprocess.CompletedProcess(arguments, 1, "", f"{arguments[0]} says no")

    monkeypatch.setattr(shutil, "which", lambda *_, **__: uv)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(OracleError, match="cannot be installed. PyPI must be reachable") as error:
        environment._install(Path("python"), [Requirement("a==1")], LOCK)
    assert commands == [*([uv] if uv else []), sys.executable]
    assert all(f"{name} says no" in str(error.value) for name in commands)


# Differences


def test_largest_difference():
    assert largest_difference("x", torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0])) == 0.5
    assert math.isnan(largest_difference("x", torch.tensor([float("nan"), 0.0]), torch.zeros(2)))
    with pytest.raises(ValueError, match=r"x: ours has shape \(2,\), LeRobot's \(2, 2\)"):
        largest_difference("x", torch.zeros(2), torch.zeros(2, 2))


def test_what_is_no_number_or_too_large_is_marked():
    bounds = {"a": 1e-5, "b": 0.0}
    rows = [
        Row("good", {"a": 1e-5, "b": 0.0}),
        Row("large", {"a": 1.1e-5, "b": 0.0}),
        Row("nan", {"a": 0.0, "b": math.nan}),
    ]
    assert [row.within(bounds) for row in rows] == [True, False, False]
    lines = table(rows, bounds).splitlines()
    assert [line.endswith("too large") for line in lines] == [False, False, False, True, True]
    assert lines[1].split() == ["bound", "1.0e-05", "0.0e+00"]
    assert lines[3].split() == ["large", "1.1e-05", "0.0e+00", "too", "large"]


# Models


def test_sizes_differ_in_all_that_the_model_has(tmp_path: Path):
    cases = tiny_cases(tmp_path)
    assert {(case.name, case.cameras) for case in cases} == {(size, cameras) for size in SIZES for cameras in (1, 2)}
    heads = [load_gr00t(case.checkpoint).config.action_head for case in cases[::2]]
    assert len({head.attend_text_every_n_blocks for head in heads}) == 3
    assert len({head.diffusion_model.num_layers for head in heads}) == 5
    assert len({head.diffusion_model.num_attention_heads for head in heads}) == 3
    assert len({len(SIZES[size].get("deepstack", (0, 2))) for size in SIZES}) == 4


def test_inputs_fit_the_model(tiny: Path):
    model = load_gr00t(tiny, dtype=torch.float32)
    inputs = random_inputs(model, cameras=2, seed=3)
    assert inputs["images"].shape == (3, 2, 256, 256, 3)
    assert ((inputs["input_ids"] == model.backbone.image_token_index).sum(1) == 128).all()
    assert inputs["attention_mask"].sum(1).tolist() == [142, 144, 144]
    assert inputs["action_mask"].sum(0)[0].tolist() == [3.0] * 9 + [0.0]
    reference = {"noise": inputs["action"], "loss_noise": inputs["action"], "loss_time": torch.tensor([0.1, 0.5, 0.9])}
    ours = compute(model, inputs, reference)
    assert tuple(ours) == STAGES
    assert ours["features"].shape == ours["vl_features"].shape == (3, 144, 64)
    assert ours["actions"].shape == (3, 4, 10)
    again = random_inputs(model, cameras=2, seed=3)
    assert all(torch.equal(inputs[name], again[name]) for name in inputs)


def test_trained_weights_are_those_that_are_saved_and_they_matter(tiny: Path, tmp_path: Path):
    def load(implementation: str):
        return load_gr00t(tiny, dtype=torch.float32, attn_implementation=implementation)

    case = trained_case(ModelCase("base", tiny, load, 1, seed=0), tmp_path / "trained")
    base, trained, saved = (
        dict(m.named_parameters())
        for m in (load("sdpa"), case.load("sdpa"), load_gr00t(case.checkpoint, dtype=torch.float32))
    )
    assert all(torch.equal(trained[name], saved[name]) for name in base)
    changed = {name for name in base if not torch.equal(base[name], trained[name])}
    last = {name for name in base if name.startswith("backbone.language_model.layers.3.")}
    assert changed == last | {name for name in base if name.startswith("action_head.")}
    inputs = random_inputs(load("sdpa"), 1, 0)
    reference = {"noise": inputs["action"], "loss_noise": inputs["action"], "loss_time": torch.zeros(3)}
    before, after = (compute(model, inputs, reference) for model in (load("sdpa"), case.load("sdpa")))
    assert all((before[stage] - after[stage]).abs().max() > 1e-2 for stage in STAGES)
    other = dict(change_weights(load("sdpa"), seed=1).named_parameters())
    assert not torch.equal(other["action_head.vlln.weight"], trained["action_head.vlln.weight"])


# The command


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Puts our own model in LeRobot's place, with an error that is added to its actions."""

    def put(error: float) -> None:
        def run_reference(python: Path, jobs: Mapping[str, Any], folder: Path) -> dict[str, str]:
            for job in jobs["models"]:
                inputs = load_file(job["inputs"])
                torch.manual_seed(job["seed"])
                drawn = {"noise": torch.randn(inputs["action"].shape)}
                drawn |= {"loss_noise": drawn["noise"].clone(), "loss_time": torch.rand(3)}
                for implementation, file in job["outputs"].items():
                    model = load_gr00t(
                        job["checkpoint"], job["slot"], dtype=torch.float32, attn_implementation=implementation
                    )
                    outputs = compute(model, inputs, drawn) | drawn
                    save_file(outputs | {"actions": outputs["actions"] + error}, file)
            assert jobs["observations"] == []
            return {"lerobot": "0"}

        monkeypatch.setattr(command, "oracle_python", lambda *_: Path("python"))
        monkeypatch.setattr(command, "run_reference", run_reference)

    return put


@pytest.fixture
def blind(tiny: Path, tmp_path: Path) -> Path:
    """A checkpoint that cannot be observed through."""
    path = Path(shutil.copytree(tiny, tmp_path / "blind"))
    (path / "statistics.json").unlink()
    return path


@pytest.mark.parametrize(("error", "code"), [(0.0, 0), (9e-6, 0), (2e-5, 1), (math.nan, 1)])
def test_the_exit_code_says_whether_they_agree(
    blind: Path, stand_in: Callable[[float], None], capsys: pytest.CaptureFixture[str], error: float, code: int
):
    stand_in(error)
    assert command.main(["--checkpoint", str(blind), "--embodiment-slot", "5"]) == code
    output = capsys.readouterr().out
    assert "Observations are not compared: blind has statistics of no embodiment" in output
    assert "Largest absolute differences to lerobot 0" in output
    cases = [line.partition("  ")[0] for line in output.splitlines()[-4:]]
    assert cases == [f"blind, {n}, {name}" for n in ("1 camera", "2 cameras") for name in ("eager", "sdpa")]
    assert output.count("too large") == 4 * code


def test_another_tolerance(blind: Path, stand_in: Callable[[float], None]):
    stand_in(2e-5)
    assert command.main(["--checkpoint", str(blind), "--embodiment-slot", "5", "--tolerance", "1e-4"]) == 0


@pytest.mark.parametrize("kind", ["N1.5", "nothing", "several"])
def test_what_cannot_be_compared_is_said(
    tmp_path: Path, blind: Path, capsys: pytest.CaptureFixture[str], stand_in: Callable[[float], None], kind: str
):
    stand_in(0.0)
    if kind == "N1.5":
        path, text = build_tiny_checkpoint(tmp_path / "n1_5"), "holds a GR00T N1.5; LeRobot has GR00T N1.7 only"
    elif kind == "nothing":
        path, text = tmp_path / "nowhere", "no such directory"
    else:
        path, text = blind, "embodiment_slot is None, which needs a checkpoint with statistics of exactly one"
    assert command.main(["--checkpoint", str(path)]) == 2
    assert text in capsys.readouterr().err


def test_an_error_of_lerobots_process_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    script = tmp_path / "reference.py"
    script.write_text("raise RuntimeError('weights do not fit')")
    monkeypatch.setattr(command, "REFERENCE", script)
    with pytest.raises(OracleError, match="(?s)reference.py ended with 1:.*weights do not fit"):
        command.run_reference(Path(sys.executable), {"models": [], "observations": []}, tmp_path)


def test_observations_are_written_and_compared(tiny: Path, tmp_path: Path):
    case = ObservationCase("tiny", tiny, "new_embodiment", image_size=64)
    job = case.job(tmp_path / "job")
    observation = load_file(job["inputs"])
    assert observation["observation.images.image"].shape == (2, 64, 64, 3)
    inputs = case._inputs()
    batch = inputs([observation["observation.images.image"]], job["instruction"], observation["state"])
    reference = {
        "pixel_values": inputs.backbone.patchify(batch["pixel_values"]).flatten(0, 1),  # pyright: ignore
        "input_ids": batch["input_ids"],
        "state": batch["state"] + 1e-4,
        "embodiment_id": torch.tensor([10, 11]),
        "raw_actions": inputs.decode_action(observation["actions"], observation["state"]),
    }
    save_file({name: tensor.contiguous() for name, tensor in reference.items()}, job["outputs"])
    (row,) = case.rows(job)
    assert {name: difference for name, difference in row.differences.items() if difference == 0} == dict.fromkeys(
        ("pixels", "prompt", "raw_actions"), 0.0
    )
    assert row.differences["slot"] == 1
    assert row.differences["state"] == pytest.approx(1e-4, rel=1e-2)
    assert not row.within(BOUNDS)


def test_recipes_are_those_that_ours_reads(tmp_path: Path):
    """So that none is compared that the loader does not see."""
    robots = {case.name: case._inputs() for case in tiny_observations(tmp_path)}
    assert robots.keys() == RECIPES.keys()
    modes = {name: {spec.mode for spec in inputs.embodiment.state.specs} for name, inputs in robots.items()}
    assert modes["min and max"] == {"min_max_bounded"}
    assert modes["96 px"] == {"q99_bounded"}
    assert robots["crop fraction"].images.recipe.crop_scale == 0.95
    assert robots["crop fraction"].backbone.image_size == 288
    with pytest.raises(ValueError, match="state"):
        robots["relative pose"].decode_action(torch.zeros(2, 16, 132))


@pytest.mark.slow
def test_lerobot_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From nothing to the table; then on a checkpoint that was trained and saved, in the environment that exists."""
    monkeypatch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, str(ROOT / "scripts" / "lerobot_oracle.py"), *arguments]
        return subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Making the environment with LeRobot" in first.stderr
    assert "lerobot 0.6.1, transformers 5.10.4" in first.stdout
    for size in (*SIZES, "default trained and saved"):
        assert f"{size}, 1 camera, eager" in first.stdout
        assert f"{size}, 1 camera, sdpa" in first.stdout
    assert "raw_actions" in first.stdout

    model = load_gr00t(build_tiny_checkpoint(tmp_path / "base", version="N1.7"), dtype=torch.float32)
    change_weights(model, seed=7).save_pretrained(tmp_path / "trained")
    second = run("--checkpoint", str(tmp_path / "trained"))
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Making" not in second.stderr
    assert "trained, 2 cameras, sdpa" in second.stdout
    assert second.stdout.splitlines()[-1].startswith("trained  "), "observations"
    assert run("--checkpoint", str(tmp_path / "trained"), "--tolerance", "1e-9").returncode == 1
