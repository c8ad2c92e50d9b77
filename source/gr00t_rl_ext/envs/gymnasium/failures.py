# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What can go wrong with environments in processes of their own."""


class WorkerError(RuntimeError):
    """A worker failed. The text names it and the environment; a traceback may follow after an empty line."""
