# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What keeping features saves: an update of PPO on them against the same update that encodes the images anew.

    ./isaaclab.sh -p benchmarks/update_cache.py                                   # minutes on a CPU
    ./isaaclab.sh -p benchmarks/update_cache.py --policy gaussian --size tiny
    ./isaaclab.sh -p benchmarks/update_cache.py --device cuda:0 --size full --num_envs 64

The algorithm is the same; what differs is what is kept of a decision. With images, every mini-batch of every epoch, and
the passes at the start of the update, run the backbone. Both start from equal weights and see equal decisions, so both
must come to equal weights, which is checked first.

The model is random. ``shallow`` has a quarter of the published widths and depth, and the published proportion of
encoding to action head. FLOPs of matrix products and attention are counted on fake tensors, of that size and of the
published one: their ratio is what time would tell if everything ran at one speed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from policy_call import SIZES, metered, observations, random_encoder
from rollout import clock, device_name, flop_counter, positive, write_json
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.footprint.trace import MemoryTrace
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.freezing import Depth, Freezing
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.precision import DTYPES, dtype_of
from gr00t_rl_ext.policy.stages import FreezingOptions


@dataclass(frozen=True)
class Workload:
    """A policy and its update, as the agent of that name has them."""

    agent: str
    actor_class: type[Actor]
    train: tuple[str, ...]
    """Parts of GR00T that train."""
    epochs: int


WORKLOADS = {
    "gaussian": Workload("gr00t_adapter_ppo", Gr00tGaussianActor, (), 3),
    "flow": Workload("gr00t_flow_ppo", Gr00tFlowActor, ("projector", "dit"), 4),
    "flow_lora": Workload("gr00t_lora_ppo", Gr00tFlowActor, ("dit_lora",), 4),
}

PHASES = ("encoding", "policy", "critic", "optimizer", "backward and the rest")
"""Parts of an update: the backbone and VL self-attention, the policy's distributions, values, the optimizer's steps,
and the backward pass with losses, clipping and the copies out of the storage."""

LEARNING_RATE = 1.0e-4
"""Ten times an agent's and more: weights must move by far more than the tolerance."""

TOLERANCE = 1.0e-5
"""Largest difference of a weight after an update."""


class KeepsImages(Freezing):
    """Keeps the images of a decision, as if everything trained."""

    @property
    def depth(self) -> Depth:
        return Depth.IMAGES


KEPT: Mapping[str, type[Freezing]] = {"features": Freezing, "images": KeepsImages}
"""What is kept of a decision -> what decides on it."""


