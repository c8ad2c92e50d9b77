# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The guard for machines without CUDA, and whether it is still needed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest
import warp as wp

from gr00t_rl_ext.envs import cuda_guard

TRIED_VERSIONS = {"isaaclab": "3.0.0", "ovphysx": "0.6.4"}


@pytest.fixture
def warp_functions(monkeypatch):
    """Restore Warp's own functions after the test."""
    for name in ("zeros", "empty"):
        original = getattr(wp, name)
        monkeypatch.setattr(wp, name, getattr(original, "__wrapped__", original))


def test_pinned_allocation_works_after_install(warp_functions, monkeypatch):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    assert cuda_guard.install()
    assert wp.zeros(3, dtype=wp.float32, device="cpu", pinned=True).numpy().tolist() == [0.0, 0.0, 0.0]
    assert wp.empty((2, 2), dtype=wp.int32, device="cpu", pinned=True).shape == (2, 2)


def test_install_is_idempotent(warp_functions, monkeypatch):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: False)
    cuda_guard.install()
    first = wp.zeros, wp.empty
    assert cuda_guard.install()
    assert (wp.zeros, wp.empty) == first


def test_nothing_changes_where_cuda_is_available(warp_functions, monkeypatch):
    monkeypatch.setattr(wp, "is_cuda_available", lambda: True)
    before = wp.zeros, wp.empty
    assert not cuda_guard.install()
    assert (wp.zeros, wp.empty) == before


@pytest.mark.skipif(wp.is_cuda_available(), reason="Warp refuses pinned memory only without CUDA")
def test_warp_still_refuses_pinned_memory_without_cuda(warp_functions):
    with pytest.raises(RuntimeError):
        wp.zeros(3, dtype=wp.float32, device="cpu", pinned=True)


def test_upstream_still_needs_the_guard():
    spec = importlib.util.find_spec("isaaclab_ov")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("isaaclab_ov is not installed")
    sources = Path(spec.submodule_search_locations[0]).rglob("*.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    assert "pinned=True" in text, (
        "isaaclab_ov no longer allocates pinned memory: remove envs/cuda_guard.py, this file and the calls of install()"
    )
    other = set(re.findall(r"wp\.(\w+)\([^()]*(?:\([^()]*\)[^()]*)*pinned=True", text)) - {"zeros", "empty"}
    assert not other, f"isaaclab_ov now also pins memory through {sorted(other)}, which the guard does not cover"


@pytest.mark.parametrize(("distribution", "tried"), TRIED_VERSIONS.items())
def test_guard_was_tried_with_the_installed_version(distribution, tried):
    try:
        installed = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    assert f"{installed}.".startswith(f"{tried}."), (
        f"{distribution} {installed} is installed, the guard was tried with {tried}: check whether isaaclab_ov starts "
        "without CUDA and without envs/cuda_guard.py, then remove the guard or raise the version here and there"
    )
