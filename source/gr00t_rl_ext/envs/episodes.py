# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Episodes from given initial states: each environment runs one at a time, and each counts once.

An evaluation that takes the first N episodes that finish, takes more of the short ones. Here the environments start
together, each runs exactly one episode, and those that are done rest until all are.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.decision import HOW_TO_CHUNK, Outcome

ROUNDING = 1e-5
"""Largest difference, relative where values are above 1, of observations of what counts as the same state."""


class EvaluationError(ValueError):
    """The task cannot be evaluated like this."""


@dataclass
class Episodes:
    """What happened in episodes, entry i in episode i."""

    initial: Tensor
    """What was observed at the start, without images. Shape (episodes, width)."""

    returns: list[float] = field(default_factory=list)
    """Sums of the rewards, undiscounted."""

    lengths: list[int] = field(default_factory=list)
    """Control steps."""

    successes: list[bool] | None = None
    """Whether the task's success term ended the episode; None if the task has none."""

    tasks: list[str] | None = None
    """Name of the task that each had; None where there is one."""

    actions: list[Tensor] = field(default_factory=list)
    """For each batch of episodes, what was done: (control steps, num_envs, action width), on the CPU."""

    def digests(self) -> tuple[str, ...]:
        """What tells initial states apart."""
        rows = self.initial.numpy()
        return tuple(hashlib.sha256(row.tobytes()).hexdigest()[:12] for row in rows)

    def differs_at(self, other: Episodes) -> int | None:
        """The first episode that began in another state than the other's; None if there is none."""
        difference = (self.initial - other.initial).abs() - ROUNDING * other.initial.abs().clamp(min=1.0)
        differs = (difference > 0).any(dim=1).nonzero()
        return int(differs[0]) if len(differs) else None


def batch_seed(seed: int, batch: int) -> int:
    """Seed of the initial states of a batch."""
    return int(np.random.SeedSequence((seed, batch)).generate_state(1)[0])