class Learner:
    """PPO on made-up experience, which depends on the seed of an iteration alone.

    Args:
        workload: The policy.
        kept: Entry of :data:`KEPT`.
        size: Entry of ``policy_call.SIZES``.
        device: Where it lives.
        args: The command line.
    """

    def __init__(self, workload: Workload, kept: str, size: str, device: str, args: argparse.Namespace) -> None:
        torch.manual_seed(0)
        encoder = random_encoder(
            size,
            args.version,
            args.cameras,
            dtype_of(args.dtype, device),
            device,
            freezing=FreezingOptions(train=list(workload.train)),
            reads_head=workload.actor_class.reads_head,
            freezing_class=KEPT[kept],
        )
        chunk_length = min(args.chunk, encoder.action_horizon)
        self.observe: Callable[[], TensorDict] = lambda: observations(encoder, args.num_envs)
        obs = self.observe()
        groups, actor = {"critic": ["rgb", "state"]}, {"chunk_length": chunk_length}
        pair = Gr00tActorCritic.build(
            workload.actor_class, encoder.spec, obs, groups, actor, {}, device, encoder=encoder
        )
        self.algorithm = Gr00tPPO(
            pair,
            obs,
            args.num_steps,
            device=device,
            learning_rate=LEARNING_RATE,
            num_learning_epochs=workload.epochs,
            num_mini_batches=args.mini_batches,
            target_kl=None,
        )
        self.algorithm.train_mode()

    def rollout(self, seed: int) -> None:
        """Decide, and make up what came of it."""
        torch.manual_seed(seed)
        algorithm, storage = self.algorithm, self.algorithm.storage
        num_envs, chunk, device = storage.num_envs, storage.chunk_length, algorithm.device
        with torch.no_grad():
            for _ in range(storage.num_steps):
                algorithm.act(self.observe())
                outcome = Outcome(
                    executed_steps=torch.full((num_envs,), chunk, device=device),
                    step_rewards=torch.zeros(num_envs, chunk, device=device),
                    episode_return=torch.zeros(num_envs, device=device),
                    episode_steps=torch.zeros(num_envs, dtype=torch.long, device=device),
                )
                dones = torch.zeros(num_envs, dtype=torch.long, device=device)
                algorithm.process_env_step(
                    self.observe(), torch.randn(num_envs, device=device), dones, outcome.to_extras()
                )
            algorithm.compute_returns(self.observe())

    def update(self, read: Callable[[], float]) -> dict[str, float]:
        """Learn from the rollout; what a meter counts in each of :data:`PHASES`."""
        algorithm = self.algorithm
        places = (
            (algorithm.encoder, "complete", "encoding"),
            (algorithm.actor, "distribution", "policy"),
            (algorithm.reference, "distribution", "policy"),
            (algorithm.critic, "forward", "critic"),
            (algorithm.updater.optimizer, "step", "optimizer"),
        )
        with contextlib.redirect_stdout(io.StringIO()), metered(places, PHASES, read) as phases:
            algorithm.update()
        return phases

    def weights(self) -> Tensor:
        """All that trains, as one vector on the CPU."""
        groups = self.algorithm.updater.optimizer.param_groups
        return torch.cat([p.detach().flatten().float().cpu() for group in groups for p in group["params"]])


