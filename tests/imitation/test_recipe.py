# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""recipe: what NVIDIA's fine-tuning does to images and layers, and that it is gone where nobody trains."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sft_runs
import torch
from torch import nn

from gr00t_rl_ext.gr00t import load_gr00t
from gr00t_rl_ext.gr00t.images import ImageRecipe, ImageTransform
from gr00t_rl_ext.gr00t.model import Gr00tModel
from gr00t_rl_ext.imitation.recipe import AugmentedImages, Recipe, Regularization, recipe_for

VERSIONS = ("N1.5", "N1.6", "N1.7")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Gr00tModel]:
    folder = tmp_path_factory.mktemp("recipe")
    keys = {"state_keys": {"joints": 2}, "action_keys": {"joints": 2}}
    return {
        version: load_gr00t(sft_runs.build_tiny_checkpoint(folder / version, version=version, **keys))
        for version in VERSIONS
    }


def test_small_models_are_left_alone_and_large_ones_are_not(models: dict[str, Gr00tModel]) -> None:
    model = models["N1.5"]
    assert recipe_for(model).name == "small"
    large = nn.Parameter(torch.empty(50_000_001, device="meta"))
    try:
        model.register_parameter("large", large)
        assert recipe_for(model).name == "nvidia"
        assert recipe_for(model, "small").name == "small"
    finally:
        del model.large


@pytest.mark.parametrize("version", VERSIONS)
def test_nvidia_s_numbers(models: dict[str, Gr00tModel], version: str) -> None:
    recipe = recipe_for(models[version], "nvidia")
    assert recipe.train == ("projector", "dit", "vl_self_attention")
    assert recipe.dropout["action_head.model"] == 0.2
    # N1.6 has no VL self-attention
    if version != "N1.6":
        assert recipe.dropout["action_head.vl_self_attention"] == 0.2
    assert recipe.state_dropout == {"N1.5": 0.0, "N1.6": 0.2, "N1.7": 0.2}[version]
    assert recipe.augments
    assert "random crop and colours" in recipe.describe()


# Images


def checkers(count: int) -> torch.Tensor:
    """Images in which every pixel tells its place: (count, 20, 40, 3)."""
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(40), indexing="ij")
    image = torch.stack([6 * rows, 6 * columns, torch.zeros_like(rows)], dim=-1).to(torch.uint8)
    return image.expand(count, -1, -1, -1).clone()


def test_crops_lie_anywhere_and_have_the_size_of_evaluations() -> None:
    # 20 x 40 pixels, of which 10 x 20 are kept and not resized
    augmented = AugmentedImages(ImageRecipe((10, 20), crop_scale=0.5))
    augmented._jitter = nn.Identity()  # type: ignore[assignment]
    augmented.draw(np.random.default_rng(0), 200)
    out = (augmented(checkers(200)) * 255).round()
    assert out.shape == (200, 3, 10, 20)
    tops, lefts = out[:, 0, 0, 0] / 6, out[:, 1, 0, 0] / 6
    assert sorted(set(tops.tolist())) == list(range(11))
    assert sorted(set(lefts.tolist())) == list(range(21))
    # each is one piece of the image
    assert torch.equal(out[:, 0, 9, 0] / 6, tops + 9)
    assert torch.equal(out[:, 1, 0, 19] / 6, lefts + 19)


def test_all_cameras_of_a_sample_are_changed_alike_and_samples_are_not() -> None:
    augmented = AugmentedImages(ImageRecipe((10, 20), crop_scale=0.9))
    augmented.draw(np.random.default_rng(1), 3)
    images = checkers(3)
    first, second = augmented(images), augmented(images)
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    augmented.draw(np.random.default_rng(2), 3)
    assert not torch.equal(augmented(images), first)


def test_colours_change_as_far_as_nvidia_s() -> None:
    augmented = AugmentedImages(ImageRecipe((20, 40)))
    jitter = augmented._jitter
    ranges = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    assert [tuple(map(float, r)) for r in ranges] == [(0.7, 1.3), (0.6, 1.4), (0.5, 1.5), (-0.08, 0.08)]
    augmented.draw(np.random.default_rng(0), 50)
    images = checkers(50)
    out = augmented(images)
    assert (out.min(), out.max()) >= (0, 0)
    assert out.max() <= 1
    assert torch.equal((out * 255).round() / 255, out)
    mean = out.mean(dim=(1, 2, 3)) / ImageTransform(ImageRecipe((20, 40)))(images).mean()
    assert mean.min() < 0.9
    assert mean.max() > 1.1


def test_a_recipe_without_a_crop_stays_without_one() -> None:
    augmented = AugmentedImages(ImageRecipe((20, 40)))
    augmented._jitter = nn.Identity()  # type: ignore[assignment]
    augmented.draw(np.random.default_rng(0), 2)
    assert torch.equal(augmented(checkers(2)), ImageTransform(ImageRecipe((20, 40)))(checkers(2)))


# Layers


