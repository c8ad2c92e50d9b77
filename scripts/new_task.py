# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Write a task file over a task of Isaac Lab: ``./isaaclab.sh -p scripts/new_task.py --base ID --out FILE``."""

import sys

from gr00t_rl_ext.cli.new_task import main

if __name__ == "__main__":
    sys.exit(main())