def count(workload: Workload, size: str, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """FLOPs per decision, by phase, of updates with features and with images, and of one pass ``forward``.

    Nothing is computed.
    """
    # per decision, they depend neither on the number of decisions nor on how they are split
    args = argparse.Namespace(**vars(args) | {"num_envs": 2, "num_steps": 1, "mini_batches": 1})
    flops: dict[str, dict[str, float]] = {}
    for kept in KEPT:
        with MemoryTrace():
            learner = Learner(workload, kept, size, "cpu", args)
            algorithm = learner.algorithm
            learner.rollout(0)
            batch = algorithm.storage.batch(slice(None))
            with flop_counter() as counter:
                obs = algorithm.encoder.complete(batch.observations)
                encoding = counter.get_total_flops()
                algorithm.actor.distribution(obs, batch.decisions)
                flops["forward"] = {"encoding": encoding, "policy": counter.get_total_flops() - encoding}
            with flop_counter() as counter:
                flops[kept] = learner.update(counter.get_total_flops)
    return {name: {phase: value / 2 for phase, value in phases.items()} for name, phases in flops.items()}


def measure(workload: Workload, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the updates by what is kept and by phase, and how far their weights differ after the first."""
    learners = {kept: Learner(workload, kept, args.size, args.device, args) for kept in KEPT}
    before, after = learners["features"].weights(), {}
    for kept, learner in learners.items():
        # the first update also makes the optimizer's state, so it is not among the times
        learner.rollout(1)
        learner.update(lambda: clock(args.device))
        after[kept] = learner.weights()
    times: dict[str, list[dict[str, float]]] = {kept: [] for kept in KEPT}
    for repetition in range(args.repetitions):
        for kept, learner in learners.items():
            learner.rollout(2 + repetition)
            times[kept].append(learner.update(lambda: clock(args.device)))
    return {
        "seconds": times,
        "difference": float((after["features"] - after["images"]).abs().max()),
        "change": float((after["features"] - before).abs().max()),
    }


def summarize(times: Mapping[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians over the repetitions, and how many times as fast the update on features is."""
    totals = {kept: [sum(phases.values()) for phases in rows] for kept, rows in times.items()}
    medians = {kept: statistics.median(values) for kept, values in totals.items()}
    return {
        "seconds": medians,
        "fastest": {kept: min(values) for kept, values in totals.items()},
        "slowest": {kept: max(values) for kept, values in totals.items()},
        "phases": {
            kept: {phase: statistics.median(row[phase] for row in rows) for phase in PHASES}
            for kept, rows in times.items()
        },
        "speed_up": medians["images"] / medians["features"],
    }


def speed_up_by_flops(flops: Mapping[str, Mapping[str, float]]) -> float:
    """Ratio of the FLOPs of both updates."""
    return sum(flops["images"].values()) / sum(flops["features"].values())


def proportion(flops: Mapping[str, Mapping[str, float]]) -> float:
    """FLOPs of encoding a decision : FLOPs of a forward pass of the policy over it."""
    return flops["forward"]["encoding"] / flops["forward"]["policy"]


def report(name: str, run: Mapping[str, Any], size: str) -> str:
    """Tables in Markdown of one policy."""
    workload, summary, flops = WORKLOADS[name], run["summary"], run["flops"]
    trained = ", ".join(workload.train) or "the adapter"
    lines = [
        f"### {name} (`{workload.agent}`: {trained}), {workload.epochs} epochs\n",
        f"Encoding : a forward pass of the policy in FLOPs: {proportion(flops[size]):.4g} : 1,"
        f" at the published size {proportion(flops['full']):.4g} : 1.\n",
        "| an update | features kept, ms | images kept, ms | features, GFLOP per decision | images |",
        f"|{'---|' * 5}",
    ]
    for phase in PHASES:
        cells = [f"{1e3 * summary['phases'][kept][phase]:.4g}" for kept in KEPT]
        cells += [f"{flops[size][kept][phase] / 1e9:.4g}" for kept in KEPT]
        lines.append(f"| {phase} | {' | '.join(cells)} |")
    cells = [
        f"{1e3 * summary['seconds'][kept]:.4g} ({1e3 * summary['fastest'][kept]:.4g} to"
        f" {1e3 * summary['slowest'][kept]:.4g})"
        for kept in KEPT
    ]
    cells += [f"{sum(flops[size][kept].values()) / 1e9:.4g}" for kept in KEPT]
    lines += [
        f"| all | {' | '.join(cells)} |",
        "",
        f"On features {summary['speed_up']:.1f} times as fast; by FLOPs {speed_up_by_flops(flops[size]):.1f} times, at"
        f" the published size {speed_up_by_flops(flops['full']):.1f} times. After one update the weights differ by"
        f" {run['difference']:.1e} at most and have moved by {run['change']:.1e}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print tables."""
    args = _parse()
    print(f"\n{device_name(args.device)}, {platform.node()}, torch {torch.__version__}")
    print(
        f"GR00T {args.version}, {args.size}, {args.cameras} camera(s), {args.num_envs * args.num_steps} decisions in"
        f" {args.mini_batches} mini-batches, chunk {args.chunk}, median of {args.repetitions}\n"
    )
    runs = {}
    for name in args.policy:
        workload = WORKLOADS[name]
        measured = measure(workload, args)
        if not measured["difference"] <= TOLERANCE < measured["change"]:
            sys.exit(
                f"{name}: after one update the weights differ by {measured['difference']:.1e} at most and have moved by"
                f" {measured['change']:.1e}; expected a difference of at most {TOLERANCE:.0e}, and more movement"
            )
        flops = {size: count(workload, size, args) for size in dict.fromkeys((args.size, "full"))}
        runs[name] = {"flops": flops, "summary": summarize(measured["seconds"])} | measured
        print(report(name, runs[name], args.size) + "\n")
    if args.json:
        write_json(args, runs)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--version", default="N1.5", choices=("N1.5", "N1.6", "N1.7"))
    parser.add_argument("--size", default="shallow", choices=SIZES)
    parser.add_argument("--num_envs", type=positive, default=8)
    parser.add_argument("--num_steps", type=positive, default=4, help="Decisions per environment.")
    parser.add_argument("--mini_batches", type=positive, default=4)
    parser.add_argument("--chunk", type=positive, default=16, help="Control steps of a decision.")
    parser.add_argument("--cameras", type=positive, default=1)
    parser.add_argument("--dtype", default="float32", choices=("auto", *DTYPES), help="Of what is frozen.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repetitions", type=positive, default=3)
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
