# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Memory that PPO of a GR00T takes: the estimate, and what is really allocated.

    ./isaaclab.sh -p benchmarks/memory.py --version N1.7 --gradient_accumulation_steps 8     # 3B, nothing allocated
    ./isaaclab.sh -p benchmarks/memory.py --measure --sixteenths 2 --image_size 112 --num_envs 4 --num_steps 2
    ./isaaclab.sh -p benchmarks/memory.py --measure --device cuda:0 --trained dit --num_envs 64

One row per part of the model that trains, see :data:`TRAINED`; the agent is the real one, without an environment. The
weights are random, the layout is the published one with widths scaled by ``sixteenths / 16``. Frozen weights are
bfloat16, trained ones float32 under autocast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from allocated_memory import peak_allocated
from policy_call import random_encoder
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.footprint import DrivenAlgorithm, algorithm_footprint
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.footprint.estimate import HEADROOM, BatchSizes, MemoryModel
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.precision import DTYPES
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor

TRAINED: Mapping[str, tuple[type[Actor], tuple[str, ...]]] = {
    "steering": (Gr00tSteeringActor, ()),
    "adapter": (Gr00tGaussianActor, ()),
    "dit": (Gr00tFlowActor, ("projector", "dit")),
    "dit_lora": (Gr00tFlowActor, ("dit_lora",)),
    "head": (Gr00tFlowActor, ("vl_self_attention", "projector", "dit")),
    "full": (Gr00tFlowActor, ("full",)),
}
"""What may train: the network that decides the flow's noise; a Gaussian adapter on the features; projectors and DiT;
adapters of rank 16 on the DiT; the whole action head; everything."""

PRIVILEGED_DIM = 56
"""Privileged state of the critic, as in the stack task."""

CHUNK = 16
"""Control steps per decision."""


@dataclass(frozen=True)
class Setting:
    """An agent, but for its batch sizes."""

    trained: str
    """Entry of :data:`TRAINED`."""

    version: str = "N1.5"
    """"N1.5", "N1.6" or "N1.7"."""

    shape: Mapping[str, Any] | None = None
    """Arguments of :func:`~random_gr00t.random_gr00t`. None: the published shape."""

    dtype: torch.dtype = torch.bfloat16
    """Of the frozen weights."""

    device: str = "cpu"
    """Where it lives."""

    num_cameras: int = 1
    """Images per observation."""

    resolution: int = 224
    """Side of an image in pixels, before it is fitted to the model."""

    checkpointing: bool = False
    """Recompute the blocks in the backward pass."""

    flow: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``agent.actor.flow``."""

    algorithm: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``agent.algorithm`` that differ from their defaults."""

    def observe(self, num_envs: int) -> TensorDict:
        """Observations of all environments: black images."""
        shape = (num_envs, self.resolution, self.resolution, 3 * self.num_cameras)
        groups = {
            "rgb": torch.zeros(shape, dtype=torch.uint8, device=self.device),
            "state": torch.zeros(num_envs, 9, device=self.device),
            "privileged": torch.zeros(num_envs, PRIVILEGED_DIM, device=self.device),
        }
        return TensorDict(groups, batch_size=[num_envs])

    def build(self, obs: TensorDict, num_steps: int, **algorithm: Any) -> Gr00tPPO:
        """PPO with one epoch over a random GR00T.

        Args:
            obs: Observations of all environments.
            num_steps: Decisions per environment and iteration.
            **algorithm: Further fields of ``agent.algorithm``.
        """
        actor_class, parts = TRAINED[self.trained]
        encoder = random_encoder(
            "full",
            self.version,
            self.num_cameras,
            self.dtype,
            self.device,
            freezing=FreezingOptions(train=list(parts), gradient_checkpointing=self.checkpointing),
            reads_head=actor_class.reads_head,
            encoder_class=actor_class.encoder_class,
            shape=self.shape,
        )
        sections = {"flow": self.flow} if actor_class is Gr00tFlowActor else {}
        groups = {"critic": list(obs.keys())}
        actor = {"chunk_length": CHUNK, **sections}
        pair = Gr00tActorCritic.build(actor_class, encoder.spec, obs, groups, actor, {}, self.device, encoder=encoder)
        options = {"num_learning_epochs": 1, **self.algorithm, **algorithm}
        return Gr00tPPO(pair, obs, num_steps, device=self.device, **options)

    def model(self) -> MemoryModel:
        """What the package says before training, for any batch sizes."""

        def build(obs: TensorDict, num_steps: int, num_parts: int) -> Gr00tPPO:
            return self.build(obs, num_steps, num_mini_batches=1, gradient_accumulation_steps=num_parts)

        return algorithm_footprint(build, self.observe(1), self.device)

    def measure(self, sizes: BatchSizes) -> int:
        """Bytes at the peak of building it and of two iterations, as the allocator counts."""

        def train() -> None:
            algorithm = self.build(
                self.observe(sizes.num_envs),
                sizes.num_steps_per_env,
                num_mini_batches=sizes.num_mini_batches,
                gradient_accumulation_steps=sizes.gradient_accumulation_steps,
            )
            agent = DrivenAlgorithm(algorithm, lambda: self.observe(sizes.num_envs))
            for _ in range(2):
                agent.rollout()
                agent.update()

        return peak_allocated(train, self.device)


