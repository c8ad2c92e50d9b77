# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Assets of the direct environments."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cartpole_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cartpole of Newton's examples. Its default prim is misspelt there (newton 1.6.1), so it is named here."""
    import newton
    from pxr import Usd

    example = Path(newton.__file__).parent / "examples" / "assets" / "cartpole_single_pendulum.usda"
    file = tmp_path_factory.mktemp("cartpole") / "cartpole.usda"
    stage = Usd.Stage.CreateNew(str(file))
    robot = stage.DefinePrim("/cartpole", "Xform")
    robot.GetReferences().AddReference(str(example), "/cartpole")
    stage.SetDefaultPrim(robot)
    stage.Save()
    return file
