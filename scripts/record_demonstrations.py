# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Record demonstrations: ``./isaaclab.sh -p scripts/record_demonstrations.py --task ID --episodes 50 --out DIR``."""

import sys

from gr00t_rl_ext.cli.record import main

if __name__ == "__main__":
    sys.exit(main())
