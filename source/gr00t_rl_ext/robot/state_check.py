# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reports states far outside of the data that a checkpoint's statistics are of.

The policy was not trained on what they become when they are normalised. The usual reasons are units, the order of a
quaternion, and a number that hardly moved in the data.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gr00t_rl_ext.gr00t.normalization import VectorNormalizer

LIMITS = (3.0, 1000.0)
"""Largest distance from 0 that is not reported, where the data lies in [-1, 1]: of the first batch, and of those after.

Episodes begin where those of the data did: on this package's tasks, by statistics of 12 to 30 episodes, at most 1.8.
After that, a policy that is not trained yet wanders, on lifting up to 50. Beyond 1000 is only what hardly moved."""

WATCHED = 64
"""Batches of states that are watched."""

NARROW = 1e-3
"""A range below this is nearly 0, be it in rad or m."""

_HEADING = """\
warning: the state is far outside of the data that the checkpoint's statistics are of.
  The policy was not trained on such states. Compare the task's observations with the checkpoint's keys:
  `agent.actor.gr00t.mapping` names what they correspond to, with units and orders of quaternions."""


class StateCheck:
    """Watches the first states that a policy is given, and reports each key once.

    Args:
        state: What normalises the states.
    """

    def __init__(self, state: VectorNormalizer) -> None:
        self._keys = state.slices()
        self._limits = state.limits()
        # least and greatest value of each number so far, (2, raw_dim)
        self._seen: Tensor | None = None
        self._batches = 0
        self._notes: dict[str, str] = {}

    def watch(self, raw: Tensor) -> None:
        """Look at states in the checkpoint's keys and units, (num_envs, raw_dim)."""
        if self._batches == WATCHED:
            return
        self._batches += 1
        least, greatest = raw.aminmax(dim=0)
        if self._seen is not None:
            least, greatest = torch.minimum(least, self._seen[0]), torch.maximum(greatest, self._seen[1])
        self._seen = torch.stack([least, greatest])
        # after 1, 2, 4, ... batches only, since a GPU waits for it
        if self._batches.bit_count() == 1:
            self.notes()

    def notes(self) -> tuple[str, ...]:
        """A line for each key with a number that was far outside so far."""
        if self._seen is None:
            return ()
        low, high = self._limits
        scaled = 2 * (self._seen - low) / (high - low) - 1
        limit = LIMITS[self._batches > 1]
        is_near = ~(scaled.abs() > limit)
        if not is_near.all():
            new = {}
            for key, where in self._keys.items():
                if key not in self._notes and not is_near[:, where].all():
                    new[key] = _note(key, self._seen[:, where], self._limits[:, where], scaled[:, where], limit)
            if new:
                print("\n".join([*([] if self._notes else [_HEADING]), *(f"  {note}" for note in new.values())]))
            self._notes |= new
        return tuple(self._notes.values())


def _note(key: str, seen: Tensor, limits: Tensor, scaled: Tensor, limit: float) -> str:
    """What is wrong with a key, from its numbers: (2, width) each."""
    distance = scaled.abs().nan_to_num(nan=0.0)
    far = (distance > limit).any(0).nonzero().flatten().tolist()
    end, worst = divmod(int(distance.argmax()), distance.shape[1])
    value, (low, high) = float(seen[end, worst]), limits[:, worst].tolist()
    if high - low < NARROW:
        cause = f"it hardly moved in the data (by {high - low:.2g}): record data in which it does, or leave it out"
    elif len(far) > 1 and distance.shape[1] >= 4 and abs(value) <= 1.01:
        cause = "a quaternion in another order (wxyz, xyzw), or another frame or observation term"
    else:
        cause = "another unit (degrees for radians, mm for m), or another observation term"
    return (
        f"state.{key}, dimension {', '.join(map(str, far))}: saw {value:.4g} in dimension {worst}; the statistics have "
        f"{low:.4g} to {high:.4g}; normalised {float(scaled[end, worst]):.4g} (usual: -1 to 1). Likely {cause}."
    )
