# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Export a run to a GR00T checkpoint: ``./isaaclab.sh -p scripts/export_gr00t.py RUN_DIR OUT``."""

import sys

from gr00t_rl_ext.cli.export import main

if __name__ == "__main__":
    sys.exit(main())
