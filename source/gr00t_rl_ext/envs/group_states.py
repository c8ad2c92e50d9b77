# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of chunked Isaac Lab environments: common starts, shared states, and parking of finished members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.envs import groups, state_copy

TOLERANCE = 1.0e-6
"""Largest difference of an observation within a group that counts as none, relative to values above 1."""

_ROUNDINGS = 4
"""Roundings of a world coordinate, to 2**-23 of the distance from the world's origin, that an observation may show."""


class GroupStatesMixin:
    """Makes an :class:`~gr00t_rl_ext.envs.chunking.ActionChunkMixin` a :class:`~gr00t_rl_ext.envs.groups.GroupedEnv`.

    What differs between the two kinds of Isaac Lab environment is left to the methods at the end.
    """

    num_envs: int
    device: str
    scene: Any
    sim: Any
    cfg: Any
    extras: dict
    obs_buf: Any
    has_rtx_sensors: bool
    episode_length_buf: torch.Tensor

    _group_size: int | None = None
    _parked: torch.Tensor | None = None
    """Environments that idle. Shape (num_envs,), bool. None if there are none."""

    _episode_return: torch.Tensor
    _episode_steps: torch.Tensor

    def configure_groups(self, group_size: int) -> None:
        """Declare groups of neighbouring environments; see :class:`~gr00t_rl_ext.envs.groups.GroupedEnv`.

        Raises:
            ValueError: If the sizes do not fit, or the scene, an event term or a term's buffers cannot be copied.
        """
        groups.check_group_size(self.num_envs, group_size)
        state_copy.check_scene(self.scene)
        if self.cfg.events:
            state_copy.check_events(self.event_manager)  # type: ignore[attr-defined]
        self._check_buffers()
        state_copy.warn_of_mixed_iterations(self.scene)
        self._group_size = group_size

    def start_groups(self, groups: Sequence[int]) -> None:
        """Begin a new episode in these groups, in their leaders' states.

        Raises:
            ValueError: If a group does not exist, groups are not configured, or members observe something else than
                their leader.
        """
        members = self._members(groups)
        if not len(members):
            return
        # a reset for the learner's sake ends no episode: nothing of it belongs into the log
        log = self.extras.pop("log", None)
        self._begin_episodes(members)
        self.extras.pop("log", None)
        if log is not None:
            self.extras["log"] = log
        begun = self._mask(members)
        self._episode_return = torch.where(begun, 0.0, self._episode_return)
        self._episode_steps = torch.where(begun, 0, self._episode_steps)
        self._copy_states(self._leaders_at_start(members), members)
        self._observe_again(self._leaders_at_start(members), members, begin=True)

    def share_states(self, leaders: Sequence[int]) -> None:
        """Let every member of these environments' groups continue from their states.

        Raises:
            ValueError: If an environment does not exist, two are of one group, groups are not configured, or members
                observe something else than their leader.
        """
        sources, targets = groups.followers_of_leaders(leaders, self.num_envs, self._configured_size())
        if not sources:
            return
        from_ids, to_ids = self._ids(sources), self._ids(targets)
        for buffer in self._episode_buffers():
            buffer[to_ids] = buffer[from_ids]
        state_copy.copy_rows(self, ("_episode_return", "_episode_steps"), from_ids, to_ids)
        self._copy_states(from_ids, to_ids)
        self._observe_again(from_ids, to_ids, begin=False)
        self._unpark(self._mask(self._ids(leaders)))

    def park(self, parked: torch.Tensor) -> None:
        """Let these environments idle and no others.

        Args:
            parked: Shape (num_envs,), bool.

        Raises:
            ValueError: If the shape or type differs.
        """
        if tuple(parked.shape) != (self.num_envs,) or parked.dtype != torch.bool:
            raise ValueError(
                f"The environments to park are a tensor of shape {tuple(parked.shape)} and type {parked.dtype};"
                f" expected ({self.num_envs},) and torch.bool."
            )
        self._parked = parked.to(self.device).clone() if bool(parked.any()) else None

    def _members(self, indices: Sequence[int]) -> torch.Tensor:
        return self._ids(groups.members_of_groups(indices, self.num_envs, self._configured_size()))

    def _leaders_at_start(self, members: torch.Tensor) -> torch.Tensor:
        size = self._configured_size()
        return members // size * size

    def _configured_size(self) -> int:
        if self._group_size is None:
            raise ValueError("The environments have no groups yet; call `configure_groups` first.")
        return self._group_size

    def _ids(self, indices: Sequence[int]) -> torch.Tensor:
        return torch.tensor(indices, dtype=torch.int32, device=self.device)

    def _mask(self, indices: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        mask[indices] = True
        return mask

    def _unpark(self, active: torch.Tensor) -> None:
        if self._parked is not None:
            self.park(self._parked & ~active)

    def _copy_states(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy the simulated state and the managers' or the task's buffers."""
        followers = sources != targets
        state_copy.copy_scene(self.scene, sources[followers], targets[followers])
        self._copy_buffers(sources[followers], targets[followers])
        state_copy.refresh_frames(self.sim)
        for sensor in self.scene.sensors.values():
            # or it would show what it read before the copy
            sensor.reset(targets)
        if self.has_rtx_sensors:
            for _ in range(max(1, self.cfg.num_rerenders_on_reset)):
                self.sim.render()

    def _observe_again(self, sources: torch.Tensor, targets: torch.Tensor, begin: bool) -> None:
        """Observe the copied states; the others are observed already.

        Args:
            begin: Whether the targets' episodes have just begun, so that this is the first sample of their histories.
        """
        copied = self._mask(targets)
        self._unpark(copied)
        before = TensorDict(self.obs_buf, batch_size=[self.num_envs])
        observed: Any = TensorDict(self._observe_states(copied, begin), batch_size=[self.num_envs])
        if begin:
            self._copy_histories(sources, targets)
        observed = torch.where(copied, observed, before)
        self.obs_buf = observed.to_dict()
        self._check_equal(observed, sources, targets)

    def _check_equal(self, observed: TensorDict, sources: torch.Tensor, targets: torch.Tensor) -> None:
        far = float(self.scene.env_origins.abs().max())
        rounding = _ROUNDINGS * torch.finfo(torch.float32).eps * far
        for key in observed.keys(include_nested=True, leaves_only=True):
            group = key if isinstance(key, str) else key[0]
            values = observed[key]
            if values.ndim > 3 or group in self._noisy_groups():
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

    def _begin_episodes(self, ids: torch.Tensor) -> None:
        """Reset these environments as Isaac Lab does at an episode's end."""
        raise NotImplementedError

    def _episode_buffers(self) -> Iterable[torch.Tensor]:
        """Statistics of the running episodes, each of shape (num_envs, ...), to be written in place."""
        raise NotImplementedError

    def _copy_buffers(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy what belongs to the state of an environment beside the scene."""
        raise NotImplementedError

    def _copy_histories(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy what earlier observations left for later ones."""
        raise NotImplementedError

    def _observe_states(self, copied: torch.Tensor, begin: bool) -> Mapping[str, Any]:
        """Observe the selected groups, leaving a trace in later observations only of copied rows and only if ``begin``.

        Args:
            copied: Environments whose state was copied. Shape (num_envs,), bool.
            begin: Whether their episodes have just begun.
        """
        raise NotImplementedError

    def _noisy_groups(self) -> Iterable[str]:
        """Observation groups that are random beyond the state."""
        raise NotImplementedError
