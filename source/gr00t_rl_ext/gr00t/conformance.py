# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Compares what this package computes with what NVIDIA's code computed.

``./isaaclab.sh -p -m gr00t_rl_ext.gr00t.conformance DIR`` takes a folder of reference outputs, or a folder of such
folders. They are recognised by their files:

- a model: ``config.json`` and ``ref_io.safetensors``, of N1.5, N1.6 or N1.7;
- states and actions: ``data_config.json`` and ``io.npz`` (N1.5), or ``index.json`` and ``io.npz`` (N1.6, N1.7);
- images: ``inputs.npz``, and ``VERSION.json`` with ``VERSION.npz``;
- rotations: ``rotations.npz``;
- prompts: ``VERSION.json``.

The exit status is 1 where a difference exceeds its tolerance or a folder is of no such kind, and 2 where nothing was
found to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .backbone_eagle3 import MERGE, PUBLISHED_EAGLE3_CONFIG
from .checkpoint import CONFIG_FILE, Gr00tCheckpointError
from .embodiment import STATISTICS_FILE, load_embodiment
from .images import ImageRecipe, ImageTransform
from .inputs import load_tokenizer
from .model import Gr00tModel, load_gr00t
from .processor_options import ProcessorOptions
from .prompts import PROMPTS, formalized
from .relative_action import POSE_FORMATS, RelativeAction
from .rotations import convert, from_matrix, matrix_of

NUMBERS = 1e-5
"""Tolerance of features, actions and normalised numbers in float32, relative where they are above 1."""

GREY_LEVELS = 2.0
"""Tolerance of images in levels of 255."""

ROTATIONS = 1e-10
"""Tolerance of rotations in float64."""


@dataclass(frozen=True)
class Comparison:
    """One quantity, compared."""

    what: str
    """Its name."""

    difference: float
    """Largest difference."""

    tolerance: float
    """Largest one that is accepted."""

    @property
    def agrees(self) -> bool:
        return self.difference <= self.tolerance  # False for NaN


def compare(directory: Path, tokenizer: str | None = None) -> list[Comparison]:
    """Compare all that a folder holds.

    Args:
        directory: A folder of reference outputs, or of such folders.
        tokenizer: Directory of the tokenizer of the prompts, to compare token ids. None: texts are compared only.

    Raises:
        Gr00tCheckpointError: A checkpoint cannot be loaded, or a data config not be used.
        ValueError: Files that belong together do not fit each other.
    """
    if found := list(_comparisons(directory, tokenizer)):
        return found
    by_folder = {
        folder: compare(folder, tokenizer) for folder in sorted(path for path in directory.iterdir() if path.is_dir())
    }
    if not any(by_folder.values()):
        return []
    for folder, parts in by_folder.items():
        if not parts:
            names = ", ".join(sorted(file.name for file in folder.iterdir())[:5]) or "nothing"
            parts = [Comparison(f"not recognised, holds {names}", float("inf"), 0.0)]
        found += [Comparison(f"{folder.name}: {part.what}", part.difference, part.tolerance) for part in parts]
    return found


def _comparisons(directory: Path, tokenizer: str | None) -> Iterator[Comparison]:
    has = {file.name for file in directory.iterdir()}
    if {CONFIG_FILE, "ref_io.safetensors"} <= has:
        yield from _model(directory)
    elif {"data_config.json", "io.npz"} <= has:
        yield from _data_config(directory)
    elif {"index.json", "io.npz"} <= has:
        yield from _processor(directory)
    elif "inputs.npz" in has:
        for name in ("n1_5", "n1_6", "n1_7"):
            if f"{name}.json" in has:
                yield from _images(directory, name)
    elif "rotations.npz" in has:
        yield from _rotations(_arrays(directory / "rotations.npz"))
    else:
        for version in PROMPTS:
            file = directory / f"{version.lower().replace('.', '_')}.json"
            if file.is_file():
                yield from _prompts(version, json.loads(file.read_text(encoding="utf-8")), tokenizer)