def run_episodes(
    env: Any,
    policy: Callable[[TensorDict], Tensor],
    episodes: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Episodes:
    """Run a policy from the initial states that a seed gives.

    What the policy draws depends on the seed, the batch and the decision, and neither on earlier draws nor on how the
    environment uses its generator: policies that are compared draw the same.

    Args:
        env: Environments with action chunks, as rsl_rl sees them.
        policy: Observations -> action chunks (num_envs, chunk_length * action width).
        episodes: How many.
        seed: Of the initial states and of what the policy draws.
        progress: Is told how many episodes are done.

    Raises:
        EvaluationError: The environments cannot rest, or an episode does not end.
    """
    unwrapped: Any = env.unwrapped
    if not hasattr(unwrapped, "park"):
        raise EvaluationError(
            f"The task's environment class {type(unwrapped).__name__} cannot be evaluated: environments whose episode"
            f" is over must rest. {HOW_TO_CHUNK}"
        )
    with _whole_task(unwrapped):
        return _run_batches(env, policy, episodes, seed, progress)


@contextlib.contextmanager
def _whole_task(unwrapped: Any) -> Iterator[None]:
    """Let episodes begin with the task's own initial states, whatever a training practises."""
    starts = getattr(unwrapped, "start_set", None)
    if starts is None:
        yield
        return
    weights = dict(zip(starts.names, starts.weights.tolist(), strict=True))
    starts.begin_whole()
    try:
        yield
    finally:
        starts.set_weights(weights)


def _run_batches(
    env: Any, policy: Callable[[TensorDict], Tensor], episodes: int, seed: int, progress: Callable[[int], None]
) -> Episodes:
    unwrapped = env.unwrapped
    result = Episodes(torch.empty(0, 0))
    initial = []
    for batch, start in enumerate(range(0, episodes, env.num_envs)):
        active = min(env.num_envs, episodes - start)
        unwrapped.reset(seed=batch_seed(seed, batch))
        obs = env.get_observations()
        # noise of the state is no other state
        simulated = {name: seen for name, seen in getattr(unwrapped, "as_simulated", {}).items() if name in obs.keys()}
        initial.append(_vectors(obs.clone(recurse=False).update(simulated))[:active])
        if (told := getattr(unwrapped, "task_set", None)) is not None:
            result.tasks = (result.tasks or []) + [told.names[index] for index in told.index[:active].tolist()]
        _run_batch(env, policy, obs, active, (seed, batch), result, progress)
    result.initial = torch.cat(initial)
    return result


def _run_batch(
    env: Any,
    policy: Callable[[TensorDict], Tensor],
    obs: TensorDict,
    active: int,
    seeds: tuple[int, int],
    result: Episodes,
    progress: Callable[[int], None],
) -> None:
    unwrapped, chunk = env.unwrapped, env.unwrapped.chunk_length
    cuda = [torch.device(env.device)] if torch.device(env.device).type == "cuda" else []
    running = torch.arange(env.num_envs) < active
    returns, lengths = torch.zeros(env.num_envs), torch.zeros(env.num_envs, dtype=torch.long)
    successes = torch.zeros(env.num_envs, dtype=torch.bool)
    has_success = False
    acted: list[Tensor] = []
    unwrapped.park(~running.to(env.device))
    for decision in range(math.ceil(int(env.max_episode_length) / chunk) + 1):
        with torch.inference_mode(), torch.random.fork_rng(cuda):
            torch.manual_seed(int(np.random.SeedSequence((*seeds, decision)).generate_state(1)[0]))
            actions = policy(obs)
        acted += list(actions.view(env.num_envs, chunk, -1).cpu().unbind(1))
        obs, _, dones, extras = env.step(actions.to(env.device))
        ended = running & (dones.cpu() > 0)
        outcome = Outcome.from_extras(extras, "cpu")
        returns[ended] = outcome.episode_return[ended]
        lengths[ended] = outcome.episode_steps[ended]
        has_success = outcome.success is not None
        if outcome.success is not None:
            successes[ended] = outcome.success[ended]
        running &= ~ended
        progress(len(result.returns) + active - int(running.sum()))
        if not running.any():
            break
        unwrapped.park(~running.to(env.device))
    else:
        raise EvaluationError(
            f"{int(running.sum())} episodes did not end within the task's {env.max_episode_length} control steps. Give"
            " the task a time-out."
        )
    result.returns += returns[:active].tolist()
    result.lengths += lengths[:active].tolist()
    if has_success:
        result.successes = (result.successes or []) + successes[:active].tolist()
    result.actions.append(torch.stack(acted))


def _vectors(obs: TensorDict) -> Tensor:
    """All groups but those of images, next to each other: (num_envs, width), float32."""
    groups = [value.flatten(1).float().cpu() for _, value in sorted(obs.items()) if value.dtype != torch.uint8]
    if not groups:
        raise EvaluationError(
            "The agent observes images only, by which initial states cannot be told apart. Name a group of vectors in"
            " `agent.obs_groups`."
        )
    return torch.cat(groups, dim=1)


# Running them again


@dataclass(frozen=True)
class Footage:
    """An episode seen again."""

    images: np.ndarray
    """Shape (T, height, width, 3), uint8, cameras side by side. The last is at most ``stride`` steps before the end, at
    which the environment begins anew."""

    is_the_same: bool
    """Whether it ended at the same control step as before."""


@dataclass(frozen=True)
class Repeated:
    """A decision of episodes that are run again."""

    running: dict[int, int]
    """Environment -> episode, of the episodes that had not ended."""

    obs: TensorDict
    """What was observed before it, (num_envs, ...)."""

    ended: list[int]
    """Environments whose episode it ended."""

    outcome: Outcome
    """What came of it, on the CPU."""


def repeat(env: Any, episodes: Episodes, seed: int, numbers: Sequence[int], stride: int) -> Iterator[Repeated]:
    """Run episodes again by what was done in them, with decisions of another length.

    Args:
        env: The environments, with decisions of ``stride`` control steps; as many as before.
        episodes: The episodes.
        seed: Their seed.
        numbers: Which of them. The others rest.
        stride: Control steps per decision.

    Yields:
        The decisions in order, batch by batch.
    """
    for batch in sorted({episode // env.num_envs for episode in numbers}):
        here = {episode % env.num_envs: episode for episode in numbers if episode // env.num_envs == batch}
        env.unwrapped.reset(seed=batch_seed(seed, batch))
        obs = env.get_observations()
        running = torch.zeros(env.num_envs, dtype=torch.bool)
        running[list(here)] = True
        for actions in episodes.actions[batch].split(stride):
            # a copy: the environments may write the next one to its place
            seen = obs.clone()
            env.unwrapped.park(~running.to(env.device))
            missing = stride - len(actions)
            chunk = torch.cat((actions, actions[-1:].expand(missing, -1, -1)))
            obs, _, dones, extras = env.step(chunk.transpose(0, 1).flatten(1).to(env.device))
            ended = running & (dones.cpu() > 0)
            awake = {index: episode for index, episode in here.items() if running[index]}
            yield Repeated(awake, seen, ended.nonzero()[:, 0].tolist(), Outcome.from_extras(extras, "cpu"))
            running &= ~ended
            if not running.any():
                break


def replay(
    env: Any,
    episodes: Episodes,
    seed: int,
    watched: Sequence[int],
    group: str,
    stride: int,
    deadline: float = math.inf,
) -> dict[int, Footage]:
    """Run episodes again by what was done in them, and look.

    So a policy need not look more often than it does, nor see more, for a video of it.

    Args:
        env: The environments, which render when they are observed; as many as before.
        episodes: The episodes.
        seed: Their seed.
        watched: Which of them to look at.
        group: Observation group of the images.
        stride: Control steps between images.
        deadline: When to give up, by ``time.monotonic()``.

    Returns:
        Episode -> what was seen.

    Raises:
        EvaluationError: It took too long.
    """
    env.unwrapped.configure_decisions(stride, observation_groups=[group])
    frames: dict[int, list[np.ndarray]] = {episode: [] for episode in watched}
    lengths: dict[int, int] = {}
    for decision in repeat(env, episodes, seed, watched, stride):
        if time.monotonic() > deadline:
            raise EvaluationError("the pictures took too long.")
        for index, episode in decision.running.items():
            frames[episode].append(_side_by_side(decision.obs[group][index].cpu().numpy()))
        lengths |= {decision.running[index]: int(decision.outcome.episode_steps[index]) for index in decision.ended}
    return {
        episode: Footage(np.stack(images), lengths.get(episode) == episodes.lengths[episode])
        for episode, images in frames.items()
    }


def _side_by_side(image: np.ndarray) -> np.ndarray:
    """(height, width, 3 * cameras) -> (height, cameras * width, 3)."""
    return np.concatenate(np.split(image, image.shape[-1] // 3, axis=-1), axis=1)
