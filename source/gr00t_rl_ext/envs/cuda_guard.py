# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Let ``isaaclab_ov`` start on a machine without CUDA.

Written for isaaclab 3.0.0 with ovphysx 0.6.4. ``isaaclab_ov`` allocates its CPU staging buffers with
``wp.zeros(..., device="cpu", pinned=True)`` and ``wp.empty(..., pinned=True)`` in 18 places, without a switch.
Page-locked memory is a service of the CUDA driver, so Warp raises where there is none; there, the pinning has no use
either, because nothing is copied to a device.

:func:`install` wraps just these two functions to drop ``pinned``. ``tests/envs/test_cuda_guard.py`` fails when the
installed ``isaaclab_ov`` no longer needs it: this module can then go.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MARK = "_gr00t_rl_ext_without_pinned"


def install() -> bool:
    """Make ``warp.zeros`` and ``warp.empty`` ignore ``pinned`` on a machine without CUDA; returns whether they do.

    Idempotent, and without effect where CUDA is available. Call it before an environment is created.
    """
    import warp as wp

    if wp.is_cuda_available():
        return False
    for name in ("zeros", "empty"):
        allocate = getattr(wp, name)
        if not hasattr(allocate, _MARK):
            setattr(wp, name, _without_pinned(allocate))
    return True


def _without_pinned(allocate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(allocate)
    def unpinned(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("pinned", None)
        return allocate(*args, **kwargs)

    setattr(unpinned, _MARK, True)
    return unpinned
