# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/export_gr00t.py: what it writes, what it proves, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from made_up_experience import H, N, Runner, T
from tensordict import TensorDict
from tiny_policy import OBS_GROUPS, SPEC, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.cli.export import main
from gr00t_rl_ext.gr00t import Gr00tModel, build_tiny_checkpoint, load_embodiment, load_gr00t
from gr00t_rl_ext.gr00t.weights import CheckpointWeights
from gr00t_rl_ext.policy import export
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor

VERSIONS = ("N1.5", "N1.6", "N1.7")


def train(
    run: Path,
    base: Path,
    parts: tuple[str, ...] = (),
    actor_class: type = Gr00tGaussianActor,
    settings: Mapping[str, Any] = MappingProxyType({}),
    **gr00t: Any,
) -> Path:
    """A run of one iteration with large steps; returns its checkpoint."""
    torch.manual_seed(0)
    freezing = {"train": list(parts), "language_layers": 1, "lora_rank": 4, "learning_rate": 1e-2}
    actor = {"gr00t": {"checkpoint": str(base), **gr00t}, "freezing": freezing, "chunk_length": H, **settings}
    pair = Gr00tActorCritic.build(actor_class, SPEC, observations(N), OBS_GROUPS, actor, {}, "cpu")
    alg = Gr00tPPO(pair, observations(N), T, learning_rate=1e-2, schedule="fixed", target_kl=None, num_mini_batches=2)
    Runner(alg).iterate()
    run.mkdir(parents=True, exist_ok=True)
    torch.save(alg.save(), run / "model_7.pt")
    return run / "model_7.pt"


@pytest.fixture(scope="session", params=VERSIONS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base") / request.param
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms}
    return build_tiny_checkpoint(directory, version=request.param, **keys)


@pytest.fixture
def base_n1_5(tmp_path: Path) -> Path:
    return build_tiny_checkpoint(tmp_path / "base", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms)


