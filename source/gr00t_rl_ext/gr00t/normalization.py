# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Raw states and actions <-> the network's range, by the statistics of a checkpoint.

The rules of the modes, those for dimensions without spread included, were read in NVIDIA/Isaac-GR00T:
``gr00t/data/transform/state_action.py`` (N1.5), ``gr00t/data/state_action/state_action_processor.py`` and
``gr00t/data/utils.py`` (N1.7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Statistics = Mapping[str, Tensor]
"""Name of a statistic -> its value per dimension, (D,), or per step of a chunk and dimension, (H, D)."""


@dataclass(frozen=True)
class NormalizationMode:
    """One way to map raw values to the network's range."""

    statistics: tuple[str, ...]
    """Statistics it reads."""

    normalize: Callable[[Tensor, Statistics], Tensor]
    """Raw (..., D) -> normalised (..., D x ``expansion``)."""

    denormalize: Callable[[Tensor, Statistics], Tensor] | None
    """Its inverse; None where there is none, so that the mode fits states only."""

    expansion: int = 1
    """Normalised dimensions per raw dimension."""


def _to_unit_range(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    span = high - low
    return 2 * (x - low) / torch.where(span == 0, 1.0, span) - 1


def _normalize_min_max(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["min"] == s["max"], 0.0, _to_unit_range(x, s["min"], s["max"]))


def _normalize_q99(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["q01"] == s["q99"], x, _to_unit_range(x, s["q01"], s["q99"])).clamp(-1, 1)


def _normalize_mean_std(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["std"] == 0, x, (x - s["mean"]) / torch.where(s["std"] == 0, 1.0, s["std"]))


def _bounded(low: str, high: str, *, clip: bool) -> NormalizationMode:
    """GR00T N1.7's normalisation: linear to [-1, 1]; 0 for dimensions without spread.

    What the network says is clipped to that range, and what it is told, where ``clip`` (N1.7's ``clip_outliers``).
    """

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        no_spread = torch.isclose(s[high], s[low])
        y = torch.where(no_spread, 0.0, _to_unit_range(x, s[low], s[high]))
        return y.clamp(-1, 1) if clip else y

    return NormalizationMode(
        (low, high), normalize, lambda y, s: (y.clamp(-1, 1) + 1) / 2 * (s[high] - s[low]) + s[low]
    )


def _standardized(*, clip: bool) -> NormalizationMode:
    """GR00T N1.7's ``mean_std_embedding_keys`` of actions: dimensions without spread pass both ways.

    What the network says is not clipped; what it is told is clipped to [-1, 1] where ``clip``.
    """

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        y = _normalize_mean_std(x, s)
        return y.clamp(-1, 1) if clip else y

    return NormalizationMode(
        ("mean", "std"), normalize, lambda y, s: torch.where(s["std"] == 0, y, y * s["std"] + s["mean"])
    )


NORMALIZATION_MODES: Mapping[str, NormalizationMode] = {
    "min_max": NormalizationMode(
        ("min", "max"), _normalize_min_max, lambda y, s: (y + 1) / 2 * (s["max"] - s["min"]) + s["min"]
    ),
    "q99": NormalizationMode(
        ("q01", "q99"), _normalize_q99, lambda y, s: (y + 1) / 2 * (s["q99"] - s["q01"]) + s["q01"]
    ),
    "mean_std": NormalizationMode(("mean", "std"), _normalize_mean_std, lambda y, s: y * s["std"] + s["mean"]),
    "binary": NormalizationMode((), lambda x, _: (x > 0.5).to(x.dtype), lambda y, _: (y > 0.5).to(y.dtype)),
    "sin_cos": NormalizationMode((), lambda x, _: torch.cat([x.sin(), x.cos()], dim=-1), None, expansion=2),
    "min_max_bounded": _bounded("min", "max", clip=True),
    "min_max_bounded_output": _bounded("min", "max", clip=False),
    "q99_bounded": _bounded("q01", "q99", clip=True),
    "q99_bounded_output": _bounded("q01", "q99", clip=False),
    "mean_std_bounded_input": _standardized(clip=True),
    "mean_std_passing": _standardized(clip=False),
}
"""Modes by name: those of GR00T N1.5 as its data configs call them, and those of N1.7, which has no names for them."""


@dataclass(frozen=True)
class VectorSpec:
    """One key of a state or action vector."""

    key: str
    """Name in the checkpoint's statistics."""

    dim: int
    """Raw dimensions."""

    mode: str = "min_max"
    """Entry of :data:`NORMALIZATION_MODES`."""


@dataclass(frozen=True)
class _Segment:
    """Adjacent keys of one mode, treated at once."""

    mode: NormalizationMode
    raw_dim: int
    statistics: Statistics


class VectorNormalizer:
    """Normalises a vector made of keys.

    Args:
        specs: The keys in the order of the vector.
        statistics: Per key, the statistics that the key's mode reads, (dim,) each, or (H, dim): one row per step.
        device: Where it computes.
    """

    def __init__(
        self,
        specs: Sequence[VectorSpec],
        statistics: Mapping[str, Mapping[str, Any]],
        device: torch.device | str = "cpu",
    ) -> None:
        self.specs = tuple(specs)
        self.raw_dim = sum(spec.dim for spec in self.specs)
        self.dim = sum(spec.dim * NORMALIZATION_MODES[spec.mode].expansion for spec in self.specs)
        self.device = device
        self._statistics = statistics
        self._segments: list[_Segment] = []
        start = 0
        while start < len(self.specs):
            mode = NORMALIZATION_MODES[self.specs[start].mode]
            stop = start + 1
            # an expanding mode keeps its keys apart: it doubles each of them, [sin a, cos a, sin b, cos b]
            while stop < len(self.specs) and self.specs[stop].mode == self.specs[start].mode and mode.expansion == 1:
                stop += 1
            part = self.specs[start:stop]
            values = {
                name: _join([torch.as_tensor(statistics[s.key][name], dtype=torch.float32) for s in part]).to(device)
                for name in mode.statistics
            }
            self._segments.append(_Segment(mode, sum(s.dim for s in part), values))
            start = stop
        steps = [value.shape[0] for s in self._segments for value in s.statistics.values() if value.ndim == 2]
        self.max_steps = min(steps, default=None)
        """Steps that the statistics describe, in the second last axis; None where they hold for any number."""

    def to(self, device: torch.device | str) -> VectorNormalizer:
        return VectorNormalizer(self.specs, self._statistics, device)

    def limits(self) -> Tensor:
        """Least and greatest raw value in the data that the statistics are of, (2, raw_dim), as far as they tell.

        Without extremes, percentiles stand for them, or the mean and three standard deviations to both sides. NaN where
        nothing is known, and where a mode maps both to one value, as it does with what never moved.
        """
        limits = []
        for spec in self.specs:
            mode, given = NORMALIZATION_MODES[spec.mode], self._statistics[spec.key]
            s = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in given.items()}
            ends = torch.full((2, spec.dim), torch.nan)
            if names := [pair for pair in (("min", "max"), ("q01", "q99")) if all(name in s for name in pair)]:
                ends = torch.stack([s[name] for name in names[0]])
            elif "std" in s:
                ends = torch.stack([s["mean"] - 3 * s["std"], s["mean"] + 3 * s["std"]])
            low, high = mode.normalize(ends, s) if mode.expansion == 1 else ends
            limits.append(torch.where(low == high, torch.nan, ends))
        return torch.cat(limits, dim=-1).to(self.device)

    def slices(self) -> dict[str, slice]:
        """Where each key stands in the raw vector."""
        result, start = {}, 0
        for spec in self.specs:
            result[spec.key] = slice(start, start + spec.dim)
            start += spec.dim
        return result

    def normalize(self, x: Tensor) -> Tensor:
        """Raw (..., raw_dim) -> (..., dim), float32."""
        if x.shape[-1] != self.raw_dim:
            raise ValueError(
                f"got {x.shape[-1]} values in {tuple(x.shape)}; expected {self.raw_dim}: {self.describe()}"
            )
        self._check_steps(x)
        parts = x.float().split([segment.raw_dim for segment in self._segments], dim=-1)
        return torch.cat(
            [
                segment.mode.normalize(part, _rows_of(segment.statistics, part))
                for part, segment in zip(parts, self._segments, strict=True)
            ],
            dim=-1,
        )

    def denormalize(self, y: Tensor) -> Tensor:
        """Normalised (..., at least dim), padding last -> raw (..., raw_dim), float32."""
        if y.shape[-1] < self.dim:
            raise ValueError(f"got {y.shape[-1]} values in {tuple(y.shape)}; expected {self.dim}: {self.describe()}")
        self._check_steps(y)
        parts = y[..., : self.dim].float().split([s.raw_dim * s.mode.expansion for s in self._segments], dim=-1)
        out = []
        for part, segment in zip(parts, self._segments, strict=True):
            if segment.mode.denormalize is None:
                raise ValueError(f"this vector cannot be denormalised, a mode has no inverse: {self.describe()}")
            out.append(segment.mode.denormalize(part, _rows_of(segment.statistics, part)))
        return torch.cat(out, dim=-1)

    def _check_steps(self, x: Tensor) -> None:
        if self.max_steps is not None and (x.ndim < 2 or x.shape[-2] > self.max_steps):
            raise ValueError(
                f"got {tuple(x.shape)}; expected (..., steps, values) with at most {self.max_steps} steps, for which "
                f"there are statistics: {self.describe()}"
            )

    def describe(self) -> str:
        return ", ".join(f"{spec.key} ({spec.dim}, {spec.mode})" for spec in self.specs)


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Statistics (D_i,) or (H, D_i) of adjacent keys -> (D,), or (H, D) where one of them has rows."""
    rows = [part.shape[0] for part in parts if part.ndim == 2]
    return torch.cat([part.expand(min(rows), -1) if rows and part.ndim == 1 else part for part in parts], dim=-1)


def _rows_of(statistics: Statistics, x: Tensor) -> Statistics:
    """The rows that belong to the steps of ``x`` (..., H, D)."""
    return {name: value if value.ndim == 1 else value[: x.shape[-2]] for name, value in statistics.items()}
