# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Attributes of other people's objects that are something else for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(place: Any, name: str, value: Any) -> Iterator[None]:
    """Let an object have another attribute. What it had itself, be it of somebody who did the same, comes back."""
    own = vars(place)
    had, before = name in own, own.get(name)
    setattr(place, name, value)
    try:
        yield
    finally:
        if had:
            setattr(place, name, before)
        else:
            delattr(place, name)
