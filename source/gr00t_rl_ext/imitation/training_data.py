# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Demonstrations as the policy reads them: encoded frames, each with the actions that follow it."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.imitation.dataset import Demonstration, DemonstrationDataset
from gr00t_rl_ext.imitation.layout import DatasetError
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.robot.task_spec import TaskSpec

STATE = "state"
"""Observation group of the state."""

ENCODED_AT_ONCE = 64
"""Frames per call of the backbone."""

GIB = 1024**3


def choose_cameras(dataset: DemonstrationDataset, cameras: Sequence[str] | None) -> list[str]:
    """The cameras that the policy is to see, in order.

    Args:
        dataset: The dataset.
        cameras: Names; None: all.

    Raises:
        DatasetError: The dataset lacks one of them, or has none.
    """
    if not dataset.cameras:
        raise DatasetError(f"{str(dataset.directory)!r} has no cameras, and GR00T needs at least one.")
    chosen = list(cameras or dataset.cameras)
    if missing := [name for name in chosen if name not in dataset.cameras]:
        raise DatasetError(
            f"{str(dataset.directory)!r} has no camera {', '.join(map(repr, missing))}; it has"
            f" {', '.join(dataset.cameras)}. Name some of them with --cameras."
        )
    return chosen


def spec_of(dataset: DemonstrationDataset, cameras: Sequence[str], instruction: str) -> TaskSpec:
    """A dataset as a task: each camera is an image group, all keys of the state are one group."""
    return TaskSpec(
        instruction=instruction,
        image_groups=tuple(cameras),
        cameras=tuple(cameras),
        state_groups=(STATE,),
        state_terms={key: part.width for key, part in dataset.modality.state.items()},
        action_terms={key: part.width for key, part in dataset.modality.action.items()},
    )


def digest(dataset: DemonstrationDataset) -> str:
    """Identifies what is read of a dataset, the images aside."""
    result = hashlib.sha256()
    relative = [f"{key}:relative" for key, part in dataset.modality.action.items() if not part.absolute]
    result.update(":".join(relative).encode())
    for one in dataset:
        texts = one.instructions if len(set(one.instructions)) > 1 else one.instructions[:1]
        result.update(":".join([str(one.index), *texts]).encode())
        for vectors in (one.state, one.action):
            for key, values in vectors.items():
                result.update(key.encode() + np.ascontiguousarray(values).tobytes())
    return result.hexdigest()


def hold_out(dataset: DemonstrationDataset, share: float, seed: int) -> tuple[list[Demonstration], list[Demonstration]]:
    """Episodes to train on, and episodes to measure on.

    Args:
        dataset: The dataset.
        share: Of the episodes that are held out, in [0, 1); at least one where it is above 0 and there are two.
        seed: Of the choice.
    """
    held = min(max(round(share * len(dataset)), 1 if share > 0 else 0), len(dataset) - 1)
    chosen = set(np.random.default_rng(seed).permutation(len(dataset))[:held].tolist())
    parts: tuple[list[Demonstration], list[Demonstration]] = ([], [])
    for place, one in enumerate(dataset):
        parts[place in chosen].append(one)
    return parts


@dataclass(frozen=True)
class Chunks:
    """Some frames and what was done from there on."""

    encoder: Gr00tEncoder
    """Completes the observations; it knows their instruction."""

    obs: TensorDict
    """What was kept of the encoded observations, (B, ...), on the model's device."""

    actions: Tensor
    """Demonstrated actions (B, H, A), in the dataset's units. Beyond the end of the episode the last one stands, and 0
    in the keys that are marked as relative, as in GR00T N1.5's own data loader."""

    real: Tensor
    """(B, H) bool: steps that the episode had."""


@dataclass(frozen=True)
class Frames:
    """The frames with one instruction."""

    encoder: Gr00tEncoder
    """For that instruction."""

    places: Tensor
    """Their indices among all frames (N,)."""

    kept: TensorDict
    """What is kept of them, (N, ...)."""


