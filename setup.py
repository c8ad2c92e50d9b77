# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Build script: takes the version and the description from the extension's manifest.

Isaac Lab reads ``config/extension.toml``, pip reads the metadata built here, and both must agree, so the
manifest is the only place where the version is written. Everything else is declared in ``pyproject.toml``.
"""

import tomllib
from pathlib import Path

from setuptools import setup

manifest = tomllib.loads((Path(__file__).parent / "config" / "extension.toml").read_text(encoding="utf-8"))

setup(version=manifest["package"]["version"], description=manifest["package"]["description"])
