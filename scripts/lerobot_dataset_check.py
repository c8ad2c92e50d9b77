# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Let LeRobot read a dataset and compare: ``./isaaclab.sh -p scripts/lerobot_dataset_check.py DATASET``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.lerobot.dataset_command import main

if __name__ == "__main__":
    sys.exit(main())
