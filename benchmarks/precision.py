# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What half precision costs: errors against float32 of everything from the features to the log-probabilities.

    ./isaaclab.sh -p benchmarks/precision.py
    ./isaaclab.sh -p benchmarks/precision.py --device cuda:0 --sixteenths 16

The models are random, with the published depth and widths scaled down, so their activations have no outliers as those
of trained models have. Errors are relative to the root mean square (RMS) of the float32 result: RMS / maximum. A
log-probability is that of a whole decision, 16 control steps of 8 action dimensions: under the Gaussian adapter, and of
the whole denoising chain (K = 4) under Flow-SDE noise (Flow-GRPO, arXiv 2505.05470). Its errors are in nats as well,
because a ratio of PPO is the exponential of a difference of log-probabilities.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scaled_checkpoint import VERSIONS, write_scaled_checkpoint
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tContext, Gr00tFeatures, Gr00tModel, load_gr00t
from gr00t_rl_ext.policy.adapter import GaussianAdapter
from gr00t_rl_ext.policy.flow_chain import FlowChain, FlowOptions, VelocityField, sample_chain, scored_steps
from gr00t_rl_ext.policy.options import BoundedGaussianOptions, GaussianActorOptions
from gr00t_rl_ext.policy.scored import GaussianScored

CONTROL_STEPS, ACTION_DIM, STATE_DIM, TEXT_TOKENS = 16, 8, 9, 40
STD = 0.1
"""Standard deviation of the Gaussian policy."""

FLOW = FlowOptions(noise="sde", score="all_steps", num_steps=4, noise_level=0.5)
"""Of the flow policy."""


@dataclass(frozen=True)
class Setting:
    """Which part computes in what."""

    name: str
    backbone: torch.dtype
    head: torch.dtype
    autocast: bool = False


REFERENCE = Setting("float32", torch.float32, torch.float32)
SETTINGS = (
    Setting("bf16 everything", torch.bfloat16, torch.bfloat16),
    Setting("bf16 backbone, fp32 head in bf16 autocast", torch.bfloat16, torch.float32, autocast=True),
    Setting("fp16 backbone, fp32 head", torch.float16, torch.float32),
    Setting("bf16 backbone, fp32 head", torch.bfloat16, torch.float32),
)


@dataclass(frozen=True)
class Batch:
    """Observations, and the actions of which log-probabilities are taken."""

    pixel_values: Tensor
    input_ids: Tensor
    state: Tensor
    noise: Tensor
    actions: Tensor | None = None
    """(B, H, A) of the Gaussian policy."""

    chain: FlowChain | None = None
    """Of the flow policy."""


