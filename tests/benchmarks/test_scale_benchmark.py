# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""benchmarks/scale.py: the bytes are those of what trains, the times those of a ring."""

from __future__ import annotations

import pytest
import scale
from memory import Setting

SMALL = {"sixteenths": 2, "depth": 0.25}


def test_a_ring_sends_nearly_twice_the_bytes() -> None:
    assert scale.seconds(450_000_000, "8 GPUs, NVLink") == pytest.approx(2 * 7 / 8 * 1e-3)
    assert scale.seconds(50_000_000, "64 GPUs, 400 Gb/s each") == pytest.approx(2 * 63 / 64 * 1e-3)


@pytest.mark.parametrize("trained", ["steering", "dit_lora", "dit"])
def test_what_is_frozen_is_not_sent(trained: str) -> None:
    setting = Setting(trained, shape=SMALL)
    algorithm = setting.build(setting.observe(1), 2, num_mini_batches=2)
    networks = [*algorithm._networks().values(), algorithm.encoder.model]
    trains = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    sizes = {id(parameter): parameter.numel() * 4 for parameter in trains}
    assert scale.reduced_bytes(setting) == sum(sizes.values()) > 0
