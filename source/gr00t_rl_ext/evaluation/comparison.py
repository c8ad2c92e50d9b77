# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints compared: each runs the same episodes of a task, in the same environments."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.envs.episodes import Episodes, EvaluationError, run_episodes
from gr00t_rl_ext.evaluation.footage import film, film_side_by_side
from gr00t_rl_ext.evaluation.policies import Policy, load_policy
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
    noise_scales: Sequence[float] = (),
    variations: Sequence[tuple[str, float]] = (),
    remote: Mapping[str, Callable[[], Policy]] | None = None,
    videos: int = 0,
    side_by_side: bool = False,
    folder: Path | None = None,
) -> list[Evaluation]:
    """Evaluate checkpoints, and policies from elsewhere, one after the other in the same environments.

    Each policy is built once and draws the same random numbers, whatever they are scaled by.

    Args:
        env: The environments.
        agent_cfg: The agent's config.
        checkpoints: Name -> checkpoint; None for the policy before reinforcement learning.
        task: Its id.
        agent: Its name.
        episodes: To run of each checkpoint.
        seed: Of initial states and policies.
        noise_scales: How much noise decisions begin with (``agent.actor.noise_scale``): each checkpoint is evaluated
            with each. Empty: as the agent says. Needs an agent with an action head.
        variations: Factors of randomisation, which the environments have, with a strength each: each policy is
            evaluated without any, and with each. Empty: with those of the task.
        remote: Name -> what makes a policy that is no checkpoint here. They are evaluated last, as they are.
        videos: Successes and failures to film of each evaluation, as many of both.
        side_by_side: Whether to film an episode of the first and of the last evaluation next to each other.
        folder: Where videos are written; needed for some.

    Raises:
        EvaluationError: A checkpoint does not fit, or did not begin in the states in which the first one did.
    """
    origin = next((path for path in checkpoints.values() if path is not None), None)
    evaluations: list[Evaluation] = []
    first: Episodes | None = None
    makers: dict[str, Callable[[], Policy]] = {
        name: functools.partial(load_policy, env, agent_cfg, checkpoint, origin)
        for name, checkpoint in checkpoints.items()
    }
    remote = remote or {}
    for policy_name, make in (makers | dict(remote)).items():
        policy = make()
        finished: dict[str, tuple[Episodes, Mapping[str, float]]] = {}
        scales = (None,) if policy_name in remote else noise_scales or (None,)
        for scale in scales:
            name = f"{policy_name}, noise {scale:g}" if len(scales) > 1 else policy_name
            for strengths in ({}, *({factor: strength} for factor, strength in variations)):
                if variations:
                    draw(env, strengths)
                policy.start(scale)
                title = " ".join((name, *(f"{factor} {strength:g}" for factor, strength in strengths.items())))
                ran, evaluation = evaluate(
                    env, policy, name, first, title=title, task=task, agent=agent, episodes=episodes, seed=seed
                )
                if idle := [name for name in strengths if not _factors(env)[name].affected]:
                    raise EvaluationError(
                        f"{idle[0]} changed nothing: the agent observes nothing that it is about, such as uint8 images"
                        " or the group `state`. Leave it out of --vary."
                    )
                first = first or ran
                evaluations.append(evaluation)
                finished[title] = ran, strengths
        if videos and folder is not None:
            # only now, since filming configures decisions of its own
            for name, (ran, strengths) in finished.items():
                if variations:
                    draw(env, strengths)
                place = folder / re.sub(r"[^\w.-]+", "_", name)
                said = film(env, ran, seed, {place / file: [number] for file, number in chosen(ran, videos).items()})
                print(f"videos of {name}: {said}")
    if side_by_side and folder is not None:
        assert first is not None
        file = folder / "side_by_side.mp4"
        said = film_side_by_side(env, [first, ran], seed, telling(first, ran), file)
        print(f"{evaluations[0].name} (left) and {evaluations[-1].name}: {said}")
    return evaluations


def draw(env: Any, strengths: Mapping[str, float]) -> None:
    """Let environments draw factors of randomisation with some strengths, and no others."""
    for name, factor in _factors(env).items():
        factor.set_strength(strengths.get(name, 0.0))


def _factors(env: Any) -> Mapping[str, Any]:
    return getattr(env.unwrapped, "factors", {})


def evaluate(
    env: Any,
    policy: Policy,
    name: str,
    first: Episodes | None,
    *,
    title: str = "",
    task: str,
    agent: str,
    episodes: int,
    seed: int,
) -> tuple[Episodes, Evaluation]:
    """Evaluate a policy, with a progress bar.

    Args:
        env: The environments, with decisions as the policy makes them.
        policy: The policy.
        name: What tables call it.
        first: Episodes of what it is compared with. None: it is the first.
        title: What the progress bar calls it; empty: as tables.
        task: Id of the task.
        agent: Name of the agent.
        episodes: To run.
        seed: Of initial states and policy.

    Raises:
        EvaluationError: It did not begin in the states in which the first one did.
    """
    with progress_bar() as progress:
        bar = progress.add_task(title or name, total=episodes)
        ran = run_episodes(env, policy.decide, episodes, seed, lambda done: progress.update(bar, completed=done))
    first = first or ran
    if (other := ran.differs_at(first)) is not None:
        raise EvaluationError(
            f"{name} began episode {other} in another state than the first checkpoint, although the seed is the same:"
            " the task's reset depends on what happened before. Checkpoints cannot be compared on it."
        )
    evaluation = Evaluation(
        name=name,
        fingerprint=policy.fingerprint,
        task=task,
        agent=agent,
        seed=seed,
        chunk_length=env.unwrapped.chunk_length,
        noise_scale=policy.noise_scale,
        randomised={name: factor.strength for name, factor in _factors(env).items() if factor.strength},
        initial_states=first.digests(),
        successes=None if ran.successes is None else tuple(ran.successes),
        returns=tuple(ran.returns),
        lengths=tuple(ran.lengths),
        tasks=None if ran.tasks is None else tuple(ran.tasks),
        notes=policy.notes(),
    )
    return ran, evaluation


def telling(before: Episodes, after: Episodes) -> int:
    """The first episode that fails before and succeeds after, or whose return rises most where there is none."""
    if before.successes is not None and after.successes is not None:
        mended = [n for n, (was, now) in enumerate(zip(before.successes, after.successes, strict=True)) if now > was]
        if mended:
            return mended[0]
    gains = [now - was for was, now in zip(before.returns, after.returns, strict=True)]
    return gains.index(max(gains))


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
