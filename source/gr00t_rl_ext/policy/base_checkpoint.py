# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The GR00T checkpoint that a policy starts from: where it lies, what identifies it, whether it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t import Gr00tCheckpointError, build_tiny_checkpoint, load_tokenizer
from gr00t_rl_ext.gr00t.checkpoint import resolve_checkpoint
from gr00t_rl_ext.gr00t.data_config import read_data_config
from gr00t_rl_ext.gr00t.embodiment import Embodiment, load_embodiment, statistics_files
from gr00t_rl_ext.gr00t.inputs import check_fit
from gr00t_rl_ext.gr00t.model import check_weights, meta_gr00t
from gr00t_rl_ext.gr00t.tiny import TinyN15
from gr00t_rl_ext.gr00t.weights import CheckpointWeights
from gr00t_rl_ext.policy.options import TINY, Gr00tOptions, chunk_within
from gr00t_rl_ext.robot.bound_mapping import tiny_layout
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping, EmbodimentMappingError
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.starters import STARTER, no_starter, starters, unpacked


def base_directory(options: Gr00tOptions, spec: TaskSpec) -> Path:
    """Directory of the checkpoint.

    Raises:
        Gr00tCheckpointError: There is none.
    """
    if options.checkpoint == STARTER:
        return _starter_directory(spec)
    if options.checkpoint != TINY:
        return resolve_checkpoint(options.checkpoint)
    return tiny_checkpoint(spec, EmbodimentMapping.load(options.mapping) if options.mapping else None)


def base_fingerprint(options: Gr00tOptions, spec: TaskSpec) -> str:
    """Identifies the checkpoint, and the data config and the mapping through which the policy sees the robot."""
    directory = base_directory(options, spec)
    parts = [fingerprint(directory)]
    embodiment = robot_of(directory, options)
    # fingerprints from before there were data configs stay what they are
    if embodiment.data_config is not None and not embodiment.is_plain:
        parts.append(embodiment.data_config.digest())
    if options.mapping:
        parts.append(EmbodimentMapping.load(options.mapping).digest())
    return parts[0] if len(parts) == 1 else hashlib.sha256(":".join(parts).encode()).hexdigest()


def robot_of(directory: Path, options: Gr00tOptions) -> Embodiment:
    """The robot that the options choose, without a model."""
    return load_embodiment(
        directory, options.embodiment_tag, slot=options.embodiment_slot, data_config=options.data_config or None
    )


def check_base(options: Gr00tOptions, chunk_length: int | None = None) -> None:
    """Check, without reading or downloading weights, that the checkpoint is a GR00T that can be built here, with
    statistics of the robot and a tokenizer that fit it, and that the mapping names what it has.

    Args:
        options: The fields of ``agent.actor.gr00t``.
        chunk_length: ``agent.actor.chunk_length``; None: all that it predicts.

    Raises:
        ValueError: It is not, or does not; or it predicts fewer control steps.
    """
    if options.checkpoint not in (TINY, STARTER):
        embodiment, model = _checked(options)
        chunk_within(embodiment.action_horizon or model.action_horizon, chunk_length)
        return
    if options.checkpoint == TINY:
        chunk_within(TinyN15.horizon, chunk_length)
    with _named_as_settings():
        _read_files(options)
        if options.tokenizer:
            load_tokenizer("", options.tokenizer)
        if options.embodiment_tag != Gr00tOptions.embodiment_tag:
            raise Gr00tCheckpointError(
                f"embodiment_tag is {options.embodiment_tag!r}, but `{options.checkpoint}` has"
                f" {Gr00tOptions.embodiment_tag!r} alone"
            )


def checked_robot(options: Gr00tOptions) -> Embodiment:
    """The robot of a checkpoint that has been checked as :func:`check_base` does.

    Raises:
        ValueError: Likewise.
    """
    return _checked(options)[0]


def _checked(options: Gr00tOptions) -> tuple[Embodiment, Any]:
    """The robot, and the network without weights."""
    with _named_as_settings():
        mapping = _read_files(options)
        directory = resolve_checkpoint(options.checkpoint, weights=False)
        embodiment = robot_of(directory, options)
        mapping.check_checkpoint(embodiment)
        model = meta_gr00t(directory)
        check_fit(model, embodiment, load_tokenizer(directory, options.tokenizer or None))
        if Path(options.checkpoint).expanduser().is_dir():
            check_weights(model, CheckpointWeights(directory))
        return embodiment, model


def _read_files(options: Gr00tOptions) -> EmbodimentMapping:
    """The mapping; what else the options name in files of the user is read as well, before anything is downloaded."""
    mapping = EmbodimentMapping.load(options.mapping)
    if options.data_config:
        read_data_config(options.data_config)
    return mapping


@contextmanager
def _named_as_settings() -> Iterator[None]:
    try:
        yield
    except Gr00tCheckpointError as error:
        raise ValueError(f"agent.actor.gr00t: {error}") from error
    except EmbodimentMappingError as error:
        raise ValueError(f"agent.actor.gr00t.mapping: {error}") from error


def _starter_directory(spec: TaskSpec) -> Path:
    if spec.instructions:
        # each learned one
        raise Gr00tCheckpointError(no_starter(f"the tasks {', '.join(map(repr, spec.instructions))}"))
    found = [s for s in starters() if s.fits(spec.instruction, spec.cameras, spec.state_terms, spec.action_terms)]
    if found:
        return unpacked(found[0])
    same = [s for s in starters() if s.instruction == spec.instruction and s.action_terms == spec.action_terms]
    if same:
        raise Gr00tCheckpointError(
            f"the starter for {same[0].task} sees the cameras {', '.join(same[0].cameras)} and the state"
            f" {', '.join(same[0].state_terms)}, but the agent observes {', '.join(spec.cameras)} and"
            f" {', '.join(spec.state_terms)}. Add to the command line: {' '.join(same[0].settings)}"
        )
    raise Gr00tCheckpointError(no_starter(f"the task {spec.instruction!r}"))


def tiny_checkpoint(spec: TaskSpec, mapping: EmbodimentMapping | None = None) -> Path:
    """Directory of the tiny random GR00T for a task, with the keys of a mapping, built on first use."""
    name = spec.digest() if mapping is None else f"{spec.digest()}-{mapping.digest()[:12]}"
    directory = cache_directory() / "tiny" / name
    if not (directory / "config.json").is_file():
        build_tiny_checkpoint(directory, **tiny_layout(mapping or EmbodimentMapping(), spec))
    return directory


def fingerprint(directory: Path) -> str:
    """Identify a base checkpoint: SHA-256 over config, statistics and each weight file's name, size and a sample of it.

    Reading every byte of a 5 GB checkpoint would take longer than loading it. Two checkpoints of one fine-tuning run
    have the same config, file names and sizes, so the sample must tell them apart. The statistics belong to it because
    the policy sees the state through them.
    """
    digest = hashlib.sha256((directory / "config.json").read_bytes())
    for file in statistics_files(directory):
        digest.update(file.read_bytes())
    for file in sorted(directory.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            for part in range(16):
                stream.seek(size * part // 16)
                digest.update(stream.read(4096))
    return digest.hexdigest()
