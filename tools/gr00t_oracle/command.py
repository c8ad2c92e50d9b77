# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The command: NVIDIA's policy and ours decide on the same observations with the same noise; a table of differences."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tools.layered_environment import OracleError, oracle_python, run_in_environment

from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.gr00t.backbone_qwen3vl import BACKBONE_CONFIG_FILE, PUBLISHED_QWEN3VL_CONFIG
from gr00t_rl_ext.gr00t.checkpoint import PROCESSOR_FILE, resolve_checkpoint
from gr00t_rl_ext.gr00t.embodiment import METADATA_FILE, STATISTICS_FILE
from gr00t_rl_ext.gr00t.inputs import TOKENIZER_FILES
from gr00t_rl_ext.gr00t.model import checkpoint_version
from gr00t_rl_ext.serving.protocol import Observation
from gr00t_rl_ext.serving.served_policy import ServedPolicy, load_native

REFERENCE = Path(__file__).with_name("reference.py")

MARKS = {"N1.5": "gr00t/model/gr00t_n1.py", "N1.6": "gr00t/model/gr00t_n1d6", "N1.7": "gr00t/model/gr00t_n1d7"}
"""Version -> what only its branch has."""

PINS = {
    version: Path(__file__).with_name(f"requirements_{version.lower().replace('.', '_')}.lock") for version in MARKS
}
"""Version -> pins of its package."""

TOKENIZERS = {
    "N1.5": "gr00t/model/backbone/eagle2_hg_model",
    "N1.6": "gr00t/model/modules/nvidia/Eagle-Block2A-2B-v2",
}
"""Where a version's checkout has the tokenizer that a checkpoint comes without. N1.7's is a repository of the hub."""

Dims = Mapping[str, int]
"""Key -> dimensions."""

RANDOM_N1_5: Mapping[str, tuple[Dims, Dims, tuple[str, ...]]] = {
    "so100": ({"single_arm": 5, "gripper": 1}, {"single_arm": 5, "gripper": 1}, ("webcam",)),
    "single_panda_gripper": (
        {
            "end_effector_position_relative": 3,
            "end_effector_rotation_relative": 4,
            "gripper_qpos": 2,
            "base_position": 3,
            "base_rotation": 4,
        },
        {
            "end_effector_position": 3,
            "end_effector_rotation": 3,
            "gripper_close": 1,
            "base_motion": 4,
            "control_mode": 1,
        },
        ("left_view", "right_view", "wrist_view"),
    ),
}
"""Data config -> state, actions and cameras of a random N1.5. The second has rotations and binary actions."""

RANDOM: Mapping[str, Dims] = {
    "N1.6": {"single_arm": 5, "gripper": 1},
    "N1.7": {"eef_9d": 9, "gripper_position": 1, "joint_position": 7},
}
"""Version -> state and actions of a random checkpoint."""

RELATIVE = {
    "eef_9d": {"type": "EEF", "format": "XYZ_ROT6D"},
    "joint_position": {"type": "NON_EEF", "format": "DEFAULT"},
}
"""Those keys of N1.7's whose actions are relative to the state, as those of its base checkpoint for DROID are."""

SIZES = [(128, 128), (120, 160)]
"""Of images, where a checkpoint takes any."""

TOLERANCE = 1e-4
"""Largest difference, relative to the largest action of the key."""

