# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The optimizer's side of an update: epochs over mini-batches, gradients, learning rates, skipped steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.utils import resolve_optimizer
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gr00t_rl_ext.algorithms import objectives
from gr00t_rl_ext.algorithms.finite import SkippedSteps
from gr00t_rl_ext.algorithms.options import OptimizationOptions
from gr00t_rl_ext.algorithms.ranks import Ranks, mini_batches, shares
from gr00t_rl_ext.algorithms.schedules import LearningRates
from gr00t_rl_ext.algorithms.storage import DecisionStorage
from gr00t_rl_ext.policy.freezing import TrainedGroup


@dataclass(frozen=True)
class Loss:
    """The loss of some decisions."""

    total: Tensor
    """What is minimised, a mean over the decisions, ()."""

    parts: Mapping[str, Tensor]
    """What it consists of and what is logged beside it, means over the decisions."""

    log_ratio: Tensor
    """Log of the probability of each chunk over what it was in the rollout, (B,)."""


class Updater:
    """Owns the optimizer of all that trains.

    Args:
        networks: What trains beside GR00T, by name.
        groups: What of GR00T trains.
        options: The fields of ``agent.algorithm``.
        ranks: The processes.
        device: Where the parameters are.
        total_iterations: Iterations of the run, for linear schedules.
        clipped_apart: Groups whose gradient is clipped on its own; all others together are the policy's.
        has_half: Whether anything that has a gradient computes in float16.

    Raises:
        ValueError: A schedule lacks the number of iterations.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        groups: Iterable[TrainedGroup],
        options: OptimizationOptions,
        ranks: Ranks,
        *,
        device: str,
        total_iterations: int | None,
        clipped_apart: tuple[str, ...],
        has_half: bool,
    ) -> None:
        self._options, self._ranks, self._clipped_apart = options, ranks, clipped_apart
        self._device_type = torch.device(device).type
        name = options.optimizer.lower()
        settings: dict[str, Any] = {}
        if name in ("adam", "adamw", "rmsprop"):
            # no. 3 of the 37 implementation details; SGD has no epsilon
            settings["eps"] = options.adam_epsilon
        if name in ("adam", "adamw") and self._device_type == "cuda":
            settings["fused"] = True
        rates = options.learning_rates()
        own = [{"params": list(net.parameters()), "lr": rates[key], "name": key} for key, net in networks.items()]
        of_gr00t = [_parameter_group(group, options.learning_rate) for group in groups]
        self.optimizer: torch.optim.Optimizer = resolve_optimizer(name)(  # type: ignore[operator]
            [*own, *of_gr00t], lr=options.learning_rate, **settings
        )
        self.rates = LearningRates(
            self.optimizer,
            options.schedules(),
            total_iterations=total_iterations,
            desired_kl=options.desired_kl,
            warmup_steps=options.learning_rate_warmup_steps,
        )
        self.skipped = SkippedSteps(options.max_skipped_steps)
        self.scaler = self._make_scaler(has_half)

    def _make_scaler(self, has_half: bool) -> GradScaler:
        """Keeps gradients of float16 layers, whose smallest number is 6e-8, from becoming zero."""
        return GradScaler(self._device_type, enabled=has_half)

    def add_groups(self, groups: Iterable[TrainedGroup], has_half: bool) -> None:
        """Optimise further parameters. The optimizer keeps its state of the others."""
        for group in groups:
            self.rates.add_group(_parameter_group(group, self._options.learning_rate))
        self.scaler = self._make_scaler(has_half)

    def part_size(self, storage: DecisionStorage) -> int:
        """Decisions that go through the networks at once."""
        mini_batch = -(-storage.num_decisions // self._options.num_mini_batches)
        return -(-mini_batch // self._options.gradient_accumulation_steps)

    def epochs(
        self,
        storage: DecisionStorage,
        whole: Callable[[Tensor], Any],
        loss: Callable[[Any, Any], Loss],
        policy_trains: bool,
        num_epochs: int,
        counted: Sequence[int] | None = None,
    ) -> dict[str, float]:
        """Passes over the stored decisions, until their number or, where the policy trains, the target KL is reached.

        Args:
            storage: The decisions.
            whole: Indices of a mini-batch -> what its parts must know of it.
            loss: A part of a mini-batch, and that -> its loss.
            policy_trains: Whether the policy may move: learning rates follow its KL.
            num_epochs: Passes at most.
            counted: Decisions of each rank; 0 for one whose decisions do not count. None: all count.

        Returns:
            Means over the mini-batches, of all ranks.

        Raises:
            DivergedError: Gradients were not finite too often in a row.
        """
        sums: dict[str, float] = {}
        num_updates, first_ratio_error, stopped = 0, 0.0, False
        lengths = self._ranks.each(storage.num_decisions)
        count = mini_batches(lengths, self._options.num_mini_batches)
        # a rank's mean counts by its decisions, as if all were of one process
        weights = shares(lengths, counted or lengths, count, self._ranks.rank)
        for _ in range(num_epochs):
            kls = []
            for weight, indices in zip(weights, storage.shuffled(count), strict=True):
                metrics, log_ratio = self._mini_batch(storage, indices, whole(indices), loss, policy_trains, weight)
                if num_updates == 0:
                    first_ratio_error = float((log_ratio.exp() - 1.0).abs().max())
                for name, value in metrics.items():
                    sums[name] = sums.get(name, 0.0) + weight * value
                kls.append(weight * metrics["approx_kl"])
                num_updates += 1
            target = self._options.target_kl if policy_trains else None
            # all ranks stop, or none
            if target is not None and self._ranks.mean(sum(kls) / len(kls)) > target:
                stopped = True
                break
        means = torch.tensor(list(sums.values()), dtype=torch.float64, device=storage.device)
        means /= num_updates * self._ranks.count
        return dict(zip(sums, self._ranks.total(means).tolist(), strict=True)) | {
            "first_ratio_error": first_ratio_error,
            "num_updates": num_updates,
            "stopped_early": float(stopped),
        }

    def _mini_batch(
        self,
        storage: DecisionStorage,
        indices: Tensor,
        whole: Any,
        loss: Callable[[Any, Any], Loss],
        trains: bool,
        weight: float,
    ) -> tuple[dict[str, float], Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        log_ratios = []
        for part in indices.split(self.part_size(storage)):
            # gradients of the parts add up to those of the whole
            share = part.shape[0] / indices.shape[0]
            of_part = loss(storage.batch(part), whole)
            self.scaler.scale(weight * share * of_part.total).backward()
            log_ratios.append(of_part.log_ratio.detach())
            for name, value in of_part.parts.items():
                sums[name] = sums.get(name, 0.0) + share * value.detach()
        self._ranks.average_gradients([p for group in self.optimizer.param_groups for p in group["params"]])
        if self.rates.is_adaptive and trains:
            self.rates.adapt(self._ranks.mean(weight * float(sums["exact_kl"])))
        self.scaler.unscale_(self.optimizer)
        norms = self._clip_gradients()
        log_ratio = torch.cat(log_ratios)
        metrics = sums | norms | {"approx_kl": objectives.approximate_kl(log_ratio)}
        # one synchronisation with the device for all of them
        floats = dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))
        if self._step(all(math.isfinite(floats[name]) for name in norms)) and trains:
            self.rates.count_step()
        return floats, log_ratio

    def _clip_gradients(self) -> dict[str, Tensor]:
        """Clip the policy's gradient, and that of each group apart, to ``max_grad_norm``; norms of all before that."""
        # a flow policy has no networks of its own
        groups: dict[str, list[nn.Parameter]] = {
            group["name"]: group["params"] for group in self.optimizer.param_groups if group["params"]
        }
        norms = {
            name: nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            for name, parameters in groups.items()
        }
        for apart in self._clipped_apart:
            nn.utils.clip_grads_with_norm_(groups[apart], self._options.max_grad_norm, norms[apart])
        policy = [name for name in groups if name not in self._clipped_apart]
        policy_norm = nn.utils.get_total_norm([norms[name] for name in policy])
        parameters = [parameter for name in policy for parameter in groups[name]]
        nn.utils.clip_grads_with_norm_(parameters, self._options.max_grad_norm, policy_norm)
        return {f"grad_norm_{name}": norm for name, norm in norms.items()}

    def _step(self, finite: bool) -> bool:
        """Take the step, unless its gradient is not finite. Returns whether it was taken."""
        # with float16, gradients overflow until the scale has come down to what they can bear
        searching = self.scaler.is_enabled() and self.scaler.get_scale() > 1.0
        if not searching:
            finite = self.skipped.record(finite)
        if finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return finite

    # Checkpoints

    def state(self) -> dict[str, Any]:
        """For a checkpoint: optimizer, gradient scaler, learning rates."""
        return {
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "learning_rates": self.rates.state_dict(),
            "skipped_steps": self.skipped.total,
        }

    def load(self, state: Mapping[str, Any], *, with_optimizer: bool, before: int | None) -> None:
        """Go on from :meth:`state`.

        Args:
            state: The checkpoint.
            with_optimizer: Whether to take the optimizer's state.
            before: Updates before this run, to take the learning rates as well; None: not.
        """
        if with_optimizer:
            self.optimizer.load_state_dict(state["optimizer_state_dict"])
        if self.scaler.is_enabled() and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if before is not None:
            # after the optimizer, whose state holds the rates as well
            self.rates.load_state_dict(state["learning_rates"], before, with_optimizer=with_optimizer)
            self.skipped.total = state.get("skipped_steps", 0)


def _parameter_group(group: TrainedGroup, learning_rate: float) -> dict[str, Any]:
    rate = learning_rate if group.learning_rate is None else group.learning_rate
    return {"params": list(group.parameters.values()), "lr": rate, "name": group.name}
