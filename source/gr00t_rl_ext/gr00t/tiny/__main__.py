# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Command line: ``python -m gr00t_rl_ext.gr00t.tiny OUT``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .build import TINY_SHAPES, build_tiny_checkpoint
from .n1_5 import SMALL


def main(argv: Sequence[str] | None = None) -> None:
    """Build what the command line asks for and print its directory."""
    parser = argparse.ArgumentParser(
        prog="python -m gr00t_rl_ext.gr00t.tiny", description="Write a tiny GR00T checkpoint."
    )
    parser.add_argument("directory", metavar="OUT", type=Path, help="directory to write")
    parser.add_argument("--version", choices=TINY_SHAPES, default="N1.5", help="of GR00T (default: %(default)s)")
    parser.add_argument(
        "--size",
        choices=("tiny", "small"),
        default="tiny",
        help="tiny: for tests; small: an N1.5 that can learn (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default: %(default)s)")
    parser.add_argument(
        "--image-size", type=int, help="side in pixels (default: 56 for N1.5, 64 if small, 56 for N1.6, 256 for N1.7)"
    )
    parser.add_argument("--horizon", type=int, help="actions per chunk (default: 16 for N1.5 and N1.6, 40 for N1.7)")
    args = parser.parse_args(argv)
    asked = {"image_size": args.image_size, "horizon": args.horizon}
    if args.size == "small" and args.version != "N1.5":
        parser.error(f"--size small is a GR00T N1.5; --version {args.version} has the size tiny only")
    base = SMALL if args.size == "small" else {}
    shape = {**base, **{name: value for name, value in asked.items() if value is not None}}
    try:
        build_tiny_checkpoint(args.directory, version=args.version, seed=args.seed, **shape)
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    print(args.directory)


if __name__ == "__main__":
    main()
