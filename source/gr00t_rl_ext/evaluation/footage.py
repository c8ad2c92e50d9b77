# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Videos of episodes that were run before."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gr00t_rl_ext.envs.episodes import Episodes, Footage, replay

PIXELS = 256
"""Height and width of a view in videos of Gymnasium tasks."""

GYMNASIUM_FPS = 25

STRIDE = 4
"""Control steps between the images of Isaac Lab's tasks, which cost more than the steps."""

_STILL = 0.4
"""How long an episode's last image stays [s]."""


def film(
    env: Any,
    episodes: Episodes,
    seed: int,
    videos: Mapping[Path, Sequence[int]],
    deadline: float = math.inf,
) -> str:
    """Write videos of episodes.

    Those of a Gymnasium task have an image per control step. Those of an Isaac Lab task are by its own cameras, in the
    environments that ran the episodes, with an image every :data:`STRIDE` control steps; decisions must be configured
    anew afterwards.

    Args:
        env: The environments in which the episodes were run. Those of Gymnasium may be closed.
        episodes: The episodes.
        seed: Their seed.
        videos: File -> episodes to show in it, one after the other.
        deadline: When to give up, by ``time.monotonic()``.

    Returns:
        What to say of them: the files, or why there are none.
    """
    watched = sorted({episode for shown in videos.values() for episode in shown})
    try:
        footage, fps = _seen(env, episodes, seed, watched, deadline)
    except ValueError as error:
        return f"none: {error}"
    return _write(footage, videos, fps)


def film_side_by_side(env: Any, episodes: Sequence[Episodes], seed: int, episode: int, file: Path) -> str:
    """Write a video of what several policies did from the same initial state, the first on the left.

    Args:
        env: As in :func:`film`.
        episodes: Those of each policy.
        seed: Their seed.
        episode: Which one.
        file: The video.

    Returns:
        What to say of it.
    """
    try:
        seen = [_seen(env, of_policy, seed, [episode]) for of_policy in episodes]
    except ValueError as error:
        return f"none: {error}"
    all_images = [footage[episode].images for footage, _ in seen]
    length = max(map(len, all_images))
    # whoever is done waits for the others
    padded = [np.concatenate((images, images[-1:].repeat(length - len(images), axis=0))) for images in all_images]
    is_the_same = all(footage[episode].is_the_same for footage, _ in seen)
    joined = {episode: Footage(np.concatenate(padded, axis=2), is_the_same)}
    return _write(joined, {file: [episode]}, seen[0][1])


def _seen(
    env: Any, episodes: Episodes, seed: int, watched: Sequence[int], deadline: float = math.inf
) -> tuple[dict[int, Footage], int]:
    """Episodes seen again, and their images per second.

    Raises:
        ValueError: Nothing can be seen.
    """
    from gr00t_rl_ext.envs.gymnasium.configs import IMAGES
    from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv

    if isinstance(env, GymnasiumVecEnv):
        cfg = env.cfg.model_copy(update={"rgb": True, "image_size": (PIXELS, PIXELS)})
        with contextlib.closing(GymnasiumVecEnv(cfg)) as rendering:
            return replay(rendering, episodes, seed, watched, IMAGES, 1, deadline), GYMNASIUM_FPS
    env.unwrapped.configure_decisions(1)
    env.unwrapped.reset(seed=seed)
    groups = [name for name, value in env.get_observations().items() if value.dtype == torch.uint8]
    if not groups:
        raise ValueError("the task has no observation group with images.")
    footage = replay(env, episodes, seed, watched, groups[0], STRIDE, deadline)
    # all groups again, for whoever comes next
    env.unwrapped.configure_decisions(1)
    return footage, max(1, round(1 / (env.unwrapped.step_dt * STRIDE)))


def _write(footage: Mapping[int, Footage], videos: Mapping[Path, Sequence[int]], fps: int) -> str:
    from gr00t_rl_ext.imitation.video import write_video

    for file, shown in videos.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        parts = []
        for episode in shown:
            images = footage[episode].images
            parts += [images, images[-1:].repeat(max(1, round(_STILL * fps)), axis=0)]
        images = np.concatenate(parts)
        # H.264 wants even sides
        write_video(file, images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2], fps)
    text = ", ".join(map(str, videos)) if len(videos) < 3 else f"{len(videos)} in {next(iter(videos)).parent}"
    different = [episode for episode, seen in footage.items() if not seen.is_the_same]
    if different:
        text += (
            f" (in the replay the episodes {', '.join(map(str, different))} ended at other times than before: the"
            " physics is not deterministic here)"
        )
    return text
