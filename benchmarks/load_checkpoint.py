# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Host memory and time of loading and saving a checkpoint.

    ./isaaclab.sh -p benchmarks/load_checkpoint.py                      # 1 GB in each data type, warm page cache
    ./isaaclab.sh -p benchmarks/load_checkpoint.py --size_gb 5 --cold
    ./isaaclab.sh -p benchmarks/load_checkpoint.py --device cuda:0

Writes random checkpoints in the layout of GR00T N1.5 to a temporary directory, loads each in a fresh process, changes
the action head, saves it, and deletes everything. Memory is the process's resident set above what it was before the
call, everything imported and a tiny checkpoint loaded: the kernel's own peak (``VmHWM``, which counts mapped pages of
files as well) and the anonymous part (``RssAnon``, sampled from outside). Both as a ratio to the size of the weight
files: the worst of several repetitions. Times are medians, because machines are shared. Exits with an error where
loading needs more than 1.2 times the size.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASES = {
    ("bfloat16", 1): ["bfloat16"],
    ("bfloat16", 4): ["bfloat16"],
    ("float32", 1): ["bfloat16", "float32"],
    ("float32", 4): ["bfloat16", "float32"],
}
"""Data type in the files and number of files -> data types asked for."""

PROMISE = 1.2
SAMPLING_INTERVAL = 0.002


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size_gb", type=float, default=1.0, help="Size of the weights, about, in 10^9 bytes.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=int, default=3, help="Fresh processes per row.")
    parser.add_argument("--cold", action="store_true", help="Drop the files from the page cache before loading.")
    parser.add_argument("--directory", type=Path, help="Where the temporary files go (default: the system's place).")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    parser.add_argument("--measure", nargs=3, metavar=("CHECKPOINT", "DTYPE", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        _measure(Path(args.measure[0]), args.measure[1], Path(args.measure[2]), args.device)
        return

    import torch
    from scaled_checkpoint import sixteenths_for, write_scaled_checkpoint

    rows = []
    with tempfile.TemporaryDirectory(dir=args.directory) as temporary:
        checkpoint = Path(temporary) / "checkpoint"
        for (source, shards), targets in CASES.items():
            dtype = getattr(torch, source)
            scale = sixteenths_for("N1.5", args.size_gb * 1e9 / dtype.itemsize)
            checkpoint.mkdir()
            size = write_scaled_checkpoint(checkpoint, "N1.5", scale, dtype, shards)
            for target in targets:
                runs = []
                for _ in range(args.repetitions):
                    _sync(checkpoint, args.cold)
                    runs.append(_run(checkpoint, target, Path(temporary) / "saved", args.device))
                row: dict[str, Any] = {"source": source, "target": target, "files": shards, "bytes": size}
                for phase in ("load", "save"):
                    row[phase] = {name: max(run[phase][name] for run in runs) for name in ("peak", "anonymous")}
                    row[phase]["seconds"] = statistics.median(run[phase]["seconds"] for run in runs)
                rows.append(row)
            shutil.rmtree(checkpoint)

    cache = "cold" if args.cold else "warm"
    print(f"\n{args.device}, page cache {cache}, {platform.node()}; memory above the baseline / size of the files\n")
    print("| in the files | files | GB | loaded as | load: peak | anonymous | s | GB/s | save: peak | anonymous | s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        load, save, size = row["load"], row["save"], row["bytes"]
        print(
            f"| {row['source']} | {row['files']} | {size / 1e9:.2f} | {row['target']} "
            f"| {load['peak'] / size:.2f} | {load['anonymous'] / size:.2f} | {load['seconds']:.2f} "
            f"| {size / 1e9 / load['seconds']:.2f} "
            f"| {save['peak'] / size:.2f} | {save['anonymous'] / size:.2f} | {save['seconds']:.2f} |"
        )
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": str(args.json)}, "rows": rows}, indent=1))
    worst = max(row["load"]["peak"] / row["bytes"] for row in rows)
    if worst >= PROMISE:
        sys.exit(f"loading took {worst:.2f} times the size of the files; expected less than {PROMISE}")


def _sync(checkpoint: Path, drop: bool) -> None:
    """Finish writing the files, so that it does not go on while loading is timed; ``drop`` them from the page cache."""
    for file in checkpoint.glob("*.safetensors"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        if drop:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _run(checkpoint: Path, dtype: str, out: Path, device: str) -> dict[str, Any]:
    """Load and save in a fresh process, and watch its memory from outside, where no lock of Python's delays it."""
    command = [sys.executable, __file__, "--device", device, "--measure", str(checkpoint), dtype, str(out)]
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        watch = threading.Thread(target=_sample, args=(child.pid, samples))
        watch.start()
        output, _ = child.communicate()
        watch.join()
    if child.returncode:
        sys.exit(f"the measured process ended with exit status {child.returncode}")
    result = json.loads(output.splitlines()[-1])
    for phase in result.values():
        inside = [anonymous for at, anonymous in samples if phase["start"] <= at <= phase["end"]]
        phase["anonymous"] = max(inside, default=phase["anonymous_before"]) - phase["anonymous_before"]
        phase["peak"] = phase["peak_after"] - phase["resident_before"]
        phase["seconds"] = phase["end"] - phase["start"]
    return result


def _sample(process: int, samples: list[tuple[float, int]]) -> None:
    while memory := _memory(process):
        samples.append((time.monotonic(), memory["RssAnon"]))
        time.sleep(SAMPLING_INTERVAL)


def _memory(process: int | str) -> dict[str, int]:
    """Resident memory of a process in bytes; empty where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    names = ("VmRSS", "VmHWM", "RssAnon")
    return {name: 1024 * int(fields[name].split()[0]) for name in names} if names[0] in fields else {}


def _measure(checkpoint: Path, dtype: str, out: Path, device: str) -> None:
    """The measured process: load, change the head, save; prints when each began and ended, and the peaks."""
    import torch

    from gr00t_rl_ext.gr00t import build_tiny_checkpoint, load_gr00t

    with tempfile.TemporaryDirectory() as temporary:  # lazy imports, thread pools, a CUDA context
        load_gr00t(build_tiny_checkpoint(Path(temporary) / "tiny"), device=device).save_pretrained(
            Path(temporary) / "saved"
        )

    phases: dict[str, dict[str, float]] = {}

    def measured(name: str, action: Callable[[], Any]) -> Any:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew from the present resident set
        before, start = _memory("self"), time.monotonic()
        result = action()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        end = time.monotonic()
        phases[name] = {
            "start": start,
            "end": end,
            "resident_before": before["VmRSS"],
            "anonymous_before": before["RssAnon"],
            "peak_after": _memory("self")["VmHWM"],
        }
        return result

    model = measured("load", lambda: load_gr00t(checkpoint, 31, getattr(torch, dtype), device))
    with torch.no_grad():
        for parameter in model.action_head.parameters():
            parameter.add_(1.0)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        measured("save", lambda: model.save_pretrained(Path(temporary) / "saved"))
    print(json.dumps(phases))


if __name__ == "__main__":
    main()
