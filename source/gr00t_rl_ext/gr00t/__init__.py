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
    from .checkpoint import Gr00tCheckpointError
    from .embodiment import EMBODIMENT_SLOTS, Embodiment, load_embodiment
    from .inputs import Gr00tInputs, load_tokenizer
    from .model import GR00T_VERSIONS, Gr00tConfig, Gr00tFeatures, Gr00tModel, load_gr00t
    from .tiny import build_tiny_checkpoint

_EXPORTS = {
    "ActionHead": "action_head",
    "ActionHeadConfig": "action_head",
    "Gr00tContext": "action_head",
    "Gr00tCheckpointError": "checkpoint",
    "EMBODIMENT_SLOTS": "embodiment",
    "Embodiment": "embodiment",
    "load_embodiment": "embodiment",
    "Gr00tInputs": "inputs",
    "load_tokenizer": "inputs",
    "GR00T_VERSIONS": "model",
    "Gr00tConfig": "model",
    "Gr00tFeatures": "model",
    "Gr00tModel": "model",
    "load_gr00t": "model",
    "build_tiny_checkpoint": "tiny",
}

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
    if name in _EXPORTS:
        return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it exports {', '.join(sorted(_EXPORTS))}")
