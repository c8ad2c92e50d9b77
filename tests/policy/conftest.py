# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The tiny GR00T that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_policy import load_encoder

from gr00t_rl_ext.policy.encoder import Gr00tEncoder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other's threads where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tiny checkpoint is built for these tests, not taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def encoder(_own_cache: None) -> Gr00tEncoder:
    """Shared by all tests, which must not change it; its ``calls`` go on counting."""
    return load_encoder()
