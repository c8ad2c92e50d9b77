# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The GR00T that supervised fine-tuning starts from, and the checkpoint that it writes."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t import Embodiment, Gr00tCheckpointError, Gr00tModel, build_tiny_checkpoint, load_embodiment
from gr00t_rl_ext.gr00t.checkpoint import CONFIG_FILE, read_json
from gr00t_rl_ext.gr00t.data_config import recorded_crop
from gr00t_rl_ext.gr00t.embodiment import own_data_config
from gr00t_rl_ext.gr00t.metadata import Camera, robot_metadata, set_robot_metadata
from gr00t_rl_ext.gr00t.tiny import SMALL, small_image_size
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.sft_options import SftOptions

STATE_DIRECTORY = "sft"
"""Folder of an SFT checkpoint with what resuming needs, and the curve."""

_STATE, _SETTINGS, _CURVE = "state.pt", "settings.json", "curve"


def small_checkpoint(dataset: DemonstrationDataset, cameras: Sequence[str], options: SftOptions) -> Path:
    """Directory of the small fresh GR00T for a dataset, built on first use. Its statistics are made up.

    Raises:
        ValueError: The dataset does not fit any such model, or its tag is not a published one.
    """
    height, width = dataset[0].footage[cameras[0]].size
    modality = dataset.modality
    state, action = ({key: part.width for key, part in kind.items()} for kind in (modality.state, modality.action))
    arguments = {
        **SMALL,
        "image_size": small_image_size(height, width),
        "horizon": options.horizon,
        "seed": options.seed,
        "embodiment_tag": options.embodiment_tag,
        "state_keys": state,
        "action_keys": action,
        "video_keys": list(cameras),
        # GR00T's own widths take any robot that fits the published checkpoints
        "max_state_dim": max(64, sum(state.values())),
        "max_action_dim": max(32, sum(action.values())),
    }
    name = hashlib.sha256(json.dumps(arguments).encode()).hexdigest()[:12]
    directory = cache_directory() / "small" / name
    if not (directory / CONFIG_FILE).is_file():
        build_tiny_checkpoint(directory, **arguments)
    return directory


def dataset_metadata(dataset: DemonstrationDataset, cameras: Sequence[str], tag: str) -> dict[str, Any]:
    """What a checkpoint says of the robot that a dataset shows."""
    sizes = {name: dataset[0].footage[name].size for name in cameras}
    views = {name: Camera(width=width, height=height, fps=dataset.fps) for name, (height, width) in sizes.items()}
    metadata = robot_metadata(tag, dataset.statistics, views)
    for kind in ("state", "action"):
        for key, part in getattr(dataset.modality, kind).items():
            metadata["modalities"][kind][key] |= part.described()
    return metadata


def dataset_embodiment(model: Gr00tModel, metadata: Mapping[str, Any], options: SftOptions) -> Embodiment:
    """The robot in a model's slot, with statistics of a dataset.

    Raises:
        Gr00tCheckpointError: The model is not a GR00T N1.5, whose statistics alone can be set from a dataset, or the
            data config does not fit the dataset.
    """
    directory, tag = model.config.source, options.embodiment_tag
    if model.version != "N1.5":
        raise Gr00tCheckpointError(
            f"{str(directory)!r} is a GR00T {model.version}: its statistics belong to a processor config and"
            " cannot be set from a dataset here. Use --keep-statistics with statistics that describe the dataset's"
            " robot, which GR00T's own fine-tuning writes."
        )
    with tempfile.TemporaryDirectory() as scratch:
        set_robot_metadata(Path(scratch), tag, metadata)
        config = options.data_config
        if config is None:
            crop = recorded_crop(directory) if options.crop_scale is None else options.crop_scale
            config = own_data_config(Path(scratch), tag, horizon=model.action_horizon, crop_scale=crop)
        # without a slot, which must be a published one: nobody could load the checkpoint otherwise
        return load_embodiment(scratch, tag, data_config=config)


