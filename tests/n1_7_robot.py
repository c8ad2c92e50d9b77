# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A tiny GR00T N1.7 whose robot has round statistics and a chunk of 5 actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gr00t_rl_ext.gr00t import build_tiny_checkpoint

TAG = "my_robot"
HORIZON = 5
_STATISTICS = {"min": -2.0, "max": 2.0, "mean": 0.0, "std": 0.5, "q01": -1.0, "q99": 1.0}


def n1_7_robot(directory: Path, state_keys: Mapping[str, int], action_keys: Mapping[str, int], **options: Any) -> Path:
    """Write the checkpoint; ``options`` go into ``processor_kwargs``."""
    build_tiny_checkpoint(
        directory,
        version="N1.7",
        state_keys=state_keys,
        action_keys=action_keys,
        embodiment_tag=TAG,
        horizon=8,
        max_state_dim=16,
        max_action_dim=12,
    )

    def statistics(keys: Mapping[str, int]) -> dict[str, dict[str, list[float]]]:
        return {key: {name: [value] * dim for name, value in _STATISTICS.items()} for key, dim in keys.items()}

    content = {TAG: {"state": statistics(state_keys), "action": statistics(action_keys)}}
    (directory / "statistics.json").write_text(json.dumps(content))
    file = directory / "processor_config.json"
    processor = json.loads(file.read_text())
    processor["processor_kwargs"] |= options
    processor["processor_kwargs"]["modality_configs"][TAG]["action"]["delta_indices"] = list(range(HORIZON))
    file.write_text(json.dumps(processor))
    return directory
