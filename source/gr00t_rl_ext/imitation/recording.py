# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An expert acts in an environment, and its episodes are collected.

Environments are as rsl_rl sees them: those of Isaac Lab in their wrapper, and
:class:`~gr00t_rl_ext.envs.gymnasium.vec_env.GymnasiumVecEnv`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict

from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.imitation.experts import Expert
from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter
from gr00t_rl_ext.progress import progress_bar
from gr00t_rl_ext.robot.task_spec import TaskSpec

GIVE_UP_AFTER = 20
"""Attempts, all of them failures, after which the recording stops."""


@dataclass
class Quality:
    """How an expert does: all episodes that it tried, whether they were recorded or not."""

    lengths: list[int] = field(default_factory=list)
    """Control steps of the successful episodes."""
    attempted: int = 0
    recorded: int = 0
    of_instruction: dict[str, list[int]] = field(default_factory=dict)
    """Instruction -> episodes that were tried, that succeeded, and that were recorded."""

    @property
    def succeeded(self) -> int:
        return len(self.lengths)

    def summary(self) -> dict[str, Any]:
        """Counts, share of successes, and the lengths of the successful episodes in control steps."""
        rate = round(self.succeeded / max(self.attempted, 1), 4)
        result: dict[str, Any] = {"attempted": self.attempted, "succeeded": self.succeeded, "success_rate": rate}
        if len(self.of_instruction) > 1:
            names = ("attempted", "succeeded", "recorded")
            result["instructions"] = {
                told: dict(zip(names, counts, strict=True)) for told, counts in self.of_instruction.items()
            }
        if self.lengths:
            median = float(np.median(self.lengths))
            result["steps"] = {"median": median, "shortest": min(self.lengths), "longest": max(self.lengths)}
        return result


class StateKeeper:
    """Keeps the simulated states of successful episodes.

    Args:
        look: The states of all environments now, name -> (num_envs, ...).
        num_envs: Environments.
    """

    def __init__(self, look: Callable[[], Mapping[str, torch.Tensor]], num_envs: int) -> None:
        self._look = look
        self._running: list[list[dict[str, torch.Tensor]]] = [[] for _ in range(num_envs)]
        self.states: list[dict[str, torch.Tensor]] = []
        """Each of one environment, name -> (1, ...), on the CPU."""

        self.progress: list[float] = []
        """Of each state, the share of its episode that had passed."""

    def take(self) -> None:
        """A control step is about to be executed."""
        states = {name: values.to("cpu", copy=True) for name, values in self._look().items()}
        for index, rows in enumerate(self._running):
            rows.append({name: values[index : index + 1] for name, values in states.items()})

    def end(self, index: int, success: bool) -> None:
        """The episode of an environment has ended."""
        rows = self._running[index]
        if success:
            self.states += rows
            self.progress += [step / len(rows) for step in range(len(rows))]
        self._running[index] = []


