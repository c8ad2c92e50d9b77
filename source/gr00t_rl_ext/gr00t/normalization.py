# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Raw states and actions <-> the network's range, by the statistics of a checkpoint.

The rules of the modes, those for dimensions without spread included, were read in NVIDIA/Isaac-GR00T:
``gr00t/data/transform/state_action.py`` (N1.5), ``gr00t/data/state_action/state_action_processor.py`` and
``gr00t/data/utils.py`` (N1.7).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .rotations import ROTATIONS, convert

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


def _from_unit_range(y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return (y + 1) / 2 * (high - low) + low


def _normalize_min_max(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["min"] == s["max"], 0.0, _to_unit_range(x, s["min"], s["max"]))


def _normalize_q99(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["q01"] == s["q99"], x, _to_unit_range(x, s["q01"], s["q99"])).clamp(-1, 1)


def _normalize_mean_std(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["std"] == 0, x, (x - s["mean"]) / torch.where(s["std"] == 0, 1.0, s["std"]))


def _bounded(low: str, high: str) -> NormalizationMode:
    """GR00T N1.7's normalisation: linear to [-1, 1], to which what the network says is clipped; 0 without spread."""

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        return torch.where(torch.isclose(s[high], s[low]), 0.0, _to_unit_range(x, s[low], s[high]))

    return NormalizationMode((low, high), normalize, lambda y, s: _from_unit_range(y.clamp(-1, 1), s[low], s[high]))


_PASSING = NormalizationMode(
    ("mean", "std"), _normalize_mean_std, lambda y, s: torch.where(s["std"] == 0, y, y * s["std"] + s["mean"])
)
"""GR00T N1.7's ``mean_std_embedding_keys`` of actions: dimensions without spread pass both ways."""


def _clipped(mode: NormalizationMode) -> NormalizationMode:
    """The mode with what the network is told clipped to [-1, 1] (N1.7's ``clip_outliers``)."""
    return dataclasses.replace(mode, normalize=lambda x, s: mode.normalize(x, s).clamp(-1, 1))


NORMALIZATION_MODES: Mapping[str, NormalizationMode] = {
    "min_max": NormalizationMode(
        ("min", "max"), _normalize_min_max, lambda y, s: _from_unit_range(y, s["min"], s["max"])
    ),
    "q99": NormalizationMode(("q01", "q99"), _normalize_q99, lambda y, s: _from_unit_range(y, s["q01"], s["q99"])),
    "mean_std": NormalizationMode(("mean", "std"), _normalize_mean_std, lambda y, s: y * s["std"] + s["mean"]),
    "binary": NormalizationMode((), lambda x, _: (x > 0.5).to(x.dtype), lambda y, _: (y > 0.5).to(y.dtype)),
    "none": NormalizationMode((), lambda x, _: x, lambda y, _: y),
    "sin_cos": NormalizationMode((), lambda x, _: torch.cat([x.sin(), x.cos()], dim=-1), None, expansion=2),
    "min_max_bounded": _clipped(_bounded("min", "max")),
    "min_max_bounded_output": _bounded("min", "max"),
    "q99_bounded": _clipped(_bounded("q01", "q99")),
    "q99_bounded_output": _bounded("q01", "q99"),
    "mean_std_bounded_input": _clipped(_PASSING),
    "mean_std_passing": _PASSING,
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

    rotation: tuple[str, str] | None = None
    """Representation of a rotation that the raw key has, and the one that is normalised, entries of
    ``rotations.ROTATIONS``. None: the key is no rotation, or stays as it is."""

    @property
    def width(self) -> int:
        """Normalised dimensions."""
        dim = self.dim if self.rotation is None else ROTATIONS[self.rotation[1]]
        return dim * NORMALIZATION_MODES[self.mode].expansion

    def bounds(self) -> Statistics | None:
        """Fixed bounds by which a converted rotation is normalised; None: by the key's statistics."""
        if self.rotation is None:
            return None
        is_angle = self.rotation[1].startswith(("axis_angle", "euler"))
        high = torch.full((ROTATIONS[self.rotation[1]],), math.pi if is_angle else 1.0)
        return {"min": -high, "max": high}


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
        self.dim = sum(spec.width for spec in self.specs)
        self.device = device
        self._statistics = {
            key: {name: torch.as_tensor(value, dtype=torch.float32, device=device) for name, value in of_key.items()}
            for key, of_key in statistics.items()
        }
        self._scales = dict(self._statistics)
        for spec in self.specs:
            if (bounds := spec.bounds()) is not None:
                self._scales[spec.key] = {name: value.to(device) for name, value in bounds.items()}
        read = [self._scales[s.key][name] for s in self.specs for name in NORMALIZATION_MODES[s.mode].statistics]
        self.max_steps = min((value.shape[0] for value in read if value.ndim == 2), default=None)
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
            mode, s = NORMALIZATION_MODES[spec.mode], self._statistics[spec.key]
            ends = torch.full((2, spec.dim), torch.nan, device=self.device)
            if names := [pair for pair in (("min", "max"), ("q01", "q99")) if all(name in s for name in pair)]:
                ends = torch.stack([s[name] for name in names[0]])
            elif "std" in s:
                ends = torch.stack([s["mean"] - 3 * s["std"], s["mean"] + 3 * s["std"]])
            low, high = mode.normalize(ends, s) if spec.width == spec.dim and spec.rotation is None else ends
            limits.append(torch.where(low == high, torch.nan, ends))
        return torch.cat(limits, dim=-1)

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
        out = []
        for spec, part, statistics in self._parts(x, [spec.dim for spec in self.specs]):
            part = part if spec.rotation is None else convert(part, *spec.rotation)
            out.append(NORMALIZATION_MODES[spec.mode].normalize(part, statistics))
        return torch.cat(out, dim=-1)

    def denormalize(self, y: Tensor) -> Tensor:
        """Normalised (..., at least dim), padding last -> raw (..., raw_dim), float32."""
        if y.shape[-1] < self.dim:
            raise ValueError(f"got {y.shape[-1]} values in {tuple(y.shape)}; expected {self.dim}: {self.describe()}")
        self._check_steps(y)
        out = []
        for spec, part, statistics in self._parts(y[..., : self.dim], [spec.width for spec in self.specs]):
            denormalize = NORMALIZATION_MODES[spec.mode].denormalize
            if denormalize is None:
                raise ValueError(f"this vector cannot be denormalised, a mode has no inverse: {self.describe()}")
            part = denormalize(part, statistics)
            out.append(part if spec.rotation is None else convert(part, *reversed(spec.rotation)))
        return torch.cat(out, dim=-1)

    def _parts(self, x: Tensor, widths: Sequence[int]) -> Iterator[tuple[VectorSpec, Tensor, Statistics]]:
        """Columns and statistics of each key; statistics that have rows, for the steps of ``x`` (..., H, D)."""
        for spec, part in zip(self.specs, x.float().split(list(widths), dim=-1), strict=True):
            statistics = self._scales[spec.key].items()
            rows = {name: value if value.ndim == 1 else value[: x.shape[-2]] for name, value in statistics}
            yield spec, part, rows

    def _check_steps(self, x: Tensor) -> None:
        if self.max_steps is not None and (x.ndim < 2 or x.shape[-2] > self.max_steps):
            raise ValueError(
                f"got {tuple(x.shape)}; expected (..., steps, values) with at most {self.max_steps} steps, for which "
                f"there are statistics: {self.describe()}"
            )

    def describe(self) -> str:
        turned = {spec.key: "" if spec.rotation is None else f", {' to '.join(spec.rotation)}" for spec in self.specs}
        return ", ".join(f"{spec.key} ({spec.dim}, {spec.mode}{turned[spec.key]})" for spec in self.specs)