class Policy:
    """A model in one setting, with the Gaussian adapter."""

    def __init__(self, setting: Setting, checkpoint: Path, device: str) -> None:
        self.autocast = setting.autocast
        self.device = torch.device(device)
        self.model: Gr00tModel = load_gr00t(checkpoint, 31, setting.backbone, device)
        if setting.head != setting.backbone:
            # not a cast of the loaded head, which would keep its rounding
            self.model.action_head = load_gr00t(checkpoint, 31, setting.head, device).action_head
        torch.manual_seed(0)
        options = GaussianActorOptions(distribution_cfg=BoundedGaussianOptions(STD))
        self.adapter = GaussianAdapter(self.model.feature_dim, STATE_DIM, CONTROL_STEPS, ACTION_DIM, options)
        with torch.no_grad():  # as far from its start, where the mean is nearly 0, as a trained one
            list(self.adapter.mlp.parameters())[-2].mul_(50.0)
        self.adapter.to(device)

    def _precision(self, autocast: bool) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16) if autocast else nullcontext()

    @torch.no_grad()
    def encode(self, batch: Batch) -> Gr00tFeatures:
        return self.model.encode(pixel_values=batch.pixel_values, input_ids=batch.input_ids)

    @torch.no_grad()
    def stages(self, features: Gr00tFeatures, batch: Batch) -> dict[str, Tensor]:
        """Features, context tokens, velocities at the times of the sampler, and sampled actions."""
        with self._precision(self.autocast):
            context = self.model.condition(features)
            field, times = self._field(context, batch.state), torch.arange(FLOW.num_steps) / FLOW.num_steps
            velocities = [field(batch.noise, time.to(batch.noise).expand(len(batch.noise))) for time in times]
            actions = self.model.sample(context, batch.state, batch.noise, FLOW.num_steps)
        named = {
            "features": features.tokens,
            "context": context.tokens,
            "velocity": torch.stack(velocities),
            "actions": actions,
        }
        return {name: value.float() for name, value in named.items()}

    def _field(self, context: Gr00tContext, state: Tensor) -> VelocityField:
        head = self.model.action_head
        context, buckets = head.cache_key_values(context), head.config.num_timestep_buckets
        return lambda x, t: head.velocity(context, state, x, (t * buckets).long())

    @torch.no_grad()
    def act(self, features: Gr00tFeatures, batch: Batch) -> Batch:
        """The batch with actions sampled for it."""
        generator = torch.Generator(self.device).manual_seed(1)
        field = self._field(self.model.condition(features), batch.state)
        _, chain = sample_chain(field, batch.noise, FLOW, FLOW.noise_level, generator)
        mean, std = self.adapter.distribution(features.tokens, batch.state[:, 0, :STATE_DIM])
        draw = torch.randn(mean.shape, generator=generator, device=self.device)
        return dataclasses.replace(batch, actions=mean + std * draw.to(mean), chain=chain)

    @torch.no_grad()
    def log_probs(
        self, features: Gr00tFeatures, batch: Batch, dtype: torch.dtype = torch.float32, part: slice = slice(None)
    ) -> dict[str, Tensor]:
        """Log-probabilities of the batch's actions, (B,) each, with densities in ``dtype``; of a part of the batch."""
        assert batch.actions is not None
        assert batch.chain is not None
        cut: dict[str, Any] = {name: v if v is None else v[part] for name, v in vars(features).items()}
        state, actions = batch.state[part], batch.actions[part]
        every = torch.ones(actions.shape[:2], dtype=torch.bool, device=self.device)
        adapter_in_half = self.autocast or self.model.action_head.dtype == torch.bfloat16
        with self._precision(adapter_in_half):
            mean, std = self.adapter.distribution(cut["tokens"], state[:, 0, :STATE_DIM])
        with self._precision(self.autocast):
            field = self._field(self.model.condition(Gr00tFeatures(**cut)), state)
            chain = FlowChain(*(values[part] for values in batch.chain))
            flow = scored_steps(field, chain, FLOW, every, torch.arange(ACTION_DIM, device=self.device))
        return {
            "Gaussian": _density(actions, mean, std, every, dtype),
            "flow": _density(flow.outcome, flow.mean, flow.std, every, dtype),
        }

    def rotary_types(self) -> set[torch.dtype]:
        """Data types of the rotary frequencies."""
        return {buffer.dtype for name, buffer in self.model.named_buffers() if "inv_freq" in name}


