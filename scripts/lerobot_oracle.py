# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Compare our GR00T N1.7 with LeRobot's: ``./isaaclab.sh -p scripts/lerobot_oracle.py [--checkpoint DIR]``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.lerobot.command import main

if __name__ == "__main__":
    sys.exit(main())
