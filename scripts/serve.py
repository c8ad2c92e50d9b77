# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Serve a policy in GR00T's own protocol: ``./isaaclab.sh -p scripts/serve.py RUN_OR_CHECKPOINT``."""

import sys

from gr00t_rl_ext.cli.serve import main

if __name__ == "__main__":
    sys.exit(main())