def hooked(regularization: Regularization) -> list[str]:
    names = {id(module): name for name, module in regularization._model.named_modules()}
    return [names[id(layer)] for layer, _ in regularization._hooks()]


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_drop_at_nvidia_s_places_while_a_step_runs(models: dict[str, Gr00tModel], version: str) -> None:
    model = models[version]
    regularization = Regularization(recipe_for(model, "nvidia"), model)
    names = hooked(regularization)
    blocks = [name for name, _ in model.named_modules() if name.endswith(".attn1")]
    dropped = {name.rpartition(".attn1")[0] for name in names if ".attn1." in name}
    expected = {name.rpartition(".attn1")[0] for name in blocks if name.startswith("action_head.")}
    rates = recipe_for(model, "nvidia").dropout
    expected = {name for name in expected if any(rate and name.startswith(f"{s}.t") for s, rate in rates.items())}
    assert dropped == expected
    assert {f"{block}.ff.net.0" for block in expected} <= set(names)
    assert {f"{block}.ff.net.2" for block in expected} <= set(names)
    assert ("action_head.state_encoder" in names) == (version != "N1.5")
    with regularization.active(np.random.default_rng(0)):
        assert any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_rate_and_the_scale_of_what_is_dropped(models: dict[str, Gr00tModel]) -> None:
    """Of ones, 20 % become 0 and the others 1.25; of what is dropped twice 36 %, the others 1.5625."""
    model = models["N1.5"]
    regularization = Regularization(recipe_for(model, "nvidia"), model)
    name = "action_head.model.transformer_blocks.0"
    with regularization.active(np.random.default_rng(0)):
        for layer, hook in regularization._hooks():
            names = {id(module): name for name, module in model.named_modules()}
            ones = hook(layer, (), torch.ones(200, 500))
            rate, kept = {f"{name}.attn1.to_out.0": (0.36, 1.5625)}.get(names[id(layer)], (0.2, 1.25))
            if names[id(layer)].startswith(name):
                assert float((ones == 0).float().mean()) == pytest.approx(rate, abs=0.005)
                assert set(ones.unique().tolist()) == {0.0, kept}


def test_states_are_dropped_whole_and_the_mask_token_takes_their_place(models: dict[str, Gr00tModel]) -> None:
    model = models["N1.6"]
    regularization = Regularization(recipe_for(model, "nvidia"), model)
    assert isinstance(regularization._mask_token, torch.Tensor)
    with regularization.active(np.random.default_rng(3)):
        out = regularization._drop_states(model.action_head.state_encoder, None, torch.full((2000, 1, 48), 7.0))
    token = regularization._mask_token.flatten()
    dropped = torch.isclose(out[:, 0], token.expand(2000, -1)).all(-1)
    assert float(dropped.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert (out[~dropped] == 7).all()


def test_the_small_recipe_draws_nothing(models: dict[str, Gr00tModel]) -> None:
    recipe = recipe_for(models["N1.5"], "small")
    assert (recipe.dropout, recipe.state_dropout, recipe.augments) == ({}, 0.0, False)
    assert isinstance(recipe, Recipe)


def test_images_alone(models: dict[str, Gr00tModel]) -> None:
    recipe = recipe_for(models["N1.5"], "augment")
    assert (recipe.dropout, recipe.state_dropout, recipe.augments) == ({}, 0.0, True)
    assert recipe.train == ("projector", "dit")


# Runs


def test_a_run_with_other_images_in_each_step(tmp_path: Path) -> None:
    data, base = sft_runs.dataset(tmp_path / "data"), sft_runs.tiny(tmp_path / "base")
    plain, augmented = (sft_runs.run(data, base, recipe=name) for name in ("small", "augment"))
    assert augmented.facts["recipe"] == "augment: random crop and colours, no dropout"
    assert "keeps images" in augmented.facts["training"]
    assert augmented.trainer.evaluate() == pytest.approx(plain.trainer.evaluate(), rel=1e-5)
    assert augmented.trainer.step() != plain.trainer.step()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_trains_as_its_authors_do(version: str, tmp_path: Path) -> None:
    data = sft_runs.dataset(tmp_path / "data")
    keys = {"state_keys": {"joints": 3, "pose": 2}, "action_keys": {"arm": 2, "gripper": 1}}
    base = sft_runs.build_tiny_checkpoint(tmp_path / "base", version=version, video_keys=["front"], **keys)
    run = sft_runs.run(data, base, recipe="nvidia", keep_statistics=True)
    assert "keeps images" in run.facts["training"]
    assert "vl_self_attention" in run.facts["training"]
    own = {
        "N1.5": ", vl_self_attention 0.2; state 0",
        "N1.6": "; state 0.2",
        "N1.7": ", vl_self_attention 0.2; state 0.2",
    }
    assert run.facts["recipe"] == f"nvidia: dropout (model 0.2{own[version]}), random crop and colours"
    before = run.trainer.evaluate()
    losses = [run.trainer.step() for _ in range(3)]
    assert len(set(losses)) == 3
    assert run.trainer.evaluate() == run.trainer.evaluate(), "evaluations drop nothing and see images as they are"
    assert run.trainer.evaluate() != before


def test_a_resumed_run_goes_on_with_the_same_noise(tmp_path: Path) -> None:
    data, base = sft_runs.dataset(tmp_path / "data"), sft_runs.tiny(tmp_path / "base")
    whole, half = (sft_runs.run(data, base, recipe="nvidia") for _ in range(2))
    losses = [whole.trainer.step() for _ in range(4)]
    first = [half.trainer.step() for _ in range(2)]
    half.save(tmp_path / "out")
    resumed = sft_runs.run(data, base, tmp_path / "out", recipe="nvidia")
    assert [*first, *(resumed.trainer.step() for _ in range(2))] == losses


def test_a_run_from_before_there_were_recipes_goes_on(tmp_path: Path) -> None:
    data, base = sft_runs.dataset(tmp_path / "data"), sft_runs.tiny(tmp_path / "base")
    run = sft_runs.run(data, base)
    run.trainer.step()
    run.save(tmp_path / "out")
    file = tmp_path / "out" / "sft" / "settings.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "recipe"}))
    assert sft_runs.run(data, base, tmp_path / "out").trainer.steps_done == 1
    with pytest.raises(ValueError, match="recipe 'nvidia', then 'small'"):
        sft_runs.run(data, base, tmp_path / "out", recipe="nvidia")
