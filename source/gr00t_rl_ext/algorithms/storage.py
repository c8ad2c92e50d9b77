# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Rollout storages: what was decided, and what PPO and GRPO keep beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.policy.actor import Actor, Decisions, Parameters


@dataclass(frozen=True)
class Batch:
    """Some stored decisions."""

    observations: TensorDict
    """As they were kept, (B,)."""

    decisions: Decisions
    """What was decided."""

    old: Parameters | None
    """Parameters of the policy's distribution before the first step of the update; None: as they were recorded."""

    base: Parameters | None
    """Those of the policy at step 0; None where they are not kept."""

    rows: TensorDict
    """All that is stored of them, by the names of the storage's attributes, (B,)."""


class DecisionStorage:
    """Decisions of T steps in N environments, each of up to H control steps.

    Args:
        observations: An example of what the environments observe, (N,).
        num_steps: T.
        actor: The policy, which tells what is kept of its observations, decisions and distributions.
        kept_distributions: Which distributions are kept beside the recorded one, ``old`` and ``base``.
        device: Where it lives.
    """

    def __init__(
        self, observations: TensorDict, num_steps: int, actor: Actor, kept_distributions: tuple[str, ...], device: str
    ) -> None:
        self.num_envs, self.num_steps, self.device = observations.batch_size[0], num_steps, device
        self.chunk_length = actor.chunk_length
        self.rows = TensorDict(batch_size=[num_steps, self.num_envs])
        """All that is stored, (T, N): the attributes that follow, by their names."""

        for key, value in actor.encoder.encoded_example(observations).items():
            self._hold(("observations", key), *value.shape[1:], dtype=value.dtype)
        self.observations: TensorDict = self.rows["observations"]
        """What is kept of the observations, (T, N)."""

        self.valid = self._hold("valid", self.chunk_length, dtype=torch.bool)
        """Which control steps were executed, (T, N, H)."""

        self.actions = self._hold("actions", self.chunk_length * actor.encoder.spec.action_dim)
        """(T, N, H * A)."""

        self.recorded: Parameters | None = None
        """What the policy recorded of the decisions, (T, N, ...) each. Allocated with the first decision."""

        self.kept = {name: self._hold_parameters(name, actor.distribution_shapes) for name in kept_distributions}
        """Parameters of further distributions, (T, N, ...) each."""

        self.step = 0
        """Steps that are filled."""

    def _hold(self, name: str | tuple[str, ...], *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Zeros (T, N, ...), as a part of :attr:`rows`."""
        zeros = torch.zeros(self.num_steps, self.num_envs, *shape, dtype=dtype, device=self.device)
        self.rows[name] = zeros
        return zeros

    def _hold_parameters(self, name: str, shapes: Iterable[Sequence[int]]) -> Parameters:
        return tuple(self._hold((name, str(index)), *shape) for index, shape in enumerate(shapes))

    def record(
        self, observations: TensorDict, actions: Tensor, recorded: Parameters, envs: Tensor | slice = slice(None)
    ) -> None:
        """Put the decisions of some environments into the current step.

        Args:
            observations: What is kept of them, (B,). What an update does not need of it is left out.
            actions: (B, H * A).
            recorded: (B, ...) each.
            envs: The environments, as B indices.
        """
        if self.recorded is None:
            self.recorded = self._hold_parameters("recorded", [values.shape[1:] for values in recorded])
        for key, held in self.observations.items():
            held[self.step, envs] = observations[key]
        self.actions[self.step, envs] = actions
        for stored, values in zip(self.recorded, recorded, strict=True):
            stored[self.step, envs] = values

    def clear(self) -> None:
        """Begin with the first step again."""
        self.step = 0

    @property
    def executed(self) -> Tensor:
        """Executed control steps, (T, N) int."""
        return self.valid.sum(-1)

    @property
    def num_decisions(self) -> int:
        """Decisions to learn from: T * N."""
        return self.num_envs * self.num_steps

    def shuffled(self, num_mini_batches: int) -> Iterator[Tensor]:
        """Indices of mini-batches of equal size: every decision once, in an order that is drawn anew."""
        order = torch.randperm(self.num_decisions, device=self.device)
        yield from order.split(self.num_decisions // num_mini_batches)

    def in_order(self, size: int) -> Iterator[Tensor | slice]:
        """All decisions in parts of a size."""
        for start in range(0, self.num_decisions, size):
            yield slice(start, min(start + size, self.num_decisions))

    def batch(self, which: Tensor | slice) -> Batch:
        """Some decisions, by their indices in the flattened (T * N) storage."""
        rows: Any = self.rows.flatten(0, 1)[which]
        kept = {name: tuple(rows[name].values()) for name in ("recorded", *self.kept)}
        decisions = Decisions(rows["actions"], kept["recorded"], rows["valid"])
        return Batch(rows["observations"], decisions, kept.get("old"), kept.get("base"), rows)

    def keep(self, name: str, which: Tensor | slice, parameters: Parameters) -> None:
        """Keep parameters of a distribution over some decisions."""
        for stored, values in zip(self.kept[name], parameters, strict=True):
            stored.flatten(0, 1)[which] = values

    def tensors(self) -> dict[str, list[Tensor]]:
        """All that it holds, by what it is."""
        parts: dict[str, list[Any]] = {name: [value] for name, value in self.observations.items()}
        of_policy = ("actions", "recorded", *self.kept)
        for name, value in self.rows.exclude("observations").flatten_keys().items():
            part = "actions and distribution" if name.split(".")[0] in of_policy else "outcomes and advantages"
            parts.setdefault(part, []).append(value)
        return parts


class ValueStorage(DecisionStorage):
    """Decisions, their rewards, and the values of a critic.

    Args:
        *args: As of :class:`DecisionStorage`.
        num_values: W, values per decision: 1, or H with a critic of control steps.
    """

    def __init__(self, *args: Any, num_values: int) -> None:
        super().__init__(*args)
        self.rewards = self._hold("rewards")
        """(T, N)."""

        self.dones = self._hold("dones", dtype=torch.bool)
        """Whether the episode ended in the decision, (T, N)."""

        self.values = self._hold("values", num_values)
        """Values at the time of the rollout, (T, N, W)."""

        self.returns = self._hold("returns", num_values)
        """Targets of the values, (T, N, W)."""

        self.advantages = self._hold("advantages", num_values)
        """(T, N, W)."""

        self.step_rewards = self._hold("step_rewards", self.chunk_length) if num_values > 1 else None
        """Reward of each control step, (T, N, H); only for values of control steps."""

        self.final_values = self._hold("final_values")
        """Value of what follows an episode that ended: of the final observation at a time-out, 0 else. (T, N)."""


@dataclass(frozen=True)
class Outcomes:
    """What came of the segments of a rollout: whole episodes, or parts of them. R rounds of S segments."""

    returns: Tensor
    """Undiscounted, (R, S, N)."""

    successes: Tensor
    """Whether the episode ended in success in the segment, (R, S, N) bool."""

    lengths: Tensor
    """Decisions, 0 where the environment took no part, (R, S, N) int."""


class GroupStorage(DecisionStorage):
    """Decisions of R rounds of T steps in N environments. Rows of environments that did not act are not valid.

    Args:
        *args: As of :class:`DecisionStorage`, with R * T steps.
        rounds: R.
        segment_length: Steps of a segment, of which T is a multiple. None: T.
    """

    def __init__(self, *args: Any, rounds: int, segment_length: int | None) -> None:
        super().__init__(*args)
        self.rounds = rounds
        self.round_length = self.num_steps // rounds
        """T."""

        self.segment_length = segment_length or self.round_length
        self.rewards = self._hold("rewards")
        """(R * T, N)."""

        self.successes = self._hold("successes", dtype=torch.bool)
        """(R * T, N)."""

        self.advantages = self._hold("advantages")
        """(R * T, N)."""

        self.weights = self._hold("weights")
        """Weights of the decisions in the objective, (R * T, N)."""

        self.learned: Tensor | None = None
        """Indices of the decisions to learn from, in the flattened storage; None before they are known."""

    def clear(self) -> None:
        """Forget all decisions."""
        super().clear()
        self.learned = None
        self.forget(slice(None), slice(None))

    def forget(self, steps: slice, envs: Tensor | slice) -> None:
        """Forget the decisions of some environments in some steps."""
        for tensor in (self.valid, self.rewards, self.successes):
            tensor[steps, envs] = 0

    def steps_of_round(self, number: int) -> slice:
        """Rows of a round, counted from 0."""
        return slice(number * self.round_length, (number + 1) * self.round_length)

    def outcomes(self) -> Outcomes:
        """What came of the segments."""

        def by_segment(tensor: Tensor) -> Tensor:
            return tensor.view(self.rounds, -1, self.segment_length, self.num_envs)

        acted = self.valid.any(-1).long()
        return Outcomes(by_segment(self.rewards).sum(2), by_segment(self.successes).any(2), by_segment(acted).sum(2))

    def per_decision(self, per_segment: Tensor) -> Tensor:
        """The number of each decision's segment: (R, S, N) -> (R * T, N)."""
        return per_segment.repeat_interleave(self.segment_length, dim=1).flatten(0, 1)

    def learn_from(self, which: Tensor) -> None:
        """Choose the decisions to learn from: (R * T, N) bool."""
        chosen = [index for index, learned in enumerate(which.flatten().tolist()) if learned]
        self.learned = torch.tensor(chosen, dtype=torch.long, device=self.device)

    @property
    def num_decisions(self) -> int:
        """Decisions to learn from; all that there is room for before they are known."""
        return super().num_decisions if self.learned is None else len(self.learned)

    def shuffled(self, num_mini_batches: int) -> Iterator[Tensor]:
        """Indices of up to so many mini-batches: every decision once, in an order that is drawn anew."""
        assert self.learned is not None
        order = self.learned[torch.randperm(len(self.learned), device=self.device)]
        yield from order.split(-(-len(order) // num_mini_batches))

    def in_order(self, size: int) -> Iterator[Tensor]:
        """The decisions to learn from in parts of a size. The last one begins earlier where it would be smaller: in a
        batch of another size numbers are rounded otherwise."""
        assert self.learned is not None
        count = len(self.learned)
        for start in range(0, count, size):
            begin = max(0, min(start, count - size))
            yield self.learned[begin : begin + size]