INSTRUCTIONS = ("pick up the red cube", "open the drawer and put the cup inside")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if all differences are within the tolerance, 1 if not, 2 if nothing could be compared.
    """
    arguments = parse(argv)
    try:
        return _compare(arguments)
    except (OracleError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="gr00t_oracle.py",
        description="Compare this package with NVIDIA's own for GR00T, live: the same observations and the same noise"
        " go into both policies, in float32, and the actions that come out are compared. It makes an environment of its"
        f" own for NVIDIA's package (minutes, once). Versions that can be compared: {', '.join(MARKS)}.",
    )
    parser.add_argument(
        "checkout",
        type=Path,
        metavar="CHECKOUT",
        help="a checkout of NVIDIA/Isaac-GR00T, of the branch to compare with (n1.5-release, n1.6-release, main)",
    )
    parser.add_argument(
        "--checkpoint", help="directory or hub id of a real checkpoint (default: a tiny one with random weights)"
    )
    parser.add_argument("--embodiment-tag", default="new_embodiment", help="its embodiment (default: %(default)s)")
    parser.add_argument(
        "--data-config",
        help="of an N1.5: name or JSON file, as agent.actor.gr00t.data_config (default of the random one:"
        f" {next(iter(RANDOM_N1_5))}; it can be of {', '.join(RANDOM_N1_5)})",
    )
    parser.add_argument(
        "--their-data-config",
        metavar="NAME",
        help="what NVIDIA's code calls that data config: a name, or MODULE:CLASS (default: the same)",
    )
    parser.add_argument(
        "--tokenizer",
        help="its tokenizer: directory or hub id (default: the checkpoint's, the checkout's, of N1.7 the gated one)",
    )
    parser.add_argument("--device", default="cpu", help="where both compute (default: %(default)s)")
    parser.add_argument(
        "--image-size",
        type=size_of,
        nargs="+",
        metavar="HxW",
        help="sizes of the random images, a case each (default: of N1.5 the checkpoint's own, which NVIDIA's policy"
        " asks for; else 128x128 120x160)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="largest difference, as a share of a key's largest action (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights, observations and noise")
    return parser.parse_args(argv)


def size_of(text: str) -> tuple[int, int]:
    """Height and width of ``HxW``."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; expected HEIGHTxWIDTH, such as 120x160")
    return int(height), int(width)


def version_of(checkout: Path) -> str:
    """The version of GR00T that a checkout is of.

    Raises:
        OracleError: It is none.
    """
    found = [version for version, mark in MARKS.items() if (checkout / mark).exists()]
    if not found:
        raise OracleError(
            f"{str(checkout)!r} is no checkout of NVIDIA/Isaac-GR00T: it has none of {', '.join(MARKS.values())}."
            " Clone it, and check out the branch of the version (n1.5-release, n1.6-release, main)."
        )
    return found[-1]


def random_checkpoint(folder: Path, version: str, seed: int, data_config: str | None = None) -> tuple[Path, Path]:
    """A tiny checkpoint with random weights: as ours reads it, and as NVIDIA's code does."""
    state, action, cameras = (
        RANDOM_N1_5[data_config] if data_config else (RANDOM[version], RANDOM[version], ("front", "wrist"))
    )
    robot: dict[str, Any] = {"state_keys": state, "action_keys": action, "video_keys": cameras}
    robot |= {"image_size": 224} if version == "N1.5" else {}
    own = build_tiny_checkpoint(folder / "ours", version=version, seed=seed, **robot)
    if version == "N1.5":
        _make_quaternions(own)
    if version == "N1.7":
        _make_relative(own)
    for file in own.glob("*.safetensors"):
        rounded = {name: value.bfloat16().float() for name, value in load_file(file).items()}
        save_file(rounded, file, metadata={"format": "pt"})
    theirs = folder / "theirs"
    shutil.copytree(own, theirs)
    if version == "N1.6":
        config = theirs / "config.json"
        # NVIDIA's backbone asks for both
        flags = {"use_flash_attention": True, "load_bf16": True}
        config.write_text(json.dumps(json.loads(config.read_text(encoding="utf-8")) | flags), encoding="utf-8")
    return own, theirs


def _make_quaternions(checkpoint: Path) -> None:
    """Let the metadata of a tiny N1.5 tell which parts of its state are rotations, as NVIDIA's do."""
    file = checkpoint / METADATA_FILE
    metadata = json.loads(file.read_text(encoding="utf-8"))
    for robot in metadata.values():
        for key, field in robot["modalities"]["state"].items():
            if "rotation" in key:
                field["rotation_type"] = "quaternion"
    file.write_text(json.dumps(metadata), encoding="utf-8")


