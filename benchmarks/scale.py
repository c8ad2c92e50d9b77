# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What GPUs send each other in an update, by agent, at the published size. Nothing is allocated.

    ./isaaclab.sh -p benchmarks/scale.py
    ./isaaclab.sh -p benchmarks/scale.py --version N1.7 --trained steering dit

Gradients of all that trains are summed over the GPUs once per step of the optimizer. A ring moves ``2 (n - 1) / n``
times their bytes through the link of each GPU (Patarasuk and Yuan 2009). The times are these bytes by the nominal rates
of the links: what is possible, not what was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from memory import TRAINED, Setting

from gr00t_rl_ext.footprint.trace import MemoryTrace

LINKS: Mapping[str, tuple[int, float]] = {
    "8 GPUs, NVLink": (8, 450e9),
    "64 GPUs, 400 Gb/s each": (64, 50e9),
    "64 GPUs, 100 Gb/s per node": (64, 12.5e9 / 8),
}
"""Name -> GPUs, and bytes per second through the link of a GPU in one direction: NVLink 4, InfiniBand NDR, and an
Ethernet that the eight GPUs of a node share."""


def reduced_bytes(setting: Setting) -> int:
    """Bytes of the gradients that a step of the optimizer sums over the GPUs."""
    with MemoryTrace():
        algorithm = setting.build(setting.observe(1), 1, num_mini_batches=1)
        groups = algorithm.updater.optimizer.param_groups
        return sum(parameter.numel() * parameter.element_size() for group in groups for parameter in group["params"])


def seconds(size: int, link: str) -> float:
    """Time of a sum of so many bytes over the GPUs of a link, by its nominal rate."""
    count, rate = LINKS[link]
    return 2.0 * (count - 1) / count * size / rate


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for docs/scale.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="N1.5", choices=("N1.5", "N1.6", "N1.7"))
    parser.add_argument("--trained", nargs="+", default=list(TRAINED), choices=TRAINED)
    parser.add_argument("--steps", type=int, default=16, help="Steps of the optimizer in an iteration.")
    args = parser.parse_args(arguments)
    columns = [f"{args.version}, trains", "Trained, M", "Summed per step, MB", *(f"{link}, s" for link in LINKS)]
    print(f"| {' | '.join(columns)} |")
    print(f"|---|---:|---:|{'---:|' * len(LINKS)}")
    for trained in args.trained:
        size = reduced_bytes(Setting(trained, args.version))
        times = " | ".join(f"{args.steps * seconds(size, link):.3g}" for link in LINKS)
        print(f"| {trained} | {size / 4e6:.1f} | {size / 1e6:.0f} | {times} |")


if __name__ == "__main__":
    main()
