# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of chunked Isaac Lab environments: common starts, shared states, and parking of finished members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.envs import state_copy
from gr00t_rl_ext.envs.groups import GroupedEnv

TOLERANCE = 1.0e-6
"""Largest difference of an observation within a group that counts as none, relative to values above 1."""

_ROUNDINGS = 4
"""Roundings of a world coordinate, to 2**-23 of the distance from the world's origin, that an observation may show."""


class GroupStatesMixin(GroupedEnv):
    """Groups of an Isaac Lab environment with action chunks.

    What differs between the two kinds of environment is left to the methods at the end.
    """

    device: str
    scene: Any
    sim: Any
    cfg: Any
    extras: dict
    obs_buf: Any
    has_rtx_sensors: bool
    episode_length_buf: torch.Tensor

    factors: Any
    start_set: Any
    as_simulated: Any
    _reset_idx: Any
    _own_action_space: Any

    _parked: torch.Tensor | None = None
    """Environments that idle. Shape (num_envs,), bool. None if there are none."""

    _episode_return: torch.Tensor
    _episode_steps: torch.Tensor

    def _prepare_groups(self, group_size: int) -> None:
        state_copy.check_scene(self.scene)
        if self.cfg.events:
            state_copy.check_events(self.event_manager)  # type: ignore[attr-defined]
        self._check_buffers()
        state_copy.warn_of_mixed_iterations(self.scene)

    def _begin_groups(self, leaders: Sequence[int], members: Sequence[int]) -> None:
        sources, targets = self._ids(leaders), self._ids(members)
        # a reset for the learner's sake ends no episode: nothing of it belongs into the log
        log = self.extras.pop("log", None)
        with self._own_action_space():
            self._reset_idx(targets)
        self.extras.pop("log", None)
        if log is not None:
            self.extras["log"] = log
        begun = self._mask(targets)
        self._episode_return = torch.where(begun, 0.0, self._episode_return)
        self._episode_steps = torch.where(begun, 0, self._episode_steps)
        self._copy_states(sources, targets)
        self._observe_again(sources, targets, begin=True)

    def _copy_members(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        from_ids, to_ids = self._ids(sources), self._ids(targets)
        for buffer in self._episode_buffers():
            buffer[to_ids] = buffer[from_ids]
        state_copy.copy_rows(self, ("_episode_return", "_episode_steps"), from_ids, to_ids)
        self._copy_states(from_ids, to_ids)
        self._observe_again(from_ids, to_ids, begin=False)

    def _set_parked(self, parked: torch.Tensor) -> None:
        self._parked = parked.to(self.device).clone() if bool(parked.any()) else None

    def _ids(self, indices: Sequence[int]) -> torch.Tensor:
        return torch.tensor(indices, dtype=torch.int32, device=self.device)

    def _mask(self, indices: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[indices] = True
        return mask

    def _copy_states(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy the simulated state and the managers' or the task's buffers."""
        followers = sources != targets
        state_copy.copy_scene(self.scene, sources[followers], targets[followers])
        self._copy_buffers(sources[followers], targets[followers])
        for factor in self.factors.values():
            factor.copy(sources[followers], targets[followers])
        if self.start_set is not None:
            self.start_set.copy(sources[followers], targets[followers])
        state_copy.refresh_frames(self.sim)
        for sensor in self.scene.sensors.values():
            # or it would show what it read before the copy
            sensor.reset(targets)
        if self.has_rtx_sensors:
            for _ in range(max(1, self.cfg.num_rerenders_on_reset)):
                self.sim.render()

    def _observe_again(self, sources: torch.Tensor, targets: torch.Tensor, begin: bool) -> None:
        """Observe the copied states; the others are observed already. If the targets' episodes ``begin``, this is the
        first sample of their histories."""
        copied = self._mask(targets)
        if self._parked is not None:
            self._set_parked(self._parked & ~(copied | self._mask(sources)))
        before = TensorDict(self.obs_buf, batch_size=[self.num_envs])
        observed: Any = TensorDict(self._observe_states(copied, begin), batch_size=[self.num_envs])
        if begin:
            # what observing them wrote
            self._copy_buffers(sources, targets)
        observed = torch.where(copied, observed, before)
        self.obs_buf = observed.to_dict()
        self._check_equal(observed, sources, targets)

    def _check_equal(self, observed: TensorDict, sources: torch.Tensor, targets: torch.Tensor) -> None:
        far = float(self.scene.env_origins.abs().max())
        rounding = _ROUNDINGS * torch.finfo(torch.float32).eps * far
        for key in observed.keys(include_nested=True, leaves_only=True):
            group = key if isinstance(key, str) else key[0]
            values = observed[key]
            if values.ndim > 3 or group in self._noisy_groups() or group in self.as_simulated:
                continue  # images are rendered, not copied; noise is drawn for each environment
            expected, actual = values[sources].double(), values[targets].double()
            # not a number is what a leader may observe as well
            excess = (actual - expected).abs() - TOLERANCE * expected.abs().clamp(min=1.0) - rounding
            differs = (excess > 0) | (actual.isnan() != expected.isnan())
            if bool(differs.any()):
                difference = (actual - expected).abs().flatten(1).amax(dim=1)
                worst = int(torch.where(differs.flatten(1).any(dim=1), difference.nan_to_num(torch.inf), -1.0).argmax())
                raise ValueError(
                    f"Environment {int(targets[worst])} does not observe what its leader {int(sources[worst])} does:"
                    f" observation group '{group}' differs by up to {float(difference[worst]):.2g} although the state"
                    " was copied. A term that uses world coordinates must subtract `env.scene.env_origins`; one that"
                    " keeps values of its own must declare them in `state_buffers`; one that draws random numbers must"
                    " leave that to the term's `noise`, which is not compared."
                )

    # What the two kinds of environment do differently.

    def _check_buffers(self) -> None:
        """Raise a ValueError if there is a state whose copy is not possible."""
        raise NotImplementedError

    def _episode_buffers(self) -> Iterable[torch.Tensor]:
        """Statistics of the running episodes, each of shape (num_envs, ...), to be written in place."""
        raise NotImplementedError

    def _copy_buffers(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy what belongs to the state of an environment beside the scene."""
        raise NotImplementedError

    def _observe_states(self, copied: torch.Tensor, begin: bool) -> Mapping[str, Any]:
        """Observe the selected groups, leaving a trace in later observations only of the rows ``copied``, (num_envs,)
        bool, and only if their episodes ``begin``."""
        raise NotImplementedError

    def _noisy_groups(self) -> Iterable[str]:
        """Observation groups that are random beyond the state."""
        raise NotImplementedError