@pytest.mark.parametrize("parts", [(), ("language_lora",), ("full",)])
def test_the_exported_model_acts_like_the_trained_policy(
    base: Path, parts: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = train(tmp_path / "run", base, parts)
    assert main([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("max difference") == 2
    assert (", ".join(parts) or "nothing: its weights are those of the base") in printed
    # independently of the command: the native checkpoint has the base's keys, and other values where it trained
    source, target = CheckpointWeights(base), CheckpointWeights(tmp_path / "out")
    assert target.keys() == source.keys()
    assert target.dtypes() == source.dtypes()
    changed = {key for key in source.keys() if not torch.equal(source.read(key), target.read(key))}
    assert bool(changed) == bool(parts)
    assert all(key.startswith("backbone.") for key in changed)
    names = {file.relative_to(base) for file in base.rglob("*") if file.is_file()}
    assert names <= {file.relative_to(tmp_path / "out") for file in (tmp_path / "out").rglob("*")}
    saved = torch.load(file, weights_only=True)
    obs = TensorDict(saved["recorded_observations"], batch_size=[N])
    live, exported = export.load_trained(saved, "cpu"), export.load_exported(tmp_path / "out", "cpu")
    for name, expected in export.actions(live, obs).items():
        torch.testing.assert_close(export.actions(exported, obs)[name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("actor_class", "parts"), [(Gr00tResidualActor, ()), (Gr00tFlowActor, ("dit_lora",))])
def test_a_policy_through_the_action_head_is_exported(
    actor_class: type, parts: tuple[str, ...], base_n1_5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The residual policy beside GR00T as it was, adapters merged into GR00T's own head."""
    train(tmp_path / "run", base_n1_5, parts, actor_class)
    assert main([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.count("max difference") == 2
    source, target = CheckpointWeights(base_n1_5), CheckpointWeights(tmp_path / "out")
    assert target.keys() == source.keys()
    changed = {key for key in source.keys() if not torch.equal(source.read(key), target.read(key))}
    assert bool(changed) == bool(parts)
    assert all(key.startswith("action_head.model.transformer_blocks.") for key in changed)
    assert (tmp_path / "out" / "rl_policy" / "actor.safetensors").is_file()


@pytest.mark.parametrize(
    ("actor_class", "settings", "lost"),
    [
        (Gr00tFlowActor, {}, None),
        (Gr00tFlowActor, {"noise_scale": 0.5}, "a noise scale of 0.5"),
        (Gr00tResidualActor, {"noise_scale": 1.0}, "the network in rl_policy/"),
        (Gr00tSteeringActor, {}, "the network in rl_policy/ and a noise scale of 0"),
        (Gr00tGaussianActor, {}, None),
    ],
)
def test_what_gr00ts_own_inference_does_not_have_is_printed(
    actor_class: type,
    settings: dict[str, float],
    lost: str | None,
    base_n1_5: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train(tmp_path / "run", base_n1_5, ("dit",) * (actor_class is Gr00tFlowActor), actor_class, settings)
    assert main([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line for line in lines if "N(0, 1)" in line]
    expected = f"GR00T's own inference draws its noise from N(0, 1): what {lost} gained is lost there"
    assert found == ([] if lost is None else [expected])
    if actor_class is not Gr00tGaussianActor:
        exported = export.load_exported(tmp_path / "out", "cpu")
        assert exported.noise_scale == settings.get("noise_scale", actor_class.OPTIONS.noise_scale)


def test_a_residual_policy_of_a_version_without_a_noise_scale_acts_as_it_did(base_n1_5: Path, tmp_path: Path) -> None:
    """It was trained and played with the noise that GR00T draws."""
    file = train(tmp_path / "run", base_n1_5, (), Gr00tResidualActor, {"noise_scale": 1.0})
    saved = torch.load(file, weights_only=True)
    obs = TensorDict(saved["recorded_observations"], batch_size=[N])
    expected = export.actions(export.load_trained(saved, "cpu"), obs)["policy"]
    del saved["actor_recipe"]["actor"]["noise_scale"]
    torch.save(saved, file)
    assert torch.equal(export.actions(export.load_trained(saved, "cpu"), obs)["policy"], expected)
    assert main([str(file), str(tmp_path / "out")]) == 0
    recipe = tmp_path / "out" / "rl_policy" / "recipe.json"
    content = json.loads(recipe.read_text())
    assert content["actor"].pop("noise_scale") == 1.0
    # exported by that version
    recipe.write_text(json.dumps(content))
    assert torch.equal(export.actions(export.load_exported(tmp_path / "out", "cpu"), obs)["policy"], expected)


def test_the_recorded_observations_are_the_first_ones(base_n1_5: Path, tmp_path: Path) -> None:
    saved = torch.load(train(tmp_path / "run", base_n1_5), weights_only=True)
    generator = torch.Generator().manual_seed(0)
    first = observations(N, int(torch.randint(1 << 30, (1,), generator=generator)))
    assert saved["recorded_observations"].keys() == first.keys()
    assert torch.equal(saved["recorded_observations"]["rgb"], first["rgb"][:4])


def test_a_difference_is_an_error_and_leaves_nothing(
    base_n1_5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", base_n1_5, ("language_lora",))
    save = Gr00tModel.save_pretrained

    def damaged(self: Gr00tModel, directory: Path) -> None:
        with torch.no_grad():
            next(self.action_head.parameters()).add_(0.1)
        save(self, directory)

    monkeypatch.setattr(Gr00tModel, "save_pretrained", damaged)
    assert main([str(tmp_path / "run"), str(tmp_path / "out")]) == 1
    assert "acts otherwise than the trained policy (tolerance 0.0001); nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([str(tmp_path / "run"), str(tmp_path / "out"), "--tolerance", "100"]) == 0


def test_weights_of_half_precision_are_exported_in_it(
    base_n1_5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    for file in base_n1_5.glob("*.safetensors"):
        save_file({name: value.bfloat16() for name, value in load_file(file).items()}, file, {"format": "pt"})
    train(tmp_path / "run", base_n1_5, ("language_lora",))
    assert main([str(tmp_path / "run" / "model_7.pt"), str(tmp_path / "out")]) == 0
    assert "(BF16)" in capsys.readouterr().out
    assert CheckpointWeights(tmp_path / "out").dtypes() == {"BF16"}
    load_gr00t(tmp_path / "out")


def test_a_mapping_travels_along(base_n1_5: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(f"video: {{image: {SPEC.cameras[0]}}}\nunused: {{video: [{SPEC.cameras[1]}]}}\n")
    train(tmp_path / "run", base_n1_5, mapping=str(mapping))
    assert main([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    mapping.unlink()
    assert export.load_exported(tmp_path / "out", "cpu").encoder.mapping.camera_order == (0,)


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main([str(item) for item in argv]) == 2
    return capsys.readouterr().err


def test_a_data_config_travels_along(base_n1_5: Path, tmp_path: Path) -> None:
    """The export reads its numbers and images as the run did, whatever becomes of the file that told how."""
    plain = load_embodiment(base_n1_5, "new_embodiment").data_config
    assert plain is not None
    modes = plain.action_modes | {next(iter(SPEC.action_terms)): "mean_std"}
    plain.model_copy(update={"action_modes": modes, "crop_scale": 0.9}).write(tmp_path)
    file = tmp_path / "experiment_cfg" / "data_config.json"
    checkpoint = train(tmp_path / "run", base_n1_5, data_config=str(file), crop_scale=0.8)
    assert main([str(checkpoint), str(tmp_path / "out")]) == 0
    file.unlink()
    exported = export.gr00t_of(export.load_exported(tmp_path / "out", "cpu")).inputs
    assert exported.embodiment.origin == "checkpoint"
    assert exported.embodiment.action.specs[0].mode == "mean_std"
    assert exported.images.recipe.crop_scale == 0.8


@pytest.mark.parametrize("version", ["N1.6", "N1.7"])
def test_a_tag_of_ones_own_is_noted(version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms}
    directory = build_tiny_checkpoint(tmp_path / "base", version=version, embodiment_tag="my_robot", **keys)
    checkpoint = train(tmp_path / "run", directory, embodiment_tag="my_robot")
    assert main([str(checkpoint), str(tmp_path / "out")]) == 0
    expected = f"embodiment tag my_robot: NVIDIA's code for {version} does not, and refuses it"
    assert expected in capsys.readouterr().out


def test_a_tag_that_gr00ts_own_code_does_not_know(
    base_n1_5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = base_n1_5 / "experiment_cfg" / "metadata.json"
    own = json.loads(file.read_text())["new_embodiment"]
    file.write_text(json.dumps({"so100": own, "libero_franka": own}))
    checkpoint = train(tmp_path / "run", base_n1_5, embodiment_tag="so100", embodiment_slot=31)
    assert main([str(checkpoint), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "embodiment tag 'so100', which GR00T N1.5's own code refuses to read; it knows new_embodiment, agib" in error
    assert not (tmp_path / "out").exists()
    checkpoint = train(tmp_path / "other", base_n1_5, embodiment_tag="libero_franka")
    assert main([str(checkpoint), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert (
        "embodiment tag libero_franka: RLinf's code knows it, NVIDIA's code for N1.5 does not, and refuses it"
        in printed
    )
    assert "data config: experiment_cfg/data_config.json" in printed


def test_what_cannot_be_exported_is_refused(
    base_n1_5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    file = train(run, base_n1_5, ("language_lora",))
    assert "There is no checkpoint '" in refused(capsys, tmp_path / "nowhere", out)
    (tmp_path / "empty").mkdir()
    assert "has no model_<iteration>.pt; it holds nothing" in refused(capsys, tmp_path / "empty", out)
    other = build_tiny_checkpoint(
        tmp_path / "other", seed=1, state_keys=SPEC.state_terms, action_keys=SPEC.action_terms
    )
    assert "which is another one" in refused(capsys, run, out, "--base", other)
    assert "no such directory" in refused(capsys, run, out, "--base", tmp_path / "gone")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    assert "is not empty" in refused(capsys, run, tmp_path / "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["precious.txt"]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert "is no checkpoint of a run, or is truncated" in refused(capsys, run, out)
    torch.save({"actor_state_dict": {}, "iter": 3}, file)
    assert "was not written by gr00t_rl_ext" in refused(capsys, run, out)
    assert not out.exists()
    with pytest.raises(FileNotFoundError, match="no checkpoint that scripts/export_gr00t.py wrote"):
        export.load_exported(base_n1_5, "cpu")
