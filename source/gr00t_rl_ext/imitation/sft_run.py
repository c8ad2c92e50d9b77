# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A run of supervised fine-tuning: dataset, model and trainer made from what the command line says."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t import Gr00tInputs, Gr00tModel, load_embodiment, load_gr00t, load_tokenizer
from gr00t_rl_ext.gr00t.checkpoint import resolve_checkpoint
from gr00t_rl_ext.imitation import sft_checkpoint, training_data
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.feature_cache import GIB
from gr00t_rl_ext.imitation.sft import Evaluation, SftOptions, SftTrainer
from gr00t_rl_ext.imitation.sft_checkpoint import SMALL_NAME, SavedRun
from gr00t_rl_ext.imitation.training_data import TrainingData
from gr00t_rl_ext.policy.base_checkpoint import fingerprint
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.freezing import Freezing
from gr00t_rl_ext.policy.precision import dtype_of
from gr00t_rl_ext.policy.stages import FreezingOptions


@dataclass(frozen=True)
class SftRequest:
    """What to train on what; ``scripts/sft.py --help`` documents the fields."""

    dataset: Path
    checkpoint: str
    cameras: Sequence[str] | None = None
    keep_failures: bool = False
    holdout: float = 0.1
    keep_statistics: bool = False
    embodiment_tag: str = "new_embodiment"
    tokenizer: str | None = None
    crop_scale: float | None = None
    horizon: int = 16
    train: Sequence[str] = ("projector", "dit")
    language_layers: int = 0
    cache_gib: float = 8.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ("holdout", 0 <= self.holdout < 1, "a share in [0, 1)"),
            ("horizon", self.horizon >= 1, "at least 1"),
            ("cache_gib", self.cache_gib >= 0, "0 or more"),
            ("language_layers", self.language_layers >= 0, "0 or more"),
        ):
            if not fits:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected {expected}.")
        if "language" in self.train and not self.language_layers:
            raise ValueError("--train names language, but --language-layers is 0: set the number of its last layers.")
        if self.checkpoint == SMALL_NAME and self.keep_statistics:
            raise ValueError("--keep-statistics needs a checkpoint that has some; `small` gets those of the dataset.")