def _make_relative(checkpoint: Path) -> None:
    """Let a tiny N1.7 decide actions relative to the state, whose statistics differ from step to step."""
    processor, statistics = (checkpoint / name for name in (PROCESSOR_FILE, STATISTICS_FILE))
    fields, numbers = (json.loads(file.read_text(encoding="utf-8")) for file in (processor, statistics))
    options = fields["processor_kwargs"]
    options["use_relative_action"] = True
    ((tag, robot),) = options["modality_configs"].items()
    action = robot["action"]
    for key, config in zip(action["modality_keys"], action["action_configs"], strict=True):
        if key in RELATIVE:
            config.update({"rep": "RELATIVE", "state_key": key, **RELATIVE[key]})
    steps = len(action["delta_indices"])
    numbers[tag]["relative_action"] = {
        key: {
            name: [[value * (1 + step) / steps for value in values] for step in range(steps)]
            for name, values in numbers[tag]["action"][key].items()
        }
        for key in RELATIVE
    }
    processor.write_text(json.dumps(fields), encoding="utf-8")
    statistics.write_text(json.dumps(numbers), encoding="utf-8")


def observations(policy: ServedPolicy, size: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """Random observations within the checkpoint's statistics, and noise, as the reference reads them."""
    rng, batch = np.random.default_rng(seed), len(INSTRUCTIONS)
    model, state = policy.encoder.model, policy.encoder.inputs.embodiment.state
    low, high = state.limits().nan_to_num(0.0).cpu().numpy()
    raw = low + rng.random((batch, state.raw_dim)) * (high - low)
    arrays = {f"state.{key}": raw[:, None, at].astype(np.float32) for key, at in state.slices().items()}
    for key in policy.keys.video:
        arrays[f"video.{key}"] = rng.integers(0, 256, (batch, 1, *size, 3), dtype=np.uint8)
    arrays["instructions"] = np.array(INSTRUCTIONS)
    arrays["noise"] = rng.standard_normal((batch, model.action_horizon, model.max_action_dim)).astype(np.float32)
    return arrays


def ours(policy: ServedPolicy, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our actions (B, H, D) by key, each observation on its own, so that each gets its noise."""
    actor: Any = policy.actor
    parts = []
    for row, text in enumerate(given["instructions"]):
        noise = torch.from_numpy(given["noise"][row : row + 1]).to(policy.encoder.model.device)
        actor.draw_noise = lambda obs, scale, noise=noise: noise
        video = {key: given[f"video.{key}"][row : row + 1, 0] for key in policy.keys.video}
        state = {key: given[f"state.{key}"][row : row + 1, 0] for key in policy.keys.state}
        # N1.5's policy makes an array of what its clients send, and a text of the array
        told = f"['{text}']" if policy.encoder.model.version == "N1.5" else str(text)
        parts.append(policy.act(Observation(video, state, (told,))))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _compare(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cli import checks

    checks.check_device(arguments.device)
    checkout = arguments.checkout.expanduser().resolve()
    version = version_of(checkout)
    tokenizer, data_config = arguments.tokenizer, arguments.data_config
    if version == "N1.5" and data_config is None:
        if arguments.checkpoint is not None:
            raise OracleError("--data-config is missing: an N1.5 does not tell how its numbers are processed")
        data_config = next(iter(RANDOM_N1_5))
    if version != "N1.5" and data_config is not None:
        raise OracleError(f"--data-config is for N1.5; a GR00T {version} tells by itself how numbers are processed")
    if version == "N1.5" and arguments.checkpoint is None and data_config not in RANDOM_N1_5:
        raise OracleError(
            f"there are no random weights for --data-config {data_config}, only for {', '.join(RANDOM_N1_5)}; give"
            " --checkpoint for others"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.checkpoint is None:
            own, theirs = random_checkpoint(folder, version, arguments.seed, data_config)
        else:
            own = theirs = resolve_checkpoint(arguments.checkpoint).resolve()
            if (found := checkpoint_version(own)) != version:
                raise OracleError(f"the checkpoint is a GR00T {found}, the checkout is of {version}")
            if tokenizer is None and not any((own / file).is_file() for file in TOKENIZER_FILES):
                tokenizer = str(checkout / TOKENIZERS[version]) if version in TOKENIZERS else None
        python = oracle_python(PINS[version], f"gr00t-oracle-{version}")
        fields = {"embodiment_tag": arguments.embodiment_tag, "dtype": "float32", "tokenizer": tokenizer or ""}
        fields["data_config"] = data_config or ""
        policy = load_native(str(own), arguments.device, fields)
        cases, mine = [], {}
        own_sizes = policy.encoder.inputs.embodiment.camera_sizes.values()
        sizes = [(height, width) for width, height in dict.fromkeys(own_sizes)] if version == "N1.5" else []
        for height, width in arguments.image_size or sizes or SIZES:
            given = observations(policy, (height, width), arguments.seed)
            case = f"{height}x{width}"
            mine[case] = ours(policy, given)
            files = {"observations": folder / f"{case}.npz", "out": folder / f"{case}_actions.npz"}
            np.savez(files["observations"], **given)
            cases.append({name: str(file) for name, file in files.items()})
        del policy  # two models of billions of parameters may be more than the memory holds
        job = {"checkout": str(checkout), "checkpoint": str(theirs), "tag": arguments.embodiment_tag, "cases": cases}
        job |= {
            "version": version,
            "data_config": arguments.their_data_config or data_config,
            "device": arguments.device,
        }
        if version == "N1.7":
            job |= qwen_parts(theirs, tokenizer, folder)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        versions = run_in_environment(python, REFERENCE, folder / "job.json")
        reference = {}
        for name, case in zip(mine, cases, strict=True):
            with np.load(case["out"], allow_pickle=False) as file:
                reference[name] = {key: file[key] for key in file.files}
    return report(arguments, version, versions, mine, reference)


def qwen_parts(checkpoint: Path, tokenizer: str | None, folder: Path) -> dict[str, str | None]:
    """What an N1.7's backbone and tokenizer are made from; NVIDIA's code has neither."""
    dims = checkpoint / BACKBONE_CONFIG_FILE
    if not dims.is_file():
        dims = folder / "backbone.json"
        dims.write_text(json.dumps(PUBLISHED_QWEN3VL_CONFIG), encoding="utf-8")
    if tokenizer is None and any((checkpoint / file).is_file() for file in TOKENIZER_FILES):
        tokenizer = str(checkpoint)
    return {"backbone": str(dims), "tokenizer": tokenizer}


def report(
    arguments: argparse.Namespace,
    version: str,
    versions: Mapping[str, str],
    mine: Mapping[str, Mapping[str, np.ndarray]],
    reference: Mapping[str, Mapping[str, np.ndarray]],
) -> int:
    """Print the table of some cases. Returns 0 if all differences are within the tolerance, else 1.

    Raises:
        OracleError: Both decide other keys, or other numbers of steps.
    """
    from rich.console import Console
    from rich.table import Table

    what = arguments.checkpoint or "random weights"
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    table = Table(title=f"GR00T {version}, {what}: ours and NVIDIA's ({packages})", title_justify="left")
    for name in ("images", "action", "steps", "largest", "difference", "bound", ""):
        table.add_column(name, justify="left" if name in ("images", "action", "") else "right", no_wrap=True)
    good = True
    for case, actions in mine.items():
        shapes = [{key: value.shape for key, value in of.items()} for of in (actions, reference[case])]
        if shapes[0] != shapes[1]:
            raise OracleError(f"ours decides {shapes[0]}, NVIDIA's {shapes[1]}: they cannot be compared")
        for key, value in actions.items():
            theirs = reference[case][key]
            largest, difference = float(np.abs(theirs).max()), float(np.abs(value - theirs).max())
            bound = arguments.tolerance * largest
            agrees = difference <= bound
            good = good and agrees
            cells = (str(value.shape[1]), f"{largest:.3g}", f"{difference:.1e}", f"{bound:.1e}")
            table.add_row(case, key, *cells, "agrees" if agrees else "differs")
    Console(width=None if Console().is_terminal else 120).print(table)
    return 0 if good else 1
