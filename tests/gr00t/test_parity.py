# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agreement with the reference implementation of GR00T N1.5, in float32, to 1e-5."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel, load_gr00t

TOLERANCE = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture(params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest, reference_checkpoint: Path) -> Gr00tModel:
    return load_gr00t(reference_checkpoint, embodiment_slot=1, dtype=torch.float32, attn_implementation=request.param)


def encode(model: Gr00tModel, io: dict[str, Tensor]):
    return model.encode(
        pixel_values=io["eagle_pixel_values"],
        input_ids=io["eagle_input_ids"],
        attention_mask=io["eagle_attention_mask"],
    )


def test_features(model: Gr00tModel, reference_io: dict[str, Tensor]):
    features = encode(model, reference_io)
    torch.testing.assert_close(features.tokens, reference_io["backbone_features"], **TOLERANCE)
    assert features.attention_mask.dtype == torch.bool
    assert features.image_mask is not None
    assert int(features.image_mask.sum()) == 3 * 16


def test_context(model: Gr00tModel, reference_io: dict[str, Tensor]):
    context = model.condition(encode(model, reference_io))
    torch.testing.assert_close(context.tokens, reference_io["vl_features"], **TOLERANCE)


def test_sampled_actions(model: Gr00tModel, reference_io: dict[str, Tensor]):
    context = model.condition(encode(model, reference_io))
    actions = model.sample(context, reference_io["state"], reference_io["noise0"])
    torch.testing.assert_close(actions, reference_io["action_pred"], **TOLERANCE)


def test_flow_matching_loss(model: Gr00tModel, reference_io: dict[str, Tensor]):
    loss = model.flow_matching_loss(
        model.condition(encode(model, reference_io)),
        reference_io["state"],
        action=reference_io["action"],
        action_mask=reference_io["action_mask"],
        noise=reference_io["fm_noise"],
        t=reference_io["fm_t"],
    )
    torch.testing.assert_close(loss, reference_io["fm_loss"], **TOLERANCE)


def test_another_slot_gives_other_actions(
    reference_checkpoint: Path, reference_model: Gr00tModel, reference_io: dict[str, Tensor]
):
    other = load_gr00t(reference_checkpoint, embodiment_slot=2, dtype=torch.float32)
    context = reference_model.condition(encode(reference_model, reference_io))
    actions = other.sample(context, reference_io["state"], reference_io["noise0"])
    assert (actions - reference_io["action_pred"]).abs().max() > 1e-2
