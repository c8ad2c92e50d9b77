# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a decision of a learner is, and what comes of it: the contract of environments and learners.

Nothing here imports a simulator or torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensordict import TensorDict
    from torch import Tensor

    from gr00t_rl_ext.envs.action_layout import ActionLayout
    from gr00t_rl_ext.envs.start_set import StartSet
    from gr00t_rl_ext.envs.task_set import TaskSet
    from gr00t_rl_ext.randomisation.factor import Factor

HOW_TO_CHUNK = (
    "Register the task with entry_point='gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv'; a direct environment as"
    " `class MyChunkedEnv(ChunkedDirectRLEnv, MyDirectEnv)`, with gr00t_rl_ext.envs.chunking.ChunkedDirectRLEnv first."
)
"""What errors advise where an environment has no action chunks."""


@dataclass(frozen=True)
class Outcome:
    """What came of a decision of H control steps, beside observations, reward and the end of the episode.

    rsl_rl hands it on in a plain dictionary, ``extras``, by the names of these fields. A field that is None is absent.
    """

    executed_steps: Tensor
    """Control steps that were executed before the episode ended, int64 (num_envs,). 0 for environments at rest."""

    step_rewards: Tensor
    """Undiscounted reward of each control step, float32 (num_envs, H); 0 for steps that were not executed."""

    episode_return: Tensor
    """Undiscounted return of the episode that ended in this decision, float32 (num_envs,); 0 where none did."""

    episode_steps: Tensor
    """Length of that episode [control steps], int64 (num_envs,); 0 where none ended."""

    start: Tensor | None = None
    """Number of the distribution of initial states that the episode in progress, or the one that ended, began with,
    int64 (num_envs,); None where there is one."""

    success: Tensor | None = None
    """Whether it ended in success, bool (num_envs,). None if the task does not tell."""

    time_outs: Tensor | None = None
    """Whether it ended by its time limit alone, bool (num_envs,). Isaac Lab's wrapper for rsl_rl adds it."""

    dropped: Tensor | None = None
    """Whether the episode ended because its environment had to be started again, bool (num_envs,): it counts nowhere.
    None: no one did."""

    final_observations: TensorDict | None = None
    """What was observed in the control step of a time-out: groups (num_envs, ...), zero in other rows.

    It precedes the reset, for a bootstrap with the value of that state (Pardo et al. 2018, "Time Limits in
    Reinforcement Learning"). None if no episode timed out, or no group was asked for.
    """

    @classmethod
    def from_extras(cls, extras: Mapping[str, Any], device: Any = None) -> Outcome:
        """The outcome that an environment reported.

        Args:
            extras: What the environment's step returned.
            device: Where it is wanted; None leaves it where it is.

        Raises:
            ValueError: If a field is missing that every environment has.
        """
        missing = [field.name for field in fields(cls) if field.default is MISSING and field.name not in extras]
        if missing:
            raise ValueError(
                f"The environment's `extras` have no {', '.join(missing)}. Let its step return the fields of"
                f" {cls.__module__}.{cls.__qualname__}: `Outcome(...).to_extras()`."
            )
        found = {field.name: extras[field.name] for field in fields(cls) if field.name in extras}
        return cls(**(found if device is None else {name: value.to(device) for name, value in found.items()}))

    def to_extras(self, extras: dict[str, Any] | None = None) -> dict[str, Any]:
        """As entries of a dictionary: of ``extras``, in place of an earlier outcome, or of a new one."""
        extras = {} if extras is None else extras
        for field in fields(self):
            extras.pop(field.name, None)
            if (value := getattr(self, field.name)) is not None:
                extras[field.name] = value
        return extras


