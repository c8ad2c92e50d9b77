# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Compare our GR00T with NVIDIA's own package: ``./isaaclab.sh -p scripts/gr00t_oracle.py CHECKOUT``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.gr00t_oracle.command import main

if __name__ == "__main__":
    sys.exit(main())
