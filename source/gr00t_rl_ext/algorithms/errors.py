# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The border to Isaac Lab's command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def readable_errors(*more: type[Exception]) -> Iterator[None]:
    """Turn errors that are meant for users into the end of the program with their message.

    rsl_rl and Isaac Lab, which call the algorithm, would print two tracebacks around it.

    Args:
        *more: Errors that are meant for users, beside :class:`ValueError`.

    Raises:
        SystemExit: With the message.
    """
    try:
        yield
    except (ValueError, *more) as error:
        raise SystemExit(f"\nerror: {error}") from error
