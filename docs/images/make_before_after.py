# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Make ``before_after.gif``: two videos of one initial state side by side, the supervised and the trained policy.

``eval.py --checkpoint base RUN --videos 3 --out results.json`` films episodes by number; take one that the first policy
fails and the second one solves:

./isaaclab.sh -p docs/images/make_before_after.py results/base/failure_0003.mp4 results/RUN_model_74/success_0003.mp4
"""

import argparse
from pathlib import Path

import av
from PIL import Image, ImageDraw

LARGEST = 2_000_000
"""Bytes of the file."""

LABELS = ("supervised", "after reinforcement learning")

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("videos", nargs=2, type=Path, metavar="VIDEO", help="Before and after.")
parser.add_argument("--every", type=int, default=2, help="Take each n-th frame (default: %(default)s).")
parser.add_argument("--size", type=int, default=224, help="Height of the pictures [px] (default: %(default)s).")
parser.add_argument("--out", type=Path, default=Path(__file__).with_name("before_after.gif"))
arguments = parser.parse_args()


def frames(video: Path) -> list[Image.Image]:
    """Frames of a video, of the height that is asked for."""
    with av.open(str(video)) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)][:: arguments.every]
    width, height = pictures[0].size
    return [picture.resize((width * arguments.size // height, arguments.size)) for picture in pictures]


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Pictures beside each other, with their labels."""
    whole = Image.new("RGB", (sum(picture.width for picture in pictures), arguments.size))
    left = 0
    for picture, label in zip(pictures, LABELS, strict=True):
        whole.paste(picture, (left, 0))
        ImageDraw.Draw(whole).text((left + 8, arguments.size - 24), label, fill="black", font_size=16)
        left += picture.width
    return whole.quantize(64)


clips = [frames(video) for video in arguments.videos]
# the shorter one stands still at its end
shown = [
    beside([clip[min(number, len(clip) - 1)] for clip in clips]) for number in range(max(len(clip) for clip in clips))
]
milliseconds = 50 * arguments.every
durations = [milliseconds] * (len(shown) - 1) + [1500]
shown[0].save(arguments.out, save_all=True, append_images=shown[1:], duration=durations, loop=0, optimize=True)
size = arguments.out.stat().st_size
if size > LARGEST:
    raise SystemExit(f"{arguments.out} has {size} bytes; expected at most {LARGEST}: raise --every or lower --size.")
print(f"{arguments.out}: {len(shown)} frames, {size} bytes")
