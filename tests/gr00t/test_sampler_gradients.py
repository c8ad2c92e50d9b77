# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gradients of the sampled actions against central finite differences in float64, tensor by tensor, both versions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gr00t_rl_ext.gr00t import load_gr00t

STEP = 1e-5
"""Relative to a direction of unit variance per entry; the truncation error is of order STEP^2."""

DIRECTIONS = 2


@pytest.mark.parametrize("version", ["N1.5", "N1.6", "N1.7"])
def test_sampler_gradients_equal_finite_differences(
    version: str, reference_checkpoint: Path, n1_6_checkpoint: Path, n1_7_checkpoint: Path
):
    """Through all denoising steps; for every parameter of the head, the features, the state and the noise."""
    checkpoints = {"N1.5": (reference_checkpoint, 1), "N1.6": (n1_6_checkpoint, 0), "N1.7": (n1_7_checkpoint, 2)}
    checkpoint, slot = checkpoints[version]
    head = load_gr00t(checkpoint, slot, torch.float64).action_head.requires_grad_(True)
    io = load_file(checkpoint / "ref_io.safetensors")
    if version == "N1.6":
        io = {name.removeprefix("other_grid."): io[name] for name in io if name.startswith("other_grid.")}
        io["noise0"] = io["noise"]
    mask = None if version == "N1.5" else io["image_mask"][:1]
    inputs = {name: io[name][:1].double().requires_grad_() for name in ("backbone_features", "state", "noise0")}
    features, state, noise = inputs.values()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(noise.shape, generator=generator, dtype=torch.float64)

    def objective() -> Tensor:
        return (head.sample(head.condition(features, image_mask=mask), state, noise) * weights).sum()

    tensors = dict(head.named_parameters()) | inputs
    gradients = torch.autograd.grad(objective(), list(tensors.values()))
    flat = set()
    for (name, tensor), gradient in zip(tensors.items(), gradients, strict=True):
        for _ in range(DIRECTIONS):
            direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            values = []
            with torch.no_grad():
                before = tensor.clone()
                for sign in (1, -1):
                    tensor.copy_(before + sign * STEP * direction)
                    values.append(float(objective()))
                tensor.copy_(before)
            analytic = float((gradient * direction).sum())
            assert (values[0] - values[1]) / (2 * STEP) == pytest.approx(analytic, rel=1e-5, abs=1e-7), name
            if abs(analytic) < 1e-9:
                flat.add(name)
    # a bias common to all keys shifts all scores of a query alike, which softmax does not see
    assert flat == {name for name in tensors if name.endswith("to_k.bias")}
