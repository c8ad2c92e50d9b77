# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a checkpoint's statistics to what normalises states and actions, with checks of what cannot be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter

from .checkpoint import Gr00tCheckpointError
from .data_config import ROTATION_NAMES
from .normalization import NORMALIZATION_MODES, VectorNormalizer, VectorSpec
from .rotations import ROTATIONS


def rotations_of(
    targets: Mapping[str, str | None], described: Mapping[str, Any], modality: str, source: str
) -> dict[str, tuple[str, str]]:
    """Key -> representation of its rotation, and that which is normalised.

    Args:
        targets: Key -> representation that the data config asks for.
        described: Key -> what the metadata say of it.
        modality: "state" or "action".
        source: Where the metadata are, for errors.
    """
    found = {}
    for key, target in targets.items():
        if target is None:
            continue
        of_key = described.get(key)
        name = str(of_key.get("rotation_type")) if isinstance(of_key, Mapping) else "None"
        if name not in ROTATION_NAMES:
            raise Gr00tCheckpointError(
                f"the data config converts {modality}.{key} to {target}, but {source} describes it as no rotation "
                f"(rotation_type {name}); expected one of {', '.join(ROTATION_NAMES)}"
            )
        rotation = ROTATION_NAMES[name], ROTATION_NAMES[target]
        widths = [ROTATIONS[part] for part in rotation]
        if modality == "action" and widths[0] != widths[1]:
            raise Gr00tCheckpointError(
                f"the data config converts action.{key} from {name} ({widths[0]} numbers) to {target} ({widths[1]}); "
                "GR00T N1.5 keeps the width of actions, so that only representations of equal width fit"
            )
        found[key] = rotation
    return found


def normalizer_of(
    statistics: Mapping[str, Any],
    modality: str,
    modes: Sequence[tuple[str, str]],
    rotations: Mapping[str, tuple[str, str]],
    source: str,
    device: torch.device | str,
) -> VectorNormalizer:
    """What normalises the state or the actions.

    Args:
        statistics: Key -> name of a statistic -> numbers.
        modality: "state" or "action".
        modes: Keys in the order of the vector, each with its mode.
        rotations: From :func:`rotations_of`.
        source: Where the statistics are, for errors.
        device: Where it computes.

    Raises:
        Gr00tCheckpointError: A key is missing, or its statistics are incomplete or cannot be true.
    """
    if not statistics:
        raise Gr00tCheckpointError(
            f"{source} has no statistics for the {modality}; expected statistics.{modality}.<key>"
        )
    specs, values = [], {}
    for key, mode in modes:
        if key not in statistics:
            raise Gr00tCheckpointError(f"{source} has no {modality} key {key!r}; available are {', '.join(statistics)}")
        if modality == "action" and NORMALIZATION_MODES[mode].denormalize is None:
            raise Gr00tCheckpointError(
                f"action.{key} asks for mode {mode!r}, which has no inverse: it fits states only"
            )
        entry = statistics[key]
        if not isinstance(entry, Mapping):
            raise Gr00tCheckpointError(f"{modality}.{key} of {source} is {entry!r}; expected its statistics by name")
        if missing := [name for name in NORMALIZATION_MODES[mode].statistics if name not in entry]:
            raise Gr00tCheckpointError(
                f"{modality}.{key} of {source} lacks {', '.join(missing)}, which mode {mode!r} needs; it has "
                f"{', '.join(entry)}"
            )
        # the range is of use with every mode, and a mode without statistics tells nothing of the width
        names = dict.fromkeys([*NORMALIZATION_MODES[mode].statistics, *(n for n in ("min", "max") if n in entry)])
        values[key] = _statistics_of(entry, list(names) or list(entry)[:1], modality, f"{modality}.{key} of {source}")
        dim, rotation = np.shape(next(iter(values[key].values())))[-1], rotations.get(key)
        if rotation is not None and dim != ROTATIONS[rotation[0]]:
            raise Gr00tCheckpointError(
                f"{modality}.{key} of {source} has {dim} numbers, but a rotation as {rotation[0]} has "
                f"{ROTATIONS[rotation[0]]}. Copy the file again from the checkpoint it came from"
            )
        specs.append(VectorSpec(key, dim, mode, rotation))
    return VectorNormalizer(specs, values, device)


_NUMBERS = {
    "state": TypeAdapter(list[float], config=ConfigDict(strict=True)),
    "action": TypeAdapter(list[float] | list[list[float]], config=ConfigDict(strict=True)),
}


def _statistics_of(entry: Mapping[str, Any], names: Sequence[str], modality: str, where: str) -> dict[str, np.ndarray]:
    """Some of a key's statistics, (dim,) each; those of actions may be (steps, dim), one row per step of the chunk."""
    found = {}
    for name in names:
        try:
            with np.errstate(over="ignore"):
                found[name] = np.array(_NUMBERS[modality].validate_python(entry[name]), dtype=np.float32)
        except ValueError:  # of pydantic, or of numpy for rows of different lengths
            found[name] = np.empty(0)
        if not found[name].size:
            raise Gr00tCheckpointError(f"{name} of {where} is {entry[name]!r}; expected one number per dimension")
    widths = {name: value.shape[-1] for name, value in found.items()}
    if len(set(widths.values())) > 1:
        raise Gr00tCheckpointError(
            f"the statistics of {where} differ in width: {', '.join(f'{n} {w}' for n, w in widths.items())}. Copy the "
            "file again from the checkpoint it came from"
        )
    problems = {f"{name} is not finite": ~np.isfinite(value) for name, value in found.items()}
    for low, high in (("min", "max"), ("q01", "q99")):
        if low in found and high in found:
            problems[f"{low} is greater than {high}"] = found[low] > found[high]
    if "std" in found:
        problems["std is negative"] = found["std"] < 0
        if "min" in found and "max" in found:
            moves = ~np.isclose(found["min"], found["max"])
            problems["std is 0 although min and max differ"] = (found["std"] == 0) & moves
    for problem, wrong in problems.items():
        if wrong.any():
            places = ", ".join(str(place[-1]) for place in np.argwhere(wrong)[:6])
            raise Gr00tCheckpointError(
                f"{problem} in dimension {places} of the statistics of {where}. Copy the file again from the "
                "checkpoint it came from. If it is like this there, the data set holds such values: take them out, and "
                "compute the statistics anew, as GR00T's fine-tuning and scripts/sft.py do"
            )
    return found
