# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Play a policy: ``./isaaclab.sh -p scripts/rsl_rl/play.py --task ID --agent gr00t_ppo --checkpoint latest``."""

import sys

from gr00t_rl_ext.cli.play import main

if __name__ == "__main__":
    sys.exit(main())