def _density(actions: Tensor, mean: Tensor, std: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    return GaussianScored(actions.to(dtype), mean.to(dtype), std.to(dtype), valid).log_prob().sum(1)


def observations(model: Gr00tModel, batch_size: int, device: str) -> Batch:
    """Random images of one camera, prompts and states."""
    generator = torch.Generator().manual_seed(0)
    backbone = model.backbone
    size = backbone.image_size
    # uniform pixels; as normalised by both versions, in [-1, 1]
    images = torch.rand(batch_size, 3, size, size, generator=generator) * 2 - 1
    text = torch.randint(2, backbone.vocab_size, (TEXT_TOKENS,), generator=generator)
    image = torch.full((backbone.tokens_per_image,), backbone.image_token_index)
    prompt = torch.cat([text[:4], image, text[4:]])
    state = torch.zeros(batch_size, 1, model.max_state_dim)
    state[..., :STATE_DIM] = torch.rand(batch_size, 1, STATE_DIM, generator=generator) * 2 - 1
    noise = torch.randn(batch_size, model.action_horizon, model.max_action_dim, generator=generator)
    return Batch(images.to(device), prompt.expand(batch_size, -1).to(device), state.to(device), noise.to(device))


def relative_errors(value: Tensor, exact: Tensor) -> tuple[float, float]:
    """RMS and maximum of the error, relative to the RMS of ``exact``."""
    scale, error = exact.square().mean().sqrt(), value - exact
    return float(error.square().mean().sqrt() / scale), float(error.abs().max() / scale)


def ratio_errors(new: Tensor, old: Tensor) -> tuple[float, float]:
    """RMS and maximum of |ratio - 1|."""
    error = (new.float() - old.float()).exp() - 1
    return float(error.square().mean().sqrt()), float(error.abs().max())


def measure(version: str, sixteenths: int, batch_size: int, mini_batch: int, device: str) -> dict[str, dict]:
    """Errors of each setting."""
    with tempfile.TemporaryDirectory() as temporary:
        checkpoint = Path(temporary)
        write_scaled_checkpoint(checkpoint, version, sixteenths)
        exact = Policy(REFERENCE, checkpoint, device)
        batch = observations(exact.model, batch_size, device)
        features = exact.encode(batch)
        batch = exact.act(features, batch)
        stages, log_probs = exact.stages(features, batch), exact.log_probs(features, batch)
        rows = {}
        for setting in (REFERENCE, *SETTINGS):
            policy = Policy(setting, checkpoint, device)
            if policy.rotary_types() != {torch.float32}:
                sys.exit(f"{version}, {setting.name}: rotary frequencies are {policy.rotary_types()}")
            # once, as in training: the features of a rollout are kept for the update
            features = policy.encode(batch)
            row: dict[str, tuple[float, float]] = {}
            for name, value in policy.stages(features, batch).items():
                row[name] = relative_errors(value, stages[name])
            half = policy.log_probs(features, batch, torch.bfloat16)
            parts = [
                policy.log_probs(features, batch, part=slice(start, start + mini_batch))
                for start in range(0, batch_size, mini_batch)
            ]
            for name, value in policy.log_probs(features, batch).items():
                row[f"{name} relative"] = relative_errors(value, log_probs[name])
                error = value - log_probs[name]
                row[f"{name} nats"] = float(error.square().mean().sqrt()), float(error.abs().max())
                row[f"{name} parts"] = ratio_errors(torch.cat([part[name] for part in parts]), value)
                row[f"{name} stored"] = ratio_errors(value, value.bfloat16())
                row[f"{name} computed"] = ratio_errors(value, half[name])
            rows[setting.name] = row
    return rows


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sixteenths", type=int, default=2, help="Widths in sixteenths of the published ones.")
    parser.add_argument("--batch_size", type=int, default=16)
    # on a CPU most sizes take the same kernels, which hides what a GPU shows at any size; only one sample differs
    parser.add_argument("--mini_batch", type=int, default=1, help="Batch size of the update (default: %(default)s).")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()
    torch.set_float32_matmul_precision("highest")

    results = {v: measure(v, args.sixteenths, args.batch_size, args.mini_batch, args.device) for v in VERSIONS}
    print(f"\n{args.device}, widths {args.sixteenths}/16, batch {args.batch_size}, {platform.node()}; RMS / maximum\n")
    halves = {v: {setting.name: rows[setting.name] for setting in SETTINGS} for v, rows in results.items()}
    stages = ["features", "context", "velocity", "actions", "Gaussian relative", "flow relative"]
    titles = [*stages[:4], "Gaussian log-prob", "flow log-prob"]
    _table("Error relative to float32", stages, titles, halves)
    nats = ["Gaussian nats", "flow nats"]
    _table("Error of log-probabilities, in nats", nats, ["Gaussian", "flow"], halves)
    titles = [f"fp32, update in batches of {args.mini_batch}", "stored in bf16", "computed in bf16"]
    for policy in ("Gaussian", "flow"):
        kinds = [f"{policy} {kind}" for kind in ("parts", "stored", "computed")]
        _table(f"{policy} policy: |first ratio - 1| where the rollout's log-probabilities are", kinds, titles, results)
    print("Rotary frequencies are float32 in every row.")
    if args.json:
        args.json.write_text(
            json.dumps({"arguments": vars(args) | {"json": str(args.json)}, "rows": results}, indent=1)
        )


def _table(title: str, columns: list[str], titles: list[str], results: dict[str, dict]) -> None:
    print(f"{title}:\n")
    print(f"| | setting | {' | '.join(titles)} |")
    print(f"|{'---|' * (len(columns) + 2)}")
    for version, rows in results.items():
        for name, row in rows.items():
            cells = [f"{row[column][0]:.1e} / {row[column][1]:.1e}" for column in columns]
            print(f"| {version} | {name} | {' | '.join(cells)} |")
    print()


if __name__ == "__main__":
    main()
