# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Train an agent with rsl_rl: ``./isaaclab.sh -p scripts/rsl_rl/train.py --task ID --agent gr00t_ppo``."""

import sys

from gr00t_rl_ext.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