def dataset_format(spec: TaskSpec, obs: TensorDict, step_dt: float, robot_type: str) -> DatasetFormat:
    """Format of the episodes of a task: its terms are the dataset's keys.

    Args:
        spec: The task.
        obs: An observation with the groups of the spec.
        step_dt: Duration of a control step [s].
        robot_type: Name of the robot.
    """
    shapes = {group: tuple(obs[group].shape[1:]) for group in spec.image_groups}
    sizes = [(height, width) for height, width, channels in shapes.values() for _ in range(channels // 3)]
    return DatasetFormat(
        fps=round(1.0 / step_dt),
        state=spec.state_terms,
        action=spec.action_terms,
        cameras=dict(zip(spec.cameras, sizes, strict=True)),
        robot_type=robot_type,
    )


def record(
    env: Any,
    spec: TaskSpec,
    expert: Expert,
    writer: LeRobotWriter,
    about: Mapping[str, Any],
    *,
    episodes: int,
    keep_failures: bool,
    noise_std: float,
    seed: int,
    keeper: StateKeeper | None = None,
) -> Quality:
    """Let an expert act until enough is recorded, or :data:`GIVE_UP_AFTER` attempts failed, with a progress bar.

    Args:
        env: See :func:`collect`; it need not be reset.
        spec: The task.
        expert: Acts from the simulator's state.
        writer: Of the dataset.
        about: What ``meta/recording.json`` is to hold, beside expert, noise, seed and quality.
        episodes: How many to record.
        keep_failures: Record episodes without success as well.
        noise_std: See :func:`collect`.
        keeper: Keeps states of successful episodes.
        seed: Of initial states and noise. Later sessions of a dataset get other ones by the same seed.
    """
    seed += sum(session.get("attempted", 0) for session in writer.sessions)
    env.unwrapped.reset(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    about = {**about, "expert": type(expert).__name__, "noise_std": noise_std, "seed": seed}
    quality = Quality(of_instruction={told: [0, 0, 0] for told in spec.all_instructions})
    with progress_bar() as progress:
        bar = progress.add_task("recording", total=episodes)
        for episode in collect(env, spec, expert, noise_std=noise_std, generator=generator, keeper=keeper):
            counts = quality.of_instruction.setdefault(episode.instruction, [0, 0, 0])
            quality.attempted += 1
            counts[0] += 1
            if episode.success:
                quality.lengths.append(len(episode))
                counts[1] += 1
            if episode.success or keep_failures:
                writer.add(episode)
                quality.recorded += 1
                counts[2] += 1
            if quality.recorded:
                writer.describe(about | quality.summary())
            text = f"recording ({quality.succeeded}/{quality.attempted} succeeded)"
            progress.update(bar, completed=quality.recorded, description=text)
            failed = quality.attempted == GIVE_UP_AFTER and not quality.succeeded
            if failed or quality.recorded == episodes:
                break
    return quality


def collect(
    env: Any,
    spec: TaskSpec,
    expert: Expert,
    *,
    noise_std: float = 0.0,
    generator: torch.Generator | None = None,
    keeper: StateKeeper | None = None,
) -> Iterator[Episode]:
    """Let an expert act for ever; yield each episode when it ends, failures included.

    With noise, the arm does what the expert says plus a Gaussian of that standard deviation, and what is recorded is
    what the expert says: the demonstrations then visit states beside the expert's own path, with the correction as
    label (DART, Laskey et al. 2017, arXiv 1703.09327). The gripper's action, which is binary, gets none.

    Whoever stops after n episodes leaves out those that are still running, which are rather the long ones.

    Args:
        env: Chunked environments as rsl_rl sees them, one control step per decision, just reset.
        spec: The task.
        expert: Acts from the simulator's state.
        noise_std: In the units of the action, before the task scales it.
        generator: Of the noise, on the CPU.
        keeper: Keeps states of successful episodes.
    """
    running: list[list[list[np.ndarray]]] = [[] for _ in range(env.num_envs)]
    obs = env.get_observations()
    while True:
        images = camera_images(obs, spec)
        state = torch.cat([obs[group] for group in spec.state_groups], dim=1).cpu().numpy().copy()
        label, told = expert.action(env.unwrapped), spec.told(obs)
        executed = label
        if noise_std:
            noise = noise_std * torch.randn(label.shape, generator=generator).to(label)
            if expert.binary is not None:
                noise[:, expert.binary] = 0.0
            executed = label + noise
            if expert.bounded:
                executed = executed.clamp(-1.0, 1.0)
        if keeper is not None:
            keeper.take()
        obs, _, dones, extras = env.step(executed)
        done = dones > 0
        expert.reset(done)
        outcome = Outcome.from_extras(extras, "cpu")
        columns = state, label.cpu().numpy(), outcome.step_rewards[:, 0].numpy(), *images
        for i, rows in enumerate(running):
            rows.append([column[i] for column in columns])
        for i in done.nonzero().flatten().tolist():
            states, actions, rewards, *frames = map(np.stack, zip(*running[i], strict=True))
            seen = dict(zip(spec.cameras, frames, strict=True))
            success = outcome.success is not None and bool(outcome.success[i])
            if keeper is not None:
                keeper.end(i, success)
            yield Episode(states, actions, rewards, seen, told[i], success)
            running[i] = []


def camera_images(obs: TensorDict, spec: TaskSpec) -> list[np.ndarray]:
    """Copies of the images of each camera, (num_envs, H, W, 3), uint8."""
    groups = [obs[group].cpu().numpy().copy() for group in spec.image_groups]
    return [group[..., c : c + 3] for group in groups for c in range(0, group.shape[-1], 3)]