class SftRun:
    """A run; :meth:`prepare` makes one."""

    def __init__(
        self,
        request: SftRequest,
        trainer: SftTrainer,
        dataset: DemonstrationDataset,
        settings: Mapping[str, Any],
        metadata: Mapping[str, Any] | None,
        facts: Mapping[str, str],
    ) -> None:
        self.request = request
        self.trainer = trainer
        self.dataset = dataset
        self.settings = settings
        self.metadata = metadata
        self.curve: list[dict[str, float]] = []
        """One row per evaluation."""
        self._facts = facts

    @classmethod
    def prepare(
        cls,
        request: SftRequest,
        options: SftOptions,
        resume: Path | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
        announce: Callable[[str], None] = lambda _: None,
    ) -> SftRun:
        """Read the dataset, load the model, and compute what is frozen for every frame.

        Args:
            request: What to train on what.
            options: How.
            resume: Checkpoint with a run to go on with, of the same request and options.
            report: Called with the frames that have been encoded, and the number of all.
            announce: Called with what the features will take, before they are computed.

        Raises:
            DatasetError: The dataset cannot be used.
            Gr00tCheckpointError: The checkpoint cannot.
            ValueError: An option does not fit, or the run to go on with cannot be read or had others.
        """
        dataset = DemonstrationDataset(request.dataset, only_successes=not request.keep_failures)
        cameras = training_data.choose_cameras(dataset, request.cameras)
        tag = request.embodiment_tag
        if request.checkpoint == SMALL_NAME:
            directory = sft_checkpoint.small_checkpoint(
                dataset, cameras, horizon=request.horizon, seed=options.seed, tag=tag
            )
        else:
            directory = resolve_checkpoint(request.checkpoint)
        dtype = dtype_of("auto", request.device)
        model = load_gr00t(directory, embodiment_tag=tag, dtype=dtype, device=request.device)
        metadata = None
        if request.keep_statistics:
            embodiment = load_embodiment(directory, tag, slot=model.embodiment_slot)
            sft_checkpoint.check_same_robot(embodiment, dataset)
        else:
            metadata = sft_checkpoint.dataset_metadata(dataset, cameras, tag)
            embodiment = sft_checkpoint.dataset_embodiment(model, metadata, tag)
        inputs = Gr00tInputs(
            model,
            embodiment,
            load_tokenizer(directory, request.tokenizer),
            num_cameras=len(cameras),
            crop_scale=request.crop_scale,
        )
        freezing = _freezing(model, request)
        base = fingerprint(directory)
        settings = {
            **dataclasses.asdict(options),
            "dataset": training_data.digest(dataset),
            "checkpoint": base,
            "cameras": cameras,
            "holdout": request.holdout,
            "keep_statistics": request.keep_statistics,
            "embodiment_tag": tag,
            "crop_scale": request.crop_scale,
            "train": list(request.train),
            "language_layers": request.language_layers,
        }
        saved = None if resume is None else sft_checkpoint.read_run(resume, settings)
        encoder = Gr00tEncoder(freezing, inputs, training_data.spec_of(dataset, cameras, ""), base)
        train, held_out = training_data.hold_out(dataset, request.holdout, options.seed)
        total, done = sum(map(len, dataset)), 0

        def count(frames: int) -> None:
            nonlocal done
            done += frames
            report(done, total)

        start = time.perf_counter()
        cache: dict[str, Any] = {
            "memory_per_frame": request.cache_gib * GIB / total,
            "cache_directory": cache_directory() / "features",
            "announce": announce,
            "report": count,
        }
        frames = TrainingData(encoder, dataset, train, cameras, **cache)
        measured = TrainingData(encoder, dataset, held_out, cameras, **cache) if held_out else frames
        seconds = time.perf_counter() - start
        instructions = ", ".join(repr(part.encoder.spec.instruction) for part in frames.parts[:3])
        facts = {
            "dataset": f"{dataset.directory}: {len(dataset)} episodes, {total} frames, {len(cameras)} cameras",
            "instructions": instructions + (f" and {len(frames.parts) - 3} more" if len(frames.parts) > 3 else ""),
            "episodes": f"{len(train)} to learn from, "
            + (f"{len(held_out)} to measure on" if held_out else "and the same to measure on: none is held out"),
            "GR00T": f"{model.version}, {_count(model) / 1e6:.2f} M parameters, from {request.checkpoint}",
            "chunk": f"{encoder.action_horizon} actions of {embodiment.action.raw_dim} numbers",
            "training": freezing.describe(),
            "frames": f"read in {seconds:.1f} s",
        }
        run = cls(request, SftTrainer(freezing, frames, measured, options), dataset, settings, metadata, facts)
        if saved is not None:
            run.trainer.load_state_dict(saved.state)
            run.curve = saved.curve
        return run

    @property
    def num_parameters(self) -> int:
        """Parameters of the model."""
        return _count(self.trainer.model)

    def describe(self) -> dict[str, str]:
        """What is trained on what, for a table."""
        options = self.trainer.options
        return {
            **self._facts,
            "steps": f"{options.steps} of {options.batch_size} chunks, learning rate {options.learning_rate:g}"
            f" ({options.schedule})",
        }

    def evaluate(self, train_loss: float) -> Evaluation:
        """Measure, and add a row to the curve."""
        result = self.trainer.evaluate()
        row = {"step": self.trainer.steps_done, "train_loss": train_loss, "held_out_loss": result.loss}
        row["action_error"] = result.action_error
        row |= {f"action_error/{key}": value for key, value in result.action_errors.items()}
        self.curve.append(row)
        return result

    def save(self, out: Path) -> None:
        """Write the checkpoint and the state of the run; see :func:`~.sft_checkpoint.write_checkpoint`."""
        run = SavedRun(self.settings, self.trainer.state_dict(), self.curve)
        sft_checkpoint.write_checkpoint(
            out, self.trainer.model, run, tag=self.request.embodiment_tag, metadata=self.metadata
        )


def _freezing(model: Gr00tModel, request: SftRequest) -> Freezing:
    options = FreezingOptions(train=list(request.train), language_layers=request.language_layers)
    try:
        return Freezing(model, options, reads_head=True)
    except ValueError as error:
        # it speaks of the settings of RL, of which these two are ours as well
        raise ValueError(f"--train and --language-layers cannot be used so: {error}") from error


def _count(model: Gr00tModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