class DecisionEnv:
    """An environment whose ``step`` executes an action chunk; what Isaac Lab's and Gymnasium's have in common.

    The learner sets the chunk, because its length belongs to the policy: the same task serves a GR00T agent with 16
    control steps per decision and an MLP agent with one.
    """

    num_envs: int

    task_set: TaskSet | None = None
    """Several tasks in these environments; None where all have the same one."""

    start_set: StartSet | None = None
    """Several distributions of initial states; None where there is one."""

    factors: Mapping[str, Factor] = MappingProxyType({})
    """Name of a factor of randomisation -> what draws it."""

    as_simulated: Mapping[str, Tensor] = MappingProxyType({})
    """The latest observations of groups of vectors, (num_envs, width), before a factor of randomisation changed them;
    groups that none changes are absent."""

    _action_layout: ActionLayout
    _chunk_length: int = 1
    _step_discount: float = 1.0

    @property
    def chunk_length(self) -> int:
        """Control steps per ``step``."""
        return self._chunk_length

    @property
    def control_action_dim(self) -> int:
        """Width of the action of one control step: numbers, or components of a discrete action."""
        return self._action_layout.width

    @property
    def action_choices(self) -> tuple[int, ...]:
        """Number of choices of each component of a discrete action; empty for continuous actions."""
        return self._action_layout.choices

    def executed(self, actions: Tensor) -> Tensor:
        """What the environment executes of the numbers that a learner gives, (..., control_action_dim): all of them, as
        they are, unless it clips."""
        return actions

    def configure_decisions(
        self,
        chunk_length: int,
        *,
        step_discount: float = 1.0,
        observation_groups: Sequence[str] | None = None,
        final_observation_groups: Sequence[str] = (),
    ) -> None:
        """Set what one decision of the learner is. Takes effect at once; environments are not reset.

        Args:
            chunk_length: Control steps H per ``step``, at least 1.
            step_discount: Discount per control step inside the chunk, in (0, 1].
            observation_groups: Observation groups to compute; images of others are not rendered. None computes all.
            final_observation_groups: Groups of :attr:`Outcome.final_observations`, which need not be among the others.

        Raises:
            ValueError: If a value is out of range, a group does not exist, or discrete actions are clipped.
        """
        if chunk_length < 1:
            raise ValueError(f"The chunk length must be at least 1 control step, got {chunk_length}.")
        if not 0.0 < step_discount <= 1.0:
            raise ValueError(f"The discount per control step must lie in (0, 1], got {step_discount}.")
        self._configure_chunk(chunk_length, step_discount, observation_groups, final_observation_groups)

    def _configure_chunk(
        self, chunk_length: int, step_discount: float, groups: Sequence[str] | None, final_groups: Sequence[str]
    ) -> None:
        """Make checked values those of the next decisions, whose groups may not exist."""
        raise NotImplementedError

    def _checked_chunk(self, actions: Tensor, device: str) -> Tensor:
        """The actions of a decision as (num_envs, chunk_length, control_action_dim), on a device; a ValueError if their
        shape is another one, or a discrete action does not exist."""
        width = self.control_action_dim
        expected = (self.num_envs, self._chunk_length * width)
        if tuple(actions.shape) != expected:
            raise ValueError(
                f"The action has shape {tuple(actions.shape)}, expected {expected}: {self.num_envs} environments times"
                f" {self._chunk_length} control steps times {width} action dimensions."
                + (" The actions are discrete: one number per component." if self.action_choices else "")
            )
        chunk = actions.detach().to(device).view(self.num_envs, self._chunk_length, width)
        self._action_layout.check(chunk)
        return chunk


def existing_groups(
    groups: Sequence[str] | None,
    available: Sequence[str],
    remedy: str = ", or add the group to the task's observations.",
) -> list[str]:
    """The observation groups that are asked for, once each, or all available ones for None. A ValueError if the task
    does not have one; ``remedy`` ends it, after "Name the groups to use in `agent.obs_groups`"."""
    selected = list(available if groups is None else dict.fromkeys(groups))
    missing = [group for group in selected if group not in available]
    if missing:
        raise ValueError(
            f"The task has no observation group {', '.join(map(repr, missing))}. It offers: {', '.join(available)}."
            f" Name the groups to use in `agent.obs_groups`{remedy}"
        )
    return selected
