# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The functions of the package flash_attn that NVIDIA's code calls, by torch's exact attention; on any device."""

from __future__ import annotations

import importlib.machinery
import itertools
import sys
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CLAIMED = "2.7.4"
"""Version that it claims to be."""


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    **_: Any,
) -> Tensor:
    """``flash_attn_func``: (B, S, heads, D) each."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=softmax_scale, is_causal=causal, enable_gqa=True).transpose(
        1, 2
    )


def attend_packed(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    **_: Any,
) -> Tensor:
    """``flash_attn_varlen_func``: sequences one after the other, (tokens, heads, D) each."""
    pieces = ([*itertools.pairwise(ends.tolist())] for ends in (cu_seqlens_q, cu_seqlens_k))
    return torch.cat(
        [
            attend(q[None, q0:q1], k[None, k0:k1], v[None, k0:k1], 0.0, softmax_scale, causal)[0]
            for (q0, q1), (k0, k1) in zip(*pieces, strict=True)
        ]
    )


def unpad(x: Tensor, mask: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
    """``unpad_input``: (B, S, ...) -> the tokens that a mask (B, S) leaves, their places, ends, and lengths."""
    lengths = mask.sum(dim=-1, dtype=torch.int32)
    places = mask.flatten().nonzero().flatten()
    return (
        x.flatten(0, 1)[places],
        places,
        F.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0)),
        int(lengths.max()),
        lengths,
    )


def pad(x: Tensor, places: Tensor, batch: int, length: int) -> Tensor:
    """``pad_input``, its inverse: 0 elsewhere."""
    padded = x.new_zeros(batch * length, *x.shape[1:])
    padded[places] = x
    return padded.view(batch, length, *x.shape[1:])


def install() -> None:
    """Make it the package flash_attn of this process, and transformers believe that there is one."""
    contents: dict[str, dict[str, Any]] = {
        "flash_attn": {
            "__version__": CLAIMED,
            "flash_attn_func": attend,
            "flash_attn_varlen_func": attend_packed,
            "flash_attn_varlen_qkvpacked_func": None,
        },
        "flash_attn.flash_attn_interface": {"flash_attn_varlen_qkvpacked_func": None},
        "flash_attn.bert_padding": {
            "index_first_axis": lambda x, places: x[places],
            "pad_input": pad,
            "unpad_input": unpad,
        },
        "flash_attn.layers": {},
        "flash_attn.layers.rotary": {"apply_rotary_emb": None},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        vars(module).update(content)
        sys.modules[name] = module

    import transformers.utils
    import transformers.utils.import_utils

    for place in (transformers.utils, transformers.utils.import_utils):
        for name in (
            "is_flash_attn_2_available",
            "is_flash_attn_greater_or_equal",
            "is_flash_attn_greater_or_equal_2_10",
        ):
            setattr(place, name, lambda *_: True)