def most_environments(model: MemoryModel, sizes: BatchSizes, card: float) -> int:
    """The largest multiple of 8 with which an agent fits, as training decides it; 0 where 8 do not.

    Args:
        model: Of the agent.
        sizes: Its batch sizes, but for the environments.
        card: The memory of the device [bytes].
    """
    fitting = 0
    for num_envs in range(8, 4096, 8):
        if model.estimate(replace(sizes, num_envs=num_envs)).total > (1.0 - HEADROOM) * card:
            break
        fitting = num_envs
    return fitting


def main(arguments: Sequence[str] | None = None) -> None:
    """Estimate, measure if asked to, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="N1.5", choices=("N1.5", "N1.6", "N1.7"))
    parser.add_argument("--trained", nargs="+", default=list(TRAINED), choices=TRAINED)
    parser.add_argument("--num_envs", type=int, default=256)
    parser.add_argument("--num_steps", type=int, default=8, help="Decisions per environment and iteration.")
    parser.add_argument("--num_mini_batches", type=int, default=4)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--gradient_checkpointing", action="store_true")
    parser.add_argument(
        "--score", default="one_step", choices=("one_step", "all_steps"), help="Steps of the flow that count."
    )
    parser.add_argument("--num_cameras", type=int, default=1)
    parser.add_argument("--sixteenths", type=int, default=16, help="Widths in sixteenths of the published ones.")
    parser.add_argument("--depth", type=float, default=1.0, help="Share of the published layers.")
    parser.add_argument("--image_size", type=int, default=None, help="Side of what N1.5 sees; default: as published.")
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES, help="Of the frozen weights.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cards", nargs="+", type=float, default=[], metavar="GB", help="How many environments cards take, in 8s."
    )
    parser.add_argument("--measure", action="store_true", help="Also run two iterations and measure.")
    args = parser.parse_args(arguments)
    sizes = BatchSizes(args.num_envs, args.num_steps, args.num_mini_batches, args.gradient_accumulation_steps)

    for trained in args.trained:
        setting = Setting(
            trained,
            args.version,
            shape={"sixteenths": args.sixteenths, "depth": args.depth, "image_size": args.image_size},
            dtype=DTYPES[args.dtype],
            device=args.device,
            num_cameras=args.num_cameras,
            checkpointing=args.gradient_checkpointing,
            flow={"score": args.score},
        )
        start = time.perf_counter()
        model = setting.model()
        estimate = model.estimate(sizes)
        seconds = time.perf_counter() - start
        print(f"\nGR00T {args.version}, trains {trained}; {seconds:.1f} s for the estimate\n{estimate.describe()}")
        for card in args.cards:
            print(f"  a card of {card:g} GB takes {most_environments(model, sizes, card * 1e9)} environments")
        if args.measure:
            measured = setting.measure(sizes)
            error = estimate.total / measured - 1
            print(f"  measured: {measured / 2**20:.2f} MiB; the estimate is {error:+.1%} off")


if __name__ == "__main__":
    main()
