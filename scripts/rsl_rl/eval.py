# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Evaluate policies: ``./isaaclab.sh -p scripts/rsl_rl/eval.py --task ID --agent gr00t_ppo --checkpoint base RUN``."""

import sys

from gr00t_rl_ext.cli.eval import main

if __name__ == "__main__":
    sys.exit(main())
