# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Demonstrations as the policy reads them: encoded frames, each with the actions that follow it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.imitation.dataset import Demonstration, DemonstrationDataset
from gr00t_rl_ext.imitation.feature_cache import CachePlan, FeatureCache
from gr00t_rl_ext.imitation.layout import DatasetError
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.robot.task_spec import TaskSpec

STATE = "state"
"""Observation group of the state."""

ENCODED_AT_ONCE = 64
"""Frames per call of the backbone."""


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
    for one in dataset:
        result.update(f"{one.index}:{one.instruction}".encode())
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
    """Demonstrated actions (B, H, A), in the dataset's units. Beyond the end of the episode the last one stands, as in
    GR00T N1.5's own data loader for actions that are not marked as relative."""

    real: Tensor
    """(B, H) bool: steps that the episode had."""


class Frames:
    """All frames of some episodes with one instruction.

    Args:
        encoder: For that instruction.
        episodes: The episodes.
        cameras: Cameras in order.
        memory_per_frame: Bytes above which what is kept of the frames goes to a file.
        cache_directory: Folder of that file.
        announce: Called with what will be kept, before it is computed.
        report: Called with a number of frames when they have been encoded.
    """

    def __init__(
        self,
        encoder: Gr00tEncoder,
        episodes: Sequence[Demonstration],
        cameras: Sequence[str],
        *,
        memory_per_frame: float,
        cache_directory: Path,
        announce: Callable[[str], None] = lambda _: None,
        report: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.encoder = encoder
        lengths = [len(one) for one in episodes]
        self._ends = torch.repeat_interleave(torch.tensor(lengths).cumsum(0), torch.tensor(lengths))
        self._actions = torch.cat([_concatenated(one.action) for one in episodes])
        cache, start = None, 0
        for one in episodes:
            obs = _observations(one, cameras)
            if cache is None:
                row = encoder.encoded_example(obs[:1])
                plan = CachePlan.of(row, len(self), memory_per_frame, cache_directory)
                announce(f"keeping {len(self)} frames: {plan.describe()}")
                cache = FeatureCache(row, len(self), plan)
            for part in obs.split(ENCODED_AT_ONCE):
                kept = encoder.kept(encoder.encode(part.to(str(encoder.model.device))))
                cache.write(start, kept)
                start += len(part)
                report(len(part))
        assert cache is not None
        self._cache = cache

    def __len__(self) -> int:
        return len(self._actions)

    def chunks(self, rows: Tensor, horizon: int) -> Chunks:
        """The chunks of H = ``horizon`` actions that begin in some frames, by indices (B,)."""
        device = self.encoder.model.device
        steps = rows[:, None] + torch.arange(horizon)
        real = steps < self._ends[rows, None]
        actions = self._actions[steps.minimum(self._ends[rows, None] - 1)]
        return Chunks(self.encoder, self._cache.read(rows, device), actions.to(device), real.to(device))


class TrainingData:
    """Frames of all instructions.

    GR00T N1.5 attends to padding, so prompts of different lengths do not share a call of the network: what is asked for
    comes in one piece per instruction.
    """

    def __init__(self, parts: Sequence[Frames]) -> None:
        self.parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in self.parts)])

    @classmethod
    def encode(
        cls, encoder: Gr00tEncoder, episodes: Sequence[Demonstration], cameras: Sequence[str], **cache
    ) -> TrainingData:
        """Encode all frames. ``cache`` are the named arguments of :class:`Frames`."""
        by_instruction: dict[str, list[Demonstration]] = {}
        for one in episodes:
            by_instruction.setdefault(one.instruction, []).append(one)
        parts = []
        for instruction, members in by_instruction.items():
            spec = dataclasses.replace(encoder.spec, instruction=instruction)
            own = Gr00tEncoder(encoder.freezing, encoder.inputs, spec, encoder.fingerprint)
            parts.append(Frames(own, members, cameras, **cache))
        return cls(parts)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def chunks(self, rows: np.ndarray, horizon: int) -> list[Chunks]:
        """The chunks that begin in some frames, by indices (B,), one piece per instruction among them."""
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        return [
            self.parts[owner].chunks(torch.from_numpy(rows[owners == owner] - self._starts[owner]), horizon)
            for owner in np.unique(owners)
        ]


def _concatenated(vectors) -> Tensor:
    return torch.from_numpy(np.concatenate(list(vectors.values()), axis=1))


def _observations(one: Demonstration, cameras: Sequence[str]) -> TensorDict:
    """An episode as observations of the task that :func:`spec_of` describes."""
    images = {name: torch.from_numpy(one.images(name)) for name in cameras}
    return TensorDict(images | {STATE: _concatenated(one.state)}, batch_size=[len(one)])
