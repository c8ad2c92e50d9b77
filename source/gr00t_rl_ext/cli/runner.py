# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Lets Isaac Lab's training command use the runner that an algorithm asks for.

For isaaclab 3.0.0, whose ``create_rsl_rl_runner`` accepts only the names OnPolicyRunner and DistillationRunner and has
no registry. tests/cli/test_runner.py fails once it accepts others; then this module can go, and the agents' configs
name their runner. The command's own process only: workers of ``--distributed`` use OnPolicyRunner.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isaaclab_rl.entrypoints.backends import train_rsl_rl

from gr00t_rl_ext.runners.construction import make_runner


@contextmanager
def algorithms_runner() -> Iterator[None]:
    """Within it, the training command makes the runner that the agent's algorithm names in ``RUNNER``."""
    stock = train_rsl_rl.create_rsl_rl_runner
    train_rsl_rl.create_rsl_rl_runner = make_runner
    try:
        yield
    finally:
        train_rsl_rl.create_rsl_rl_runner = stock
