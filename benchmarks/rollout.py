# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How fast a GR00T decides and learns, without a simulator: calls and env steps per second beside the FLOP floor.

    ./isaaclab.sh -p benchmarks/rollout.py                                        # tiny and scaled models, on a CPU
    ./isaaclab.sh -p benchmarks/rollout.py --size tiny --compile none head all
    ./isaaclab.sh -p benchmarks/rollout.py --device cuda:0 --size full --batch_sizes 1 16 64 256 1024 --max_batch 256 \
        --compile none head all --cuda_graphs
    ./isaaclab.sh -p benchmarks/rollout.py --estimate --size full --version N1.5 N1.7 --batch_sizes 1024 \
        --dtype bfloat16 --peak_tflops 790                                        # the floor and the memory, no model

A policy call decides for a batch of environments, each for a chunk of control steps: images (uint8, on the device),
backbone, K denoising steps with noise, actions in the robot's units. Weights are random, of the package's tiny size, of
the published depth at an eighth of the width (``scaled``), or of the published size (``full``). The action head trains:
it is float32, under autocast where the rest is half precision.

The floor counts the matrix products of the call, attention included, at the speed of one large matrix product: the time
that a call takes at least on this device. It is exact for these shapes, and does not depend on kernels.

Peak memory is all that tensors hold at one time: weights, gradients and AdamW's state, and the call's own. On a GPU the
allocator says it; on a CPU it is the estimate of ``footprint/trace.py``.

The update is a step of PPO on a mini-batch of kept features, with the probability of one Flow-SDE step per decision.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from policy_call import (
    PHASES,
    SIZES,
    PolicyCall,
    Update,
    compile_policy,
    flow_actor,
    metered_phases,
    observations,
    random_encoder,
)
from torch.utils.flop_counter import FlopCounterMode

from gr00t_rl_ext.footprint.trace import MemoryTrace
from gr00t_rl_ext.policy.flow_chain import FlowOptions
from gr00t_rl_ext.policy.precision import DTYPES, dtype_of

DATA_SHEET_TFLOPS = {"H200": 989.0}
"""Dense bfloat16 matrix products, by a part of the device's name: the data sheet of NVIDIA's H200 (SXM)."""

MATRIX_SIZE = {"cpu": 2048, "cuda": 8192}
"""Side of the matrices whose product measures the peak."""


UPDATES = {"float32": False, "autocast": True}
"""How an update computes -> whether under bfloat16 autocast."""


@dataclass(frozen=True)
class Speed:
    """How fast calls of one batch size are."""

    batch_size: int
    """Environments B."""

    chunk: int
    """Control steps of a decision."""

    seconds: float
    """Of a call, the median."""

    flops: float
    """Of a call's matrix products."""

    peak_flops: float
    """Per second, of the device."""

    @property
    def calls_per_second(self) -> float:
        """Batched calls."""
        return 1.0 / self.seconds

    @property
    def env_steps_per_second(self) -> float:
        """Control steps of all environments."""
        return self.batch_size * self.chunk / self.seconds

    @property
    def floor_seconds(self) -> float:
        """Least time of a call."""
        return self.flops / self.peak_flops

    @property
    def floor_env_steps_per_second(self) -> float:
        """Most env steps per second that the floor allows."""
        return self.batch_size * self.chunk / self.floor_seconds

    @property
    def reached(self) -> float:
        """Share of the floor's env steps per second."""
        return self.floor_seconds / self.seconds

    def figures(self) -> dict[str, float]:
        """All of it, by name."""
        derived = ("calls_per_second", "env_steps_per_second", "floor_env_steps_per_second", "reached")
        return asdict(self) | {name: getattr(self, name) for name in derived}


def attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Matrix products of attention: queries (B, heads, T, d), keys (B, ., S, d), values (B, ., S, e).

    The whole rectangle of scores, also where a mask or causality hides some.
    """
    batch, heads, num_queries, width = query
    return 2 * batch * heads * num_queries * key[2] * (width + value[3])


def attention_backward_flops(_: Sequence[int], query: Sequence[int], key: Sequence[int], *rest: Any, **__: Any) -> int:
    """Matrix products of its gradients: scores anew, and two for each of the products forward."""
    batch, heads, num_queries, width = query
    return 2 * batch * heads * num_queries * key[2] * (3 * width + 2 * rest[0][3])


_ATEN = torch.ops.aten
_ATTENTION = {  # the CPU's kernels, on which FLOPs are counted; torch's counter leaves them out
    _ATEN._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}


def flop_counter() -> FlopCounterMode:
    """Counts the FLOPs of matrix products and attention."""
    return FlopCounterMode(display=False, custom_mapping=_ATTENTION)


class Benchmark:
    """One size of one version, with the options of the command line."""

    def __init__(self, size: str, version: str, args: argparse.Namespace) -> None:
        self.size, self.version, self.args = size, version, args
        self.options = FlowOptions(num_steps=args.steps)
        self.dtype = dtype_of(args.dtype, args.device)

    def build(self, device: str, half: bool = True) -> PolicyCall:
        """The policy, in the run's data type or, not ``half``, in float32; on fake tensors it takes no memory."""
        dtype = self.dtype if half else torch.float32
        encoder = random_encoder(self.size, self.version, self.args.cameras, dtype, device)
        return PolicyCall(flow_actor(encoder, self.options, self.args.chunk), self.args.max_batch)

    def count(self) -> tuple[dict[str, float], float]:
        """FLOPs per decision by phase, and FLOPs per decision of an update, on fake tensors."""
        with MemoryTrace(), flop_counter() as counter:
            policy = self.build("cpu")
            obs = observations(policy.encoder, 1, self.args.resolution)
            with metered_phases(policy.encoder, counter.get_total_flops) as phases:
                decision = policy(obs)
            before = counter.get_total_flops()
            Update(policy.actor, decision).step(amp=False)
            return phases, float(counter.get_total_flops() - before)

    def update(self, policy: PolicyCall) -> Update:
        """The update of a policy on a mini-batch of its decisions."""
        decision = policy(observations(policy.encoder, self.args.mini_batch, self.args.resolution))
        return Update(policy.actor, decision)

    @functools.cached_property
    def traced_memory(self) -> Mapping[str | int, int]:
        """Bytes at the peak of a call by batch size, and of an update by :data:`UPDATES`; nothing is allocated."""
        peaks: dict[str | int, int] = {}
        for name, amp in UPDATES.items():
            with MemoryTrace() as trace:
                policy = self.build("cpu", amp)
                update = self.update(policy)
                trace.follow(update.optimizer)
                with trace.record() as timeline:
                    update.step(amp)
                peaks[name] = sum(timeline.peak().values())
                # calls are made in the run's data type
                for batch_size in self.args.batch_sizes if amp else ():
                    obs = observations(policy.encoder, batch_size, self.args.resolution)
                    with trace.record() as timeline:
                        policy(obs)
                    peaks[batch_size] = sum(timeline.peak().values())
        return peaks

    def measure(self, compiled: str, flops: Mapping[str, float], peak_flops: float) -> Iterator[dict[str, Any]]:
        """Figures of each batch size."""
        args = self.args
        policy = self.build(args.device)
        # its gradients and state are there while the agent decides
        update = self.update(policy)
        update.step(amp=True)
        if compiled != "none":
            compile_policy(policy.encoder, compiled, args.cuda_graphs)
        for batch_size in args.batch_sizes:
            torch.compiler.reset()
            obs = observations(policy.encoder, batch_size, args.resolution)

            def call(obs: Any = obs) -> None:
                torch.compiler.cudagraph_mark_step_begin()
                with torch.inference_mode():  # as rsl_rl's runner does
                    policy(obs)

            with peak_memory(args.device) as peak:
                start = time.perf_counter()
                call()
                synchronize(args.device)
                first = time.perf_counter() - start
                times = seconds(call, args)
            split: dict[str, list[float]] = {phase: [] for phase in PHASES}
            for _ in range((args.repetitions + 1) // 2):
                with metered_phases(policy.encoder, lambda: clock(args.device)) as phases:
                    call()
                for phase, value in phases.items():
                    split[phase].append(value)
            speed = Speed(
                batch_size, args.chunk, statistics.median(times), batch_size * sum(flops.values()), peak_flops
            )
            yield speed.figures() | {
                "fastest_seconds": min(times),
                "slowest_seconds": max(times),
                "first_call_seconds": first,
                "peak_memory_bytes": peak[0] if peak else self.traced_memory[batch_size],
                "phase_seconds": {phase: statistics.median(values) for phase, values in split.items()},
            }

    def measure_update(self, flops: float, peak_flops: float) -> dict[str, float]:
        """Seconds of a step of the optimizer in float32 and under autocast."""
        torch.compiler.reset()  # which may hold the policy that made the calls
        gc.collect()
        size = self.args.mini_batch
        figures: dict[str, float] = {"mini_batch": size, "flops": size * flops}
        for name, amp in UPDATES.items():
            # among frozen layers of half precision, the agent's trained ones are always under autocast
            update = self.update(self.build(self.args.device, amp))
            with peak_memory(self.args.device) as peak:
                update.step(amp)
                times = seconds(lambda amp=amp, update=update: update.step(amp), self.args)
            figures[f"{name}_seconds"] = statistics.median(times)
            figures[f"{name}_peak_memory_bytes"] = peak[0] if peak else self.traced_memory[name]
        figures["speed_up"] = figures["float32_seconds"] / figures["autocast_seconds"]
        best = min(figures["float32_seconds"], figures["autocast_seconds"])
        return figures | {"reached": size * flops / peak_flops / best}


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def clock(device: str) -> float:
    """Seconds, after all that the device was told to do."""
    synchronize(device)
    return time.perf_counter()


def seconds(run: Callable[[], Any], args: argparse.Namespace) -> list[float]:
    """Times of a program that has run once."""
    for _ in range(2 if args.device.startswith("cuda") else 0):
        run()  # CUDA graphs are recorded in the second run
    times = []
    for _ in range(args.repetitions):
        start = clock(args.device)
        run()
        times.append(clock(args.device) - start)
    return times


@contextmanager
def peak_memory(device: str) -> Iterator[list[int]]:
    """Most bytes of tensors on a GPU at one time, complete after the block; empty on a CPU."""
    peak: list[int] = []
    if not device.startswith("cuda"):
        yield peak
        return
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    yield peak
    peak.append(torch.cuda.max_memory_allocated(device))


def measured_peak(dtype: torch.dtype, args: argparse.Namespace) -> float:
    """FLOPs per second of one large matrix product, the fastest of the repetitions."""
    side = MATRIX_SIZE[torch.device(args.device).type]
    a, b = (torch.randn(side, side, device=args.device).to(dtype) for _ in range(2))
    torch.mm(a, b)
    # more often than the rest: on a shared machine the fastest of a few is not the peak
    times = [time for _ in range(3) for time in seconds(lambda: torch.mm(a, b), args)]
    return 2 * side**3 / min(times)


def sustained_peak(dtype: torch.dtype, args: argparse.Namespace) -> float:
    """FLOPs per second of large matrix products without a pause, over a second after a second: at the power limit."""
    side = MATRIX_SIZE["cuda"]
    a, b = (torch.randn(side, side, device=args.device).to(dtype) for _ in range(2))
    count = 0
    for _ in range(2):
        start, count = clock(args.device), 0
        while time.perf_counter() - start < 1.0:
            for _ in range(20):
                torch.mm(a, b)
            synchronize(args.device)
            count += 20
    return 2 * side**3 * count / (clock(args.device) - start)


def device_name(device: str) -> str:
    """What computes."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{model}, {torch.get_num_threads()} of {os.cpu_count()} cores"


def report(run: Mapping[str, Any]) -> str:
    """Tables in Markdown of one model."""
    flops, peak = run["flops_per_decision"], run["peak_tflops"] * 1e12
    total = sum(flops.values())
    lines = [
        f"### GR00T {run['version']}, {run['size']}, {run['dtype']}\n",
        f"{total / 1e9:.4g} GFLOP per decision; peak {run['peak_tflops']:.4g} TFLOP/s ({run['peak_source']}).\n",
    ]
    if run["calls"]:
        lines += _speed_table(run)
        for compiled in dict.fromkeys(row["compile"] for row in run["calls"]):
            rows = [row for row in run["calls"] if row["compile"] == compiled]
            lines += ["", f"Time by phase, ms, and share of the peak FLOP/s; compiled: {compiled}.\n"]
            lines += _phase_table(flops, peak, rows)
    else:
        lines += _phase_table(flops, peak, [])
        lines += ["", "| batch | floor, env steps/s | peak memory |", "|---|---|---|"]
        for row in run["estimates"]:
            memory = _memory(row["peak_memory_bytes"])
            lines.append(f"| {row['batch_size']} | {row['floor_env_steps_per_second']:.0f} | {memory} |")
    if update := run.get("update"):
        lines += ["", _update_line(update)]
    return "\n".join(lines)


def _memory(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _progress(run: Mapping[str, Any]) -> str:
    row = run["calls"][-1]
    return (
        f"{run['version']}, {run['size']}, compiled: {row['compile']}, batch {row['batch_size']}:"
        f" {row['env_steps_per_second']:.0f} env steps/s, {_memory(row['peak_memory_bytes'])}"
    )


def _speed_table(run: Mapping[str, Any]) -> list[str]:
    lines = [
        "| compiled | batch | calls/s | env steps/s (slowest to fastest) | floor, env steps/s | reached |"
        " peak memory | first call, s |",
        f"|{'---|' * 8}",
    ]
    for row in run["calls"]:
        steps = row["batch_size"] * row["chunk"]
        slowest, fastest = steps / row["slowest_seconds"], steps / row["fastest_seconds"]
        lines.append(
            f"| {row['compile']} | {row['batch_size']} | {row['calls_per_second']:.3g} |"
            f" {row['env_steps_per_second']:.0f} ({slowest:.0f} to {fastest:.0f}) |"
            f" {row['floor_env_steps_per_second']:.0f} | {row['reached']:.0%} | {_memory(row['peak_memory_bytes'])} |"
            f" {row['first_call_seconds']:.1f} |"
        )
    return lines


def _phase_table(flops: Mapping[str, float], peak: float, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"| phase | GFLOP per decision |{''.join(f' batch {row["batch_size"]} |' for row in rows)}",
        f"|{'---|' * (len(rows) + 2)}",
    ]
    for phase, count in flops.items():
        cells = [f"{count / 1e9:.4g}"]
        for row in rows:
            spent = row["phase_seconds"][phase]
            share = f" ({row['batch_size'] * count / peak / spent:.0%})" if count else ""
            cells.append(f"{1e3 * spent:.3g}{share}")
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    if rows:
        lines.append(f"| furthest above its floor | | {' | '.join(_bound(flops, peak, row) for row in rows)} |")
    return lines


def _bound(flops: Mapping[str, float], peak: float, row: Mapping[str, Any]) -> str:
    """The phase that loses most time against its floor, and its share of all that is lost."""
    lost = {
        name: max(0.0, spent - row["batch_size"] * flops[name] / peak) for name, spent in row["phase_seconds"].items()
    }
    phase = max(lost, key=lambda name: lost[name])
    return f"{phase} ({lost[phase] / sum(lost.values()):.0%} of what is)"


def _update_line(update: Mapping[str, float]) -> str:
    times = " and ".join(
        f"{1e3 * update[f'{name}_seconds']:.4g} ms in {title}"
        f" (peak memory {_memory(update[f'{name}_peak_memory_bytes'])})"
        for name, title in (("float32", "float32"), ("autocast", "bfloat16 autocast"))
    )
    return (
        f"Update, mini-batch of {update['mini_batch']:.0f}, {update['flops'] / 1e9:.4g} GFLOP: {times};"
        f" {update['speed_up']:.2f} times as fast under autocast; the faster one at {update['reached']:.0%} of the"
        " peak."
    )


def main() -> None:
    """Measure and print tables."""
    args = _parse()
    torch.backends.cuda.matmul.allow_tf32 = True  # as `isaaclab train` does
    data_sheet = next((value for part, value in DATA_SHEET_TFLOPS.items() if part in device_name(args.device)), None)
    print(f"\n{device_name(args.device)}, {platform.node()}, torch {torch.__version__}")
    print(f"chunk {args.chunk}, {args.steps} denoising steps, {args.cameras} camera(s), median of {args.repetitions}\n")
    results = []
    for version in args.version:
        for size in args.size:
            benchmark = Benchmark(size, version, args)
            flops, update_flops = benchmark.count()
            if args.peak_tflops is not None:
                peak, source = args.peak_tflops * 1e12, "given"
            else:
                peak, source = measured_peak(benchmark.dtype, args), "measured, one large matrix product"
            if args.device.startswith("cuda"):
                sustained = sustained_peak(benchmark.dtype, args)
                source += f"; {sustained / 1e12:.4g} over a second of them without a pause"
            if data_sheet is not None:
                source += f"; the data sheet says {data_sheet:.0f} for dense bfloat16"
            run: dict[str, Any] = {
                "version": version,
                "size": size,
                "dtype": str(benchmark.dtype).removeprefix("torch."),
                "peak_tflops": peak / 1e12,
                "peak_source": source,
                "flops_per_decision": flops,
                "update_flops_per_decision": update_flops,
                "calls": [],
            }
            if args.estimate:
                total = sum(flops.values())
                run["estimates"] = [
                    {
                        "batch_size": batch_size,
                        "floor_env_steps_per_second": args.chunk * peak / total,
                        "peak_memory_bytes": benchmark.traced_memory[batch_size],
                    }
                    for batch_size in args.batch_sizes
                ]
            else:
                for compiled in args.compile:
                    for row in benchmark.measure(compiled, flops, peak):
                        run["calls"].append({"compile": compiled} | row)
                        # so that a run that is broken off was not for nothing
                        print(_progress(run), file=sys.stderr, flush=True)
                run["update"] = benchmark.measure_update(update_flops, peak)
            print(report(run) + "\n")
            results.append(run)
    if args.json:
        write_json(args, results)


def positive(text: str) -> int:
    """A number of the command line that counts something."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def write_json(args: argparse.Namespace, runs: Any) -> None:
    """Write figures to the file ``--json``, with the machine and the arguments."""
    machine = {"device": device_name(args.device), "node": platform.node(), "torch": torch.__version__}
    arguments = vars(args) | {"json": str(args.json)}
    args.json.write_text(json.dumps({"machine": machine, "arguments": arguments, "runs": runs}, indent=1))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", nargs="+", default=["N1.5"], choices=("N1.5", "N1.6", "N1.7"))
    parser.add_argument("--size", nargs="+", default=["tiny", "scaled"], choices=SIZES)
    parser.add_argument("--batch_sizes", nargs="+", type=positive, default=[1, 4, 16], help="Environments per call.")
    parser.add_argument("--chunk", type=positive, default=16, help="Control steps that a decision is executed for.")
    parser.add_argument("--steps", type=positive, default=4, help="Denoising steps K.")
    parser.add_argument("--cameras", type=positive, default=1)
    parser.add_argument("--resolution", type=positive, help="Side of a camera's image (default: what the model sees).")
    parser.add_argument("--max_batch", type=positive, help="Most environments that pass through the model at once.")
    parser.add_argument("--mini_batch", type=positive, default=16, help="Decisions per step of the update.")
    parser.add_argument("--compile", nargs="+", default=["none"], choices=("none", "head", "all"))
    parser.add_argument("--cuda_graphs", action="store_true", help="Record what is compiled; on a GPU only.")
    parser.add_argument("--dtype", default="auto", choices=("auto", *DTYPES), help="Of what is frozen.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=positive, default=5)
    parser.add_argument("--peak_tflops", type=float, help="The device's (default: measured).")
    parser.add_argument("--estimate", action="store_true", help="Only count FLOPs and memory; needs --peak_tflops.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()
    if args.cuda_graphs and not args.device.startswith("cuda"):
        parser.error(f"--cuda_graphs needs a GPU, but --device is {args.device}; leave it out, or set --device cuda:0")
    if args.cuda_graphs and args.compile == ["none"]:
        parser.error("--cuda_graphs records what is compiled, but --compile is none; set it to head or all")
    if args.estimate and args.peak_tflops is None:
        parser.error("--estimate measures nothing: say what the device reaches with --peak_tflops")
    return args


if __name__ == "__main__":
    main()
