# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The GR00T model: loading, features, the flow-matching action head and its inputs.

Knows neither Isaac Lab nor rsl_rl. Names are resolved on first use, so that importing the package (for a config that
only names a class) costs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .action_head import ActionHead, ActionHeadConfig, Gr00tContext
    from .backbone import Gr00tFeatures
    from .checkpoint import Gr00tCheckpointError
    from .embodiment import Embodiment, load_embodiment
    from .inputs import Gr00tInputs, load_tokenizer
    from .model import Gr00tConfig, Gr00tModel, load_gr00t
    from .slots import EMBODIMENT_SLOTS
    from .tiny import build_tiny_checkpoint
    from .versions import GR00T_VERSIONS

_EXPORTS = {
    "action_head": ("ActionHead", "ActionHeadConfig", "Gr00tContext"),
    "backbone": ("Gr00tFeatures",),
    "checkpoint": ("Gr00tCheckpointError",),
    "embodiment": ("Embodiment", "load_embodiment"),
    "inputs": ("Gr00tInputs", "load_tokenizer"),
    "model": ("Gr00tConfig", "Gr00tModel", "load_gr00t"),
    "slots": ("EMBODIMENT_SLOTS",),
    "tiny": ("build_tiny_checkpoint",),
    "versions": ("GR00T_VERSIONS",),
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "EMBODIMENT_SLOTS",
    "GR00T_VERSIONS",
    "ActionHead",
    "ActionHeadConfig",
    "Embodiment",
    "Gr00tCheckpointError",
    "Gr00tConfig",
    "Gr00tContext",
    "Gr00tFeatures",
    "Gr00tInputs",
    "Gr00tModel",
    "build_tiny_checkpoint",
    "load_embodiment",
    "load_gr00t",
    "load_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it exports {', '.join(sorted(_MODULES))}")
