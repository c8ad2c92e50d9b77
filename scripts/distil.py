# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a run learnt beside GR00T becomes part of GR00T: ``./isaaclab.sh -p scripts/distil.py RUN OUT``."""

import sys

from gr00t_rl_ext.cli.distil import main

if __name__ == "__main__":
    sys.exit(main())
