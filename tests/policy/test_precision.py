# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""precision: the format that a device computes fast in, and names of formats."""

from __future__ import annotations

import pytest
import torch

from gr00t_rl_ext.policy.precision import dtype_of, half_precision


def gpu_with_bf16(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    # torch emulates bf16 on older GPUs, slowly, and says so only if asked
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_it or including_emulation)


def test_a_gpu_without_bf16_takes_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_with_bf16(monkeypatch, False)
    assert half_precision("cuda:0") == dtype_of("auto", "cuda:0") == torch.float16
    gpu_with_bf16(monkeypatch, True)
    assert half_precision("cuda:0") == dtype_of("auto", "cuda") == torch.bfloat16


def test_a_cpu_takes_fp32_and_bf16_where_half_precision_is_asked_for() -> None:
    assert dtype_of("auto", "cpu") == torch.float32
    assert half_precision("cpu") == torch.bfloat16


def test_formats_by_name() -> None:
    assert dtype_of("float16", "cpu") == torch.float16
    assert dtype_of("bfloat16", "cpu") == torch.bfloat16
    with pytest.raises(ValueError, match=r"`gr00t.dtype` is 'bf16'; expected 'auto', 'float32', 'bfloat16', 'float16'"):
        dtype_of("bf16", "cpu")
