# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints compared: each runs the same episodes of a task, in the same environments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.evaluation.episodes import Episodes, EvaluationError, run_episodes
from gr00t_rl_ext.evaluation.footage import film
from gr00t_rl_ext.evaluation.policies import load_policy
from gr00t_rl_ext.evaluation.report import Evaluation
from gr00t_rl_ext.progress import progress_bar


def check_tasks(checkpoints: Sequence[Path], task: str) -> None:
    """Check that checkpoints were trained on the task, as far as their runs say on which.

    Raises:
        EvaluationError: One was trained on another.
    """
    wanted = task.rpartition(":")[2]
    for checkpoint in checkpoints:
        try:
            trained_on = json.loads((checkpoint.parent / "run.json").read_text(encoding="utf-8"))["task"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if trained_on != wanted:
            raise EvaluationError(
                f"The checkpoint '{checkpoint}' was trained on the task {trained_on}, but --task is {task}. Checkpoints"
                " of different tasks cannot be compared: evaluate each on its own."
            )


def evaluate_all(
    env: Any,
    agent_cfg: Any,
    checkpoints: Mapping[str, Path | None],
    *,
    task: str,
    agent: str,
    episodes: int,
    seed: int,
    videos: int = 0,
    folder: Path | None = None,
) -> list[Evaluation]:
    """Evaluate checkpoints one after the other, in the same environments.

    Args:
        env: The environments.
        agent_cfg: The agent's config.
        checkpoints: Name -> checkpoint; None for the policy before reinforcement learning.
        task: Its id.
        agent: Its name.
        episodes: To run of each checkpoint.
        seed: Of initial states and policies.
        videos: Successes and failures to film of each checkpoint, as many of both.
        folder: Where videos are written; needed for some.

    Raises:
        EvaluationError: A checkpoint does not fit, or did not begin in the states in which the first one did.
    """
    origin = next((path for path in checkpoints.values() if path is not None), None)
    evaluations: list[Evaluation] = []
    first: Episodes | None = None
    for name, checkpoint in checkpoints.items():
        policy = load_policy(env, agent_cfg, checkpoint, origin)
        with progress_bar() as progress:
            bar = progress.add_task(name, total=episodes)
            ran = run_episodes(env, policy.decide, episodes, seed, lambda done: progress.update(bar, completed=done))  # noqa: B023  called within this turn
        first = first or ran
        if (other := ran.differs_at(first)) is not None:
            raise EvaluationError(
                f"{name} began episode {other} in another state than {evaluations[0].name}, although the seed is the"
                " same: the task's reset depends on what happened before. Checkpoints cannot be compared on it."
            )
        evaluations.append(
            Evaluation(
                name=name,
                fingerprint=policy.fingerprint,
                task=task,
                agent=agent,
                seed=seed,
                chunk_length=env.unwrapped.chunk_length,
                initial_states=first.digests(),
                successes=None if ran.successes is None else tuple(ran.successes),
                returns=tuple(ran.returns),
                lengths=tuple(ran.lengths),
                notes=policy.notes(),
            )
        )
        if videos and folder is not None:
            place = folder / re.sub(r"[^\w.-]+", "_", name)
            said = film(env, ran, seed, {place / file: [number] for file, number in chosen(ran, videos).items()})
            print(f"videos of {name}: {said}")
    return evaluations


def chosen(episodes: Episodes, count: int) -> dict[str, int]:
    """Name of a video -> episode: the first successes and failures, or the best and worst where there is no success."""
    numbers = range(len(episodes.returns))
    if episodes.successes is not None:
        kinds = {
            "success": [n for n in numbers if episodes.successes[n]],
            "failure": [n for n in numbers if not episodes.successes[n]],
        }
    else:
        ranked = sorted(numbers, key=lambda n: -episodes.returns[n])
        kinds = {"best": ranked, "worst": ranked[::-1]}
    return {f"{kind}_{n:04d}.mp4": n for kind, found in kinds.items() for n in found[:count]}
