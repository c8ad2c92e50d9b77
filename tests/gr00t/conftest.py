# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints that the tests of the model share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel, build_tiny_checkpoint, load_gr00t

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def reference_checkpoint() -> Path:
    """Tiny N1.5 written by the reference implementation; its outputs are for slot 1."""
    return DATA / "gr00t_n1_5_tiny"


@pytest.fixture(scope="session")
def n1_6_checkpoint() -> Path:
    """Tiny N1.6 written by the reference implementation."""
    return DATA / "gr00t_n1_6_tiny"


@pytest.fixture(scope="session")
def n1_7_checkpoint() -> Path:
    """Tiny N1.7 written by the reference implementation; its outputs are for slot 2."""
    return DATA / "gr00t_n1_7_tiny"


@pytest.fixture(scope="session")
def reference_io(reference_checkpoint: Path) -> dict[str, Tensor]:
    """Inputs and outputs of the reference implementation."""
    return load_file(reference_checkpoint / "ref_io.safetensors")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own tiny checkpoint. Not to be changed; tests that damage one take ``tiny_copy``."""
    return build_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture
def tiny_copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


@pytest.fixture
def reference_model(reference_checkpoint: Path) -> Gr00tModel:
    return load_gr00t(reference_checkpoint, embodiment_slot=1, dtype=torch.float32)


@pytest.fixture
def tiny_model(tiny_checkpoint: Path) -> Gr00tModel:
    return load_gr00t(tiny_checkpoint, dtype=torch.float32)
