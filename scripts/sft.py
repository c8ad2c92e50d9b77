# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Fine-tune on demonstrations: ``./isaaclab.sh -p scripts/sft.py --dataset DIR --checkpoint small --out OUT``."""

import sys

from gr00t_rl_ext.cli.sft import main

if __name__ == "__main__":
    sys.exit(main())