class TrainingData:
    """All frames of some episodes, each with the instruction that it has there.

    GR00T N1.5 attends to padding, so prompts of different lengths do not share a call of the network: what is asked for
    comes in one piece per instruction.

    Args:
        encoder: GR00T, for any instruction.
        dataset: Whose keys may be relative.
        episodes: Episodes of it.
        cameras: Cameras in order.
        memory_per_frame: Bytes above which what is kept of the frames goes to files.
        report: Called with a number of frames when they have been encoded.
    """

    def __init__(
        self,
        encoder: Gr00tEncoder,
        dataset: DemonstrationDataset,
        episodes: Sequence[Demonstration],
        cameras: Sequence[str],
        memory_per_frame: float,
        report: Callable[[int], None],
    ) -> None:
        lengths = torch.tensor([len(one) for one in episodes])
        self._ends = torch.repeat_interleave(lengths.cumsum(0), lengths)
        self._actions = torch.cat([_concatenated(one.action) for one in episodes])
        keys = dataset.modality.action.values()
        self._absolute = torch.tensor([part.absolute for part in keys for _ in range(part.width)])
        places: dict[str, list[int]] = {}
        for place, text in enumerate(text for one in episodes for text in one.instructions):
            places.setdefault(text, []).append(place)
        specs = (dataclasses.replace(encoder.spec, instruction=text) for text in places)
        encoders = [Gr00tEncoder(encoder.freezing, encoder.inputs, spec, encoder.fingerprint) for spec in specs]
        example = _observations(episodes[0], cameras)[:1]
        examples = [(one.encoded_example(example), len(at)) for one, at in zip(encoders, places.values(), strict=True)]
        by_text = {
            text: Frames(one, torch.tensor(places[text]), kept)
            for text, one, kept in zip(places, encoders, allocate(examples, memory_per_frame), strict=True)
        }
        self.parts = list(by_text.values())
        self._starts = np.cumsum([0, *(len(part.places) for part in self.parts)])
        filled = dict.fromkeys(places, 0)
        for one in episodes:
            obs = _observations(one, cameras)
            for text in dict.fromkeys(one.instructions):
                part = by_text[text]
                steps = torch.tensor([known == text for known in one.instructions])
                for rows in obs[steps].split(ENCODED_AT_ONCE):
                    kept = part.encoder.kept(part.encoder.encode(rows.to(str(encoder.model.device))))
                    part.kept[filled[text] : filled[text] + len(rows)] = kept.cpu()
                    filled[text] += len(rows)
                    report(len(rows))

    def __len__(self) -> int:
        return len(self._actions)

    def chunks(self, rows: np.ndarray, horizon: int) -> list[Chunks]:
        """The chunks of H = ``horizon`` actions that begin in some frames, by indices (B,), one piece per instruction
        among them. Indices count the frames of the first instruction, then those of the next."""
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        return [
            self._chunks(self.parts[owner], torch.from_numpy(rows[owners == owner] - self._starts[owner]), horizon)
            for owner in np.unique(owners)
        ]

    def _chunks(self, part: Frames, rows: Tensor, horizon: int) -> Chunks:
        device = part.encoder.model.device
        places = part.places[rows]
        ends = self._ends[places, None]
        steps = places[:, None] + torch.arange(horizon)
        real = steps < ends
        actions = self._actions[steps.minimum(ends - 1)]
        actions = torch.where(real[..., None] | self._absolute, actions, 0.0)
        return Chunks(part.encoder, part.kept[rows].to(device), actions.to(device), real.to(device))


def allocate(rows: Sequence[tuple[TensorDict, int]], memory_per_row: float) -> list[TensorDict]:
    """Room for N rows like each of some examples, to be written and read by index: in memory, or in files in the cache
    folder. Size and place are printed.

    Files lose their names at once, so that nothing remains of them when the process ends, however it ends.

    Args:
        rows: What one row looks like, with a batch size of 1, and N.
        memory_per_row: Bytes per row, on average, above which files are used.

    Raises:
        ValueError: There is no room on that disk.
    """
    count = sum(number for _, number in rows)
    size = sum(number * value.numel() * value.dtype.itemsize for row, number in rows for value in row.values())
    in_memory, directory = size <= memory_per_row * count, cache_directory() / "features"
    place = "in memory" if in_memory else f"in files in {str(directory)!r}"
    print(f"keeping {count} frames: {size / 1024**2:.1f} MiB {place}")
    if in_memory:
        return [row.expand(number).clone() for row, number in rows]
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if size > free:
        raise ValueError(
            f"The features of {count} frames take {size / GIB:.1f} GiB, more memory than --cache-gib leaves for them,"
            f" and {str(directory)!r} has {free / GIB:.1f} GiB free. Raise --cache-gib, use fewer cameras or episodes,"
            " or set GR00T_RL_EXT_CACHE to a directory on a larger disk."
        )
    with tempfile.TemporaryDirectory(dir=directory, prefix="features-") as folder:
        # the maps outlive the names
        return [row.expand(number).memmap_like(f"{folder}/{part}") for part, (row, number) in enumerate(rows)]


def _concatenated(vectors) -> Tensor:
    return torch.from_numpy(np.concatenate(list(vectors.values()), axis=1))


def _observations(one: Demonstration, cameras: Sequence[str]) -> TensorDict:
    """An episode as observations of the task that :func:`spec_of` describes."""
    images = {name: torch.from_numpy(one.images(name)) for name in cameras}
    return TensorDict(images | {STATE: _concatenated(one.state)}, batch_size=[len(one)])