def check_same_robot(embodiment: Embodiment, dataset: DemonstrationDataset) -> None:
    """Check that a checkpoint's statistics are of the robot in a dataset: the same keys, widths and order.

    Raises:
        Gr00tCheckpointError: They are not.
    """
    for name, vector in (("state", embodiment.state), ("action", embodiment.action)):
        known = [(spec.key, spec.dim) for spec in vector.specs]
        found = [(key, part.width) for key, part in getattr(dataset.modality, name).items()]
        if known != found:
            shown = [", ".join(f"{key} {width}" for key, width in keys) for keys in (known, found)]
            raise Gr00tCheckpointError(
                f"The checkpoint's statistics of {embodiment.tag!r} describe the {name} as {shown[0]}, but the dataset"
                f" has {shown[1]}. Leave out --keep-statistics to take the dataset's."
            )


def check_out(out: Path, checkpoint: str, *, resume: bool) -> None:
    """Check that a checkpoint may be written to a directory, before anything expensive is done.

    Raises:
        FileExistsError: It holds something, or is the checkpoint to start from.
        FileNotFoundError: There is nothing to resume.
    """
    if out.resolve() == Path(checkpoint).expanduser().resolve():
        raise FileExistsError(f"--out is {str(out)!r}, the checkpoint to start from. Give another directory.")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out is {str(out)!r}, a file. Give a directory that does not exist yet.")
    if resume and not is_sft_checkpoint(out):
        raise FileNotFoundError(
            f"{str(out)!r} holds no run to resume (no {STATE_DIRECTORY}/{_STATE}). Leave out --resume to start one."
        )
    if not resume and out.is_dir() and any(out.iterdir()):
        raise FileExistsError(
            f"{str(out)!r} is not empty. Give another directory, remove it, or go on with the run in it (--resume)."
        )


def is_sft_checkpoint(directory: Path) -> bool:
    """Whether supervised fine-tuning wrote a directory, so that a later step of the run may replace it."""
    return (directory / STATE_DIRECTORY / _STATE).is_file()


def write_run(out: Path, settings: Mapping[str, Any], state: Mapping[str, Any], curve: list[dict[str, float]]) -> None:
    """Put a run beside the model in a checkpoint, which no one shall take for a fresh one that may be replaced.

    Args:
        out: Directory of the checkpoint.
        settings: What determines the run.
        state: Of the trainer.
        curve: One row per evaluation.
    """
    config = read_json(out / CONFIG_FILE)
    if config.pop("generator", None) is not None:
        _write_json(out / CONFIG_FILE, config)
    beside = out / STATE_DIRECTORY
    beside.mkdir()
    torch.save(dict(state), beside / _STATE)
    _write_json(beside / _SETTINGS, settings)
    _write_json(beside / f"{_CURVE}.json", curve)
    with (beside / f"{_CURVE}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in curve for name in row)))
        writer.writeheader()
        writer.writerows(curve)


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_run(out: Path, settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """State and curve of the run in a checkpoint.

    Args:
        out: Directory of the checkpoint.
        settings: What the run is to be resumed with.

    Raises:
        ValueError: It was trained with other settings, or its files cannot be read.
    """
    beside = out / STATE_DIRECTORY
    try:
        former = json.loads((beside / _SETTINGS).read_text(encoding="utf-8"))
        curve = json.loads((beside / f"{_CURVE}.json").read_text(encoding="utf-8"))
        state = torch.load(beside / _STATE, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"The run in {str(beside)!r} cannot be read ({reason}). Start it again without --resume."
        ) from error
    # before it was a setting, there was this one
    former.setdefault("recipe", "small")
    now = json.loads(json.dumps(settings))
    different = [
        f"{name} {now.get(name)!r}, then {former.get(name)!r}"
        for name in {**former, **now}
        if former.get(name) != now.get(name)
    ]
    if different:
        raise ValueError(
            f"The run in {str(out)!r} was started with other settings; now {'; '.join(different)}. Resume with those,"
            " or start another run from it with --checkpoint."
        )
    return state, curve