def _arrays(file: Path) -> dict[str, Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative where the reference is above 1; infinite for another shape."""
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    return float(((ours - theirs).abs() / theirs.abs().clamp(min=1)).max())


def _model(directory: Path) -> Iterator[Comparison]:
    everything = load_file(directory / "ref_io.safetensors")
    names = {name.partition(".")[0] for name in everything if "." in name}
    cases = {
        name: {key.removeprefix(f"{name}."): v for key, v in everything.items() if key.startswith(f"{name}.")}
        for name in sorted(names)
    } or {"": {key.removeprefix("eagle_"): value for key, value in everything.items()}}
    for implementation in ("eager", "sdpa"):
        models: dict[int, Gr00tModel] = {}
        for name, io in cases.items():
            for slot in set(io["embodiment_id"].tolist()) - set(models):
                models[slot] = load_gr00t(directory, slot, torch.float32, attn_implementation=implementation)
            for what, difference in _case(models, io):
                yield Comparison(f"{', '.join(filter(None, (implementation, name)))}: {what}", difference, NUMBERS)
    for name, io in cases.items():
        if "raw_images" in io:
            for part in _processed(directory, models[io["embodiment_id"].tolist()[0]], io):
                yield Comparison(f"processing, {name}: {part.what}", part.difference, part.tolerance)


def _processed(directory: Path, model: Gr00tModel, io: Mapping[str, Tensor]) -> Iterator[Comparison]:
    """Pixel values, state and actions of a batch whose raw observations are recorded, of N1.6 or N1.7."""
    transform, raw = ImageTransform(model.backbone.image_recipe), io["raw_images"]
    pixels = model.backbone.normalize_images(transform(raw.flatten(0, 1)))
    levels = float((pixels - io["pixel_values"]).abs().max()) * 127.5
    yield Comparison("pixel values in grey levels", levels, GREY_LEVELS)
    (tag,) = json.loads((directory / STATISTICS_FILE).read_text(encoding="utf-8"))
    robot = load_embodiment(directory, tag)
    state = torch.cat([io[f"raw_state.{spec.key}"] for spec in robot.state.specs], dim=-1)[:, 0]
    action = torch.cat([io[f"raw_action.{spec.key}"] for spec in robot.action.specs], dim=-1)
    encoded, mask = robot.encode_action(action, model.max_action_dim, state), io["normalized_action_mask"]
    yield Comparison("state", _difference(robot.encode_state(state, model.max_state_dim), io["state"]), NUMBERS)
    yield Comparison("actions", _difference(encoded * mask, io["normalized_action"] * mask), NUMBERS)
    decoded = robot.decode_action(io["action_pred"], state)
    for key, where in robot.action.slices().items():
        yield Comparison(f"decoded {key}", _difference(decoded[..., where], io[f"decoded_action.{key}"]), NUMBERS)


def _case(models: Mapping[int, Gr00tModel], io: Mapping[str, Tensor]) -> Iterator[tuple[str, float]]:
    """Features, actions, velocities and loss of a batch, whose samples may be of different embodiments."""
    slots = io["embodiment_id"].tolist()
    model = models[slots[0]]
    real = io["attention_mask"].bool()
    features = model.encode(
        pixel_values=io["pixel_values"],
        input_ids=io["input_ids"],
        attention_mask=io["attention_mask"],
        image_grid_thw=io.get("image_grid_thw"),
    )
    # at padded positions features depend on the attention kernel
    yield "backbone features", _difference(features.tokens[real], io["backbone_features"][real])
    context = model.condition(features)
    yield "features of the head", _difference(context.tokens[real], io["vl_features"][real])
    noise = io["noise"] if "noise" in io else io["noise0"]

    def by_slot(compute: Any) -> Tensor:
        return torch.stack([compute(models[slot])[row] for row, slot in enumerate(slots)])

    actions = by_slot(lambda m: m.sample(context, io["state"], noise))
    yield "sampled actions", _difference(actions, io["action_pred"])
    for index in range(len(io.get("velocity", ()))):
        at = io["velocity_x"][index], io["velocity_t_bucket"][index]
        velocity = by_slot(lambda m, at=at: m.velocity(context, io["state"], *at))
        yield f"velocity {index}", _difference(velocity, io["velocity"][index])
    if "fm_loss" in io and len(set(slots)) == 1:
        prefix = "fm_" if "fm_action" in io else ""
        target = io[f"{prefix}action"], io[f"{prefix}action_mask"], io["fm_noise"], io["fm_t"]
        yield "flow-matching loss", _difference(model.flow_matching_loss(context, io["state"], *target), io["fm_loss"])


def _data_config(directory: Path) -> Iterator[Comparison]:
    """States and actions of N1.5."""
    file = directory / "data_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    robot = load_embodiment(directory, config["embodiment_tag"], slot=config["embodiment_id"], data_config=str(file))
    io = _arrays(directory / "io.npz")
    state = torch.cat([io[f"raw_state.{key}"] for key in config["state_keys"]], dim=-1)[:, 0]
    action = torch.cat([io[f"raw_action.{key}"] for key in config["action_keys"]], dim=-1)
    yield Comparison("state", _difference(robot.encode_state(state, io["state"].shape[-1]), io["state"]), NUMBERS)
    yield Comparison("action", _difference(robot.encode_action(action, io["action"].shape[-1]), io["action"]), NUMBERS)
    for name, vector in (("state", robot.state), ("action", robot.action)):
        widths = io[f"{name}_mask"].sum(dim=-1).float()
        yield Comparison(f"width of the {name}", float((widths - vector.dim).abs().max()), 0.0)
    for name, source in (("unnormalized", io["network"]), ("roundtrip", io["action"])):
        decoded = robot.decode_action(source)
        for key, where in robot.action.slices().items():
            yield Comparison(f"{name} {key}", _difference(decoded[..., where], io[f"{name}.{key}"]), NUMBERS)


def _processor(directory: Path) -> Iterator[Comparison]:
    """States and actions of N1.6 and N1.7."""
    io = _arrays(directory / "io.npz")
    for name, of_folder in json.loads((directory / "index.json").read_text(encoding="utf-8")).items():
        if not (directory / name / STATISTICS_FILE).is_file():
            raise ValueError(
                f"{str(directory / name)!r} has no {STATISTICS_FILE}, although index.json names the folder"
            )
        robot = load_embodiment(directory / name, of_folder["embodiment_tag"])
        own = f"{name}." if f"{name}.raw_state.{of_folder['state_keys'][0]}" in io else ""
        state = torch.cat([io[f"{own}raw_state.{key}"] for key in of_folder["state_keys"]], dim=-1)[:, 0]
        action = torch.cat([io[f"{own}raw_action.{key}"] for key in of_folder["action_keys"]], dim=-1)
        theirs, mask = io[f"{name}.action"], io[f"{name}.action_mask"]
        network = io[f"{own}network"] if f"{own}network" in io else io["network"]
        encoded = robot.encode_action(action, theirs.shape[-1], state)
        encoded = F.pad(encoded, (0, 0, 0, theirs.shape[-2] - encoded.shape[-2]))
        slot = abs(robot.slot - of_folder["embodiment_id"])
        yield Comparison(f"{name}: slot", float(slot), 0.0)
        ours = robot.encode_state(state, io[f"{name}.state"].shape[-1])
        yield Comparison(f"{name}: state", _difference(ours, io[f"{name}.state"]), NUMBERS)
        yield Comparison(f"{name}: action", _difference(encoded * mask, theirs * mask), NUMBERS)
        decoded = robot.decode_action(network, state)
        for key, where in robot.action.slices().items():
            yield Comparison(
                f"{name}: decoded {key}", _difference(decoded[..., where], io[f"{name}.decoded.{key}"]), NUMBERS
            )


def _recipes(version: str, setting: Mapping[str, Any]) -> dict[str, ImageRecipe]:
    """Suffix of the reference's key -> the recipe that gives it."""
    if version == "n1_5":
        return {
            "": ImageRecipe(tuple(setting["resize_height_width"]), crop_scale=setting["crop_scale"], truncates=True)
        }
    options = ProcessorOptions.model_validate({"formalize_language": True, **setting})
    recipe = options.image_recipe()
    if version == "n1_6":
        # what the processor gives, and what the backbone makes of it
        return {
            ".transformed": recipe,
            ".model_input": options.image_recipe(MERGE * PUBLISHED_EAGLE3_CONFIG["vision_config"]["patch_size"]),
        }
    return {"": recipe}


def _images(directory: Path, version: str) -> Iterator[Comparison]:
    inputs, theirs = _arrays(directory / "inputs.npz"), _arrays(directory / f"{version}.npz")
    settings = json.loads((directory / f"{version}.json").read_text(encoding="utf-8"))["settings"]
    for name, setting in settings.items():
        for size in setting["inputs"]:
            for suffix, recipe in _recipes(version, setting).items():
                ours = (ImageTransform(recipe)(inputs[size][None])[0] * 255).round().permute(1, 2, 0)
                reference = theirs[f"{name}.{size}{suffix}"].float()
                same = ours.shape == reference.shape
                difference = float((ours - reference).abs().max()) if same else float("inf")
                yield Comparison(f"{version} {name} {size}{suffix}", difference, GREY_LEVELS)


_ROTATION_KEYS: Mapping[str, str] = {
    "n1_5.rotation_6d": "rotation_6d",
    "n1_5.axis_angle": "axis_angle",
    **{f"n1_5.euler_angles_{order}": f"euler_angles_{order}" for order in ("rpy", "ryp", "pry", "pyr", "yrp", "ypr")},
    "n1_5.quaternion_from_matrix": "quaternion_wxyz",
    "n1_7.rot6d": "rotation_6d",
    "n1_7.rotvec": "axis_angle",
    "n1_7.euler_xyz": "euler_xyz",
    "n1_7.euler_xyz_degrees": "euler_xyz_degrees",
}
"""Key of a reference -> how it gives the rotations of ``matrix``."""


def _rotations(io: Mapping[str, Tensor]) -> Iterator[Comparison]:
    matrix, noisy = io["matrix"], io["noisy_rotation_6d"]

    def as_matrices(key: str, ours: Tensor, theirs: Tensor) -> Comparison:
        return Comparison(key, float((ours - theirs).abs().max()), ROTATIONS)

    for key, name in {"quat_wxyz": "quaternion_wxyz", "quat_xyzw": "quaternion_xyzw", **_ROTATION_KEYS}.items():
        if key in io:
            yield as_matrices(f"{key} to a matrix", matrix_of(name, io[key]), matrix)
    for key, name in _ROTATION_KEYS.items():
        if key in io and name.startswith("euler"):
            # angles may differ by a whole turn
            yield as_matrices(f"{key} and back", matrix_of(name, from_matrix(name, matrix)), matrix)
        elif key in io:
            yield as_matrices(f"{key} of a matrix", from_matrix(name, matrix), io[key])
    for version in ("n1_5", "n1_7"):
        if (key := f"{version}.matrix_from_noisy_rotation_6d") in io:
            yield as_matrices(key, matrix_of("rotation_6d", noisy), io[key])
    if (key := "n1_5.quaternion_from_noisy_rotation_6d") in io:
        yield as_matrices(key, convert(noisy, "rotation_6d", "quaternion_wxyz"), io[key])
    for pose, rotation in POSE_FORMATS.items():
        if (key := f"n1_7.relative_{pose.lower()}") in io:
            poses = io[f"n1_7.{pose.lower()}"]
            relative = RelativeAction("", rotation).to_relative(poses[:, None], poses.roll(-1, 0))[:, 0]
            yield as_matrices(key, relative, io[key])


def _prompts(version: str, content: Mapping[str, Any], tokenizer: str | None) -> Iterator[Comparison]:
    """Texts, and token ids where there is a tokenizer."""
    words = None if tokenizer is None else load_tokenizer(tokenizer)
    prompt = PROMPTS[version]
    for case in content["training" if "training" in content else "cases"]:
        instruction, cameras = case["instruction"], case["cameras"]
        if case.get("formalize_language", False):
            instruction = formalized(instruction)
        what = f"{version}: {case['instruction'].partition(':')[0]!r}, {cameras} cameras,"
        if "string" not in case:
            # no image tokens in it: one stands for an image
            yield Comparison(
                f"{what} text", float(prompt.text(instruction, cameras, 1) != case["template_string"]), 0.0
            )
            continue
        number = case["image_tokens_per_camera"]
        ours = prompt.text(instruction, cameras, number)
        theirs = case["string"].replace(f"{{{number} x {prompt.image_token}}}", prompt.image_token * number)
        yield Comparison(f"{what} text", float(ours != theirs), 0.0)
        if words is not None:
            ids: list[int] = []
            for part in case["input_ids"]:
                ids += [content["image_token_id"]] * part["image_tokens"] if isinstance(part, dict) else [part]
            found = list(words(ours, add_special_tokens=False)["input_ids"])  # pyright: ignore[reportArgumentType]
            yield Comparison(f"{what} token ids", float(found != ids), 0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what the command line names, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m gr00t_rl_ext.gr00t.conformance",
        description="Compare what this package computes with reference outputs of NVIDIA's code.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of reference outputs, or of such folders")
    parser.add_argument("--tokenizer", help="directory of the tokenizer of the prompts, to compare token ids")
    parser.add_argument("--all", action="store_true", help="print every comparison, not the largest of each folder")
    arguments = parser.parse_args(argv)
    if not arguments.directory.is_dir():
        parser.error(f"{str(arguments.directory)!r} is no directory; expected a folder of reference outputs")
    try:
        found = compare(arguments.directory, arguments.tokenizer)
    except (Gr00tCheckpointError, KeyError, OSError, SafetensorError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if not found:
        print(f"{str(arguments.directory)!r} holds no reference outputs that are known. {__doc__}", file=sys.stderr)
        return 2
    _print(found, everything=arguments.all)
    return 0 if all(part.agrees for part in found) else 1


def _print(found: Sequence[Comparison], *, everything: bool) -> None:
    groups: dict[str, list[Comparison]] = {}
    for part in found:
        folder, _, rest = part.what.rpartition(": ")
        groups.setdefault(part.what if everything else folder or rest.partition(" ")[0], []).append(part)
    table = Table("compared", "number", "largest difference", "tolerance", "verdict", title="Conformance")
    for name, parts in groups.items():
        # of those with different tolerances, the one nearest to its own
        worst = max(parts, key=lambda part: (not part.agrees, part.difference / (part.tolerance or 1e-30)))
        verdict = "agrees" if all(part.agrees for part in parts) else f"DIFFERS: {worst.what}"
        table.add_row(name, str(len(parts)), f"{worst.difference:.2g}", f"{worst.tolerance:g}", verdict)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
