# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Environments that differ from Gymnasium's own: what can be converted is, and the rest is refused before training."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium_toys import DRAW

from gr00t_rl_ext.envs.gymnasium.images import as_rgb
from gr00t_rl_ext.envs.gymnasium.tasks import make

ODD, BLIND = "gym:gymnasium_toys:Odd-v0", "gym:gymnasium_toys:Blind-v0"


def odd(num_envs: int = 2, num_workers: int = 1, rgb: bool = False, **kwargs: Any) -> Any:
    return closing(
        make(ODD, num_envs=num_envs, num_workers=num_workers, rgb=rgb, image_size=(10, 16), env_kwargs=kwargs, seed=5)
    )


def test_seeds_have_32_bits_where_64_are_refused() -> None:
    with odd(num_envs=3, num_workers=2, narrow=True) as env:
        drawn = env.get_observations()["state"][:, DRAW].tolist()
    words = [int(np.random.SeedSequence((5, index, 0)).generate_state(2)[0]) for index in range(3)]
    assert drawn == pytest.approx([np.random.RandomState(word).uniform() for word in words])


@pytest.mark.parametrize("picture", ["rgba", "grey", "whole numbers", "floats to 1", "floats to 255"])
def test_pictures_of_every_kind_become_rgb(picture: str) -> None:
    with odd(rgb=True, picture=picture) as env:
        env.configure_decisions(4, observation_groups=["rgb"])
        image = env.step(torch.zeros(2, 8))[0]["rgb"]
    assert (image.shape, image.dtype) == ((2, 10, 16, 3), torch.uint8)
    assert (image == 4).all()


def test_colours_and_brightness_are_kept() -> None:
    picture = np.array([[[0.0, 0.5, 1.0, 0.25]]])
    assert as_rgb(picture).tolist() == [[[0, 128, 255]]]
    assert as_rgb(255 * picture).tolist() == [[[0, 128, 255]]]
    assert as_rgb(np.uint8([[7, 9]])).tolist() == [[[7, 7, 7], [9, 9, 9]]]


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (None, r"raises NotImplementedError: "),
        ("nothing", r"returns nothing; expected an array \(height, width, 3\) of numbers"),
        ("channels first", r"returns ndarray of shape \(3, 20, 40\) and uint8; expected an array"),
        ("negative", r"returns numbers from -1 to -1; expected 0 to 255, or floats from 0 to 1"),
        ("not a number", r"returns numbers from nan to nan; expected 0 to 255"),
    ],
)
def test_what_is_no_picture_is_refused_and_the_advice_helps(picture: str | None, reason: str) -> None:
    message = rf"'gymnasium_toys:Odd-v0' gives no image: `render\(\)` {reason}.* agent that does not observe `rgb`"
    with pytest.raises(ValueError, match=message):
        odd(rgb=True, picture=picture)
    with odd(rgb=False, picture=picture) as env:
        env.step(torch.zeros(2, 2))


def test_a_class_that_takes_no_render_mode() -> None:
    message = r"'gymnasium_toys:Blind-v0' cannot be rendered: .*'render_mode'.* agent that does not observe `rgb`"
    with pytest.raises(ValueError, match=message):
        make(BLIND, num_envs=1, rgb=True)
    with closing(make(BLIND, num_envs=1)) as env:
        env.step(torch.zeros(1, 2))


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_reward_may_be_an_array_of_one_number(shape: tuple[int, ...]) -> None:
    with odd(shape=shape, end=2) as env:
        env.configure_decisions(3)
        _, rewards, dones, _ = env.step(torch.tensor([[0.25, 0.0, 0.5, 0.0, 1.0, 0.0]]).expand(2, -1))
    assert rewards.tolist() == [0.75] * 2
    assert dones.tolist() == [1] * 2


@pytest.mark.parametrize("shape", [(2,), (0,)])
def test_other_rewards_are_refused_before_training(shape: tuple[int, ...]) -> None:
    message = rf"'gymnasium_toys:Odd-v0' gives a reward of shape \({shape[0]},\) and type float64. Expected one number"
    with pytest.raises(ValueError, match=message):
        odd(shape=shape)
