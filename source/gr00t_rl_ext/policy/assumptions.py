# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a run assumes of a checkpoint: how numbers and images are processed, and where that is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from gr00t_rl_ext.gr00t.data_config import data_config_names
from gr00t_rl_ext.gr00t.embodiment import Embodiment
from gr00t_rl_ext.gr00t.images import ImageRecipe
from gr00t_rl_ext.gr00t.inputs import Gr00tInputs

ASPECT_TOLERANCE = 0.02
"""Relative difference of two aspect ratios that is not reported."""


def processing_table(inputs: Gr00tInputs) -> Table:
    """A row for each key of the state and the actions, in the order of the vectors."""
    embodiment = inputs.embodiment
    table = Table(title=f"What {embodiment.tag} is assumed to be", title_justify="left")
    for name in ("key", "width", "mode", "rotation", "from"):
        table.add_column(name, justify="right" if name == "width" else "left", no_wrap=True)
    for modality, vector in (("state", embodiment.state), ("action", embodiment.action)):
        for spec in vector.specs:
            rotation = "" if spec.rotation is None else " -> ".join(spec.rotation)
            if modality == "action" and spec.key in embodiment.relative:
                rotation = f"relative to state.{embodiment.relative[spec.key].state_key}"
            table.add_row(f"{modality}.{spec.key}", str(spec.dim), spec.mode, rotation, embodiment.origin)
    return table


def describe_images(recipe: ImageRecipe) -> str:
    """What happens to an image, in the order in which it does."""
    steps = ["padded with black to a square"] if recipe.letterbox else []
    if recipe.edge is not None:
        steps.append(f"resized to {recipe.edge} x {recipe.edge}")
    if recipe.crop_pixels is not None:
        steps.append(f"centre crop of {recipe.crop_pixels} x {recipe.crop_pixels}")
    elif recipe.crop_scale is not None and recipe.crop_scale < 1:
        steps.append(f"centre crop of {recipe.crop_scale:g}")
    else:
        steps.append("no crop")
    steps.append(f"resized to {recipe.size[0]} x {recipe.size[1]}")
    return "; ".join(steps)


def print_assumptions(inputs: Gr00tInputs, cameras: Mapping[str, tuple[int, int]]) -> None:
    """Print the table, what happens to images, and a warning where it is a guess.

    Args:
        inputs: Of the checkpoint.
        cameras: Camera of the checkpoint -> width and height in pixels of the task's images.
    """
    embodiment = inputs.embodiment
    # wide where the output is no terminal: names of keys are long
    console = Console()
    if not console.is_terminal:
        console.width = 120
    console.print(processing_table(inputs))
    names = f" ({', '.join(embodiment.video_keys)})" if embodiment.video_keys else ""
    print(
        "\n".join(
            [
                f"cameras{names}: {describe_images(inputs.images.recipe)}",
                *aspect_notes(cameras, embodiment.camera_sizes),
                *data_config_notes(embodiment),
            ]
        )
    )
    if embodiment.is_guess:
        print(guess_warning(embodiment.tag))
    if unknown := inputs.unknown_fields:
        print(unknown_warning(unknown))


def guess_warning(tag: str) -> str:
    """What to tell a user whose checkpoint does not say how its numbers are processed."""
    return (
        f"warning: how the numbers of {tag!r} are processed is a GUESS. A GR00T N1.5 keeps it in code, the data config"
        " of its\n  fine-tuning, not in its files. Assumed: all keys in the order of experiment_cfg/metadata.json, by"
        " minimum and maximum,\n  and the centre 0.95 of the image. If its data config differs, the policy sees and"
        " does something else than it learned.\n  Name it: agent.actor.gr00t.data_config=NAME_OR_FILE. Known names:"
        f" {', '.join(data_config_names())}."
    )


def data_config_notes(embodiment: Embodiment) -> list[str]:
    """Lines on where a data config of N1.5 and the embodiment that it is used for differ."""
    config, notes = embodiment.data_config, []
    if config is None:
        return notes
    published, used = (config.embodiment_tag, config.embodiment_id), (embodiment.tag, embodiment.slot)
    if published[0] != used[0] or published[1] not in (None, used[1]):
        slot = "" if published[1] is None else f", slot {published[1]}"
        notes.append(
            f"note: the data config is of embodiment {published[0]}{slot}, and is used for {used[0]}, slot {used[1]}."
        )
    known = embodiment.camera_sizes
    if known and (unknown := [name for name in config.video_keys if name not in known]):
        notes.append(f"note: the checkpoint's metadata has no camera {', '.join(unknown)}; it has {', '.join(known)}.")
    return notes


def unknown_warning(fields: Sequence[str]) -> str:
    """What to tell a user whose checkpoint has fields that nobody here knows."""
    return (
        f"warning: the checkpoint has {', '.join(fields)}, which this package does not know and IGNORES. Where such a"
        " field changes\n  what the network computes, the policy is another one here. scripts/gr00t_oracle.py compares"
        " it with NVIDIA's own code."
    )


def aspect_notes(shown: Mapping[str, tuple[int, int]], known: Mapping[str, tuple[int, int]]) -> list[str]:
    """A line for each camera whose aspect ratio is not that of the data.

    Args:
        shown: Camera of the checkpoint -> width and height in pixels of the task's images.
        known: Camera -> width and height in the data that the checkpoint was fine-tuned on.
    """
    notes = []
    for name, (width, height) in shown.items():
        if name not in known:
            continue
        of_data = known[name]
        if abs(width / height * of_data[1] / of_data[0] - 1) > ASPECT_TOLERANCE:
            notes.append(
                f"note: camera {name} shows {width} x {height} pixels, but the checkpoint's data had {of_data[0]} x"
                f" {of_data[1]}: what it sees is stretched by {width / height * of_data[1] / of_data[0]:.2f}. Give the"
                " task's camera the aspect ratio of the data."
            )
    return notes
