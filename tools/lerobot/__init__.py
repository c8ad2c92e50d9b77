# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Our GR00T N1.7 beside LeRobot's, on the same checkpoints and inputs: ``./isaaclab.sh -p scripts/lerobot_oracle.py``.

- ``requirements.in``, ``requirements.lock``: what LeRobot needs;
- ``../layered_environment``: makes the environment that LeRobot runs in, once per user;
- ``reference``: runs in that environment and knows nothing of ours;
- ``models``: checkpoints, their random inputs, and our side of features, actions and loss;
- ``observations``: images, instructions and states, and our side of what the processors make of them;
- ``table``: differences and their bounds;
- ``command``: the command.

The same environment reads our datasets (``scripts/lerobot_dataset_check.py``): ``dataset_reference`` runs in it,
``dataset_command`` is the command.

LeRobot is no dependency of the package and cannot be one: it needs packaging >= 24.2, ovphysx needs packaging < 24.
"""

from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")
"""Pins of LeRobot and what it needs."""
