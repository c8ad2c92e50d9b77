# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Fields that nobody knows are named, those of a backbone that would change it are refused, and NVIDIA's defaults
stand where a field is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, build_tiny_checkpoint, load_embodiment
from gr00t_rl_ext.gr00t.config_fields import unknown_fields
from gr00t_rl_ext.gr00t.model import meta_gr00t
from gr00t_rl_ext.gr00t.versions import GR00T_VERSIONS

DATA = Path(__file__).parents[1] / "data"
VERSIONS = ("N1.5", "N1.6", "N1.7")
BACKBONE_FILES = {"N1.5": "eagle_config.json", "N1.6": "eagle_config.json", "N1.7": "backbone/config.json"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tiny")
    return {version: build_tiny_checkpoint(folder / version, version=version) for version in VERSIONS}


@pytest.fixture
def changed(built: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a version's checkpoint, of which a file was changed."""

    def copy(version: str, file: str, change: Callable[[dict[str, Any]], object]) -> Path:
        directory = Path(
            shutil.copytree(built[version], tmp_path / "changed", ignore=shutil.ignore_patterns("*.safetensors"))
        )
        content = json.loads((directory / file).read_text())
        change(content)
        (directory / file).write_text(json.dumps(content))
        return directory

    return copy


@pytest.mark.parametrize("folder", ["gr00t_n1_5_tiny", "gr00t_n1_6_tiny", "gr00t_n1_7_tiny"])
def test_nvidias_own_files_have_no_field_that_is_not_known(folder: str):
    assert meta_gr00t(DATA / folder).config.unknown_fields == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_built_here_has_none_either(built: dict[str, Path], version: str):
    assert unknown_fields(version, built[version]) == ()


@pytest.mark.parametrize(
    ("version", "file", "path", "named"),
    [
        ("N1.5", "config.json", ("use_rtc",), "config.json.use_rtc"),
        ("N1.5", "config.json", ("action_head_cfg", "expert"), "config.json.action_head_cfg.expert"),
        ("N1.5", "config.json", ("backbone_cfg", "tiles"), "config.json.backbone_cfg.tiles"),
        ("N1.6", "config.json", ("num_experts",), "config.json.num_experts"),
        (
            "N1.7",
            "processor_config.json",
            ("processor_kwargs", "blur"),
            "processor_config.json.processor_kwargs.blur",
        ),
        (
            "N1.7",
            "processor_config.json",
            ("processor_kwargs", "modality_configs", "new_embodiment", "state", "noise"),
            "processor_config.json.processor_kwargs.modality_configs.new_embodiment.state.noise",
        ),
    ],
)
def test_an_unknown_field_is_named(
    changed: Callable[..., Path], version: str, file: str, path: tuple[str, ...], named: str
):
    def add(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = 3

    assert meta_gr00t(changed(version, file, add)).config.unknown_fields == (named,)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("text_config", "rope_scaling", {"rope_type": "linear", "factor": 4}),
        ("text_config", "use_sliding_window", True),
        ("text_config", "num_experts", 8),
        ("vision_config", "window_attention", True),
    ],
)
def test_another_backbone_is_refused(
    changed: Callable[..., Path], version: str, section: str, field: str, value: object
):
    directory = changed(version, BACKBONE_FILES[version], lambda content: content[section].update({field: value}))
    with pytest.raises(
        Gr00tCheckpointError, match=f"the backbone's {section} has {field}: .*The network may be another"
    ):
        meta_gr00t(directory)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_off_or_of_training_is_no_other_backbone(
    changed: Callable[..., Path], built: dict[str, Path], version: str
):
    def add(content: dict[str, Any]) -> None:
        content["text_config"] |= {"rope_scaling": None, "use_sliding_window": False, "attention_dropout": 0.1}
        content["vision_config"] |= {"initializer_range": 0.1}

    model, plain = (meta_gr00t(place) for place in (changed(version, BACKBONE_FILES[version], add), built[version]))
    shapes = [{name: p.shape for name, p in each.named_parameters()} for each in (model, plain)]
    assert shapes[0] == shapes[1]
    assert model.backbone.image_recipe == plain.backbone.image_recipe


@pytest.mark.parametrize("version", ["N1.5", "N1.6"])
def test_images_that_would_be_padded_otherwise_are_refused(changed: Callable[..., Path], version: str):
    directory = changed(version, "eagle_config.json", lambda content: content.update(pad2square=True))
    with pytest.raises(
        Gr00tCheckpointError, match=r"eagle_config.json has pad2square: True, which this package does not"
    ):
        meta_gr00t(directory)


@pytest.mark.parametrize(
    ("version", "field"),
    [(version, field) for version in ("N1.6", "N1.7") for field in GR00T_VERSIONS[version].defaults],
)
def test_a_missing_field_has_nvidias_default(changed: Callable[..., Path], version: str, field: str):
    """With the default or without the field, the same network is built, or the same error raised."""
    default = GR00T_VERSIONS[version].defaults[field]
    results = []
    for change in (lambda content: content.pop(field, None), lambda content: content.update({field: default})):
        directory = changed(version, "config.json", change)
        try:
            model = meta_gr00t(directory)
            results.append(repr((model.config.action_head, model.backbone.image_recipe)))
        except Gr00tCheckpointError as error:
            results.append(str(error))
        shutil.rmtree(directory)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("modality", "indices", "text"),
    [
        ("state", [-5], r"asks for the states of step \[-5\], which is not supported"),
        ("video", [-3], r"asks for the images of step \[-3\], which"),
        ("video", [-15, 0], "asks for a history of images, which"),
        ("action", [0, 2, 4], r"asks for the actions of steps \[0, 2, 4\], which"),
        ("language", [0, 1], r"asks for the instruction of step \[0, 1\], which"),
    ],
)
def test_other_steps_than_the_current_one(changed: Callable[..., Path], modality: str, indices: list[int], text: str):
    def change(content: dict[str, Any]) -> None:
        content["processor_kwargs"]["modality_configs"]["new_embodiment"][modality]["delta_indices"] = indices

    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(changed("N1.7", "processor_config.json", change), "new_embodiment")
