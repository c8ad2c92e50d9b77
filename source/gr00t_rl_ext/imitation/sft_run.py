# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A run of supervised fine-tuning: dataset, model and trainer made from the options, and the loop of learning."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gr00t_rl_ext.gr00t import Gr00tInputs, Gr00tModel, load_embodiment, load_gr00t, load_tokenizer
from gr00t_rl_ext.gr00t.checkpoint import new_directory, resolve_checkpoint
from gr00t_rl_ext.gr00t.data_config import DataConfig
from gr00t_rl_ext.gr00t.inputs import check_tokenizer
from gr00t_rl_ext.gr00t.metadata import set_robot_metadata
from gr00t_rl_ext.gr00t.model import meta_gr00t
from gr00t_rl_ext.imitation import sft_checkpoint, training_data
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.recipe import recipe_for
from gr00t_rl_ext.imitation.sft import SftTrainer
from gr00t_rl_ext.imitation.sft_options import SMALL_NAME, SftOptions
from gr00t_rl_ext.imitation.training_data import GIB, TrainingData
from gr00t_rl_ext.policy.assumptions import print_assumptions
from gr00t_rl_ext.policy.base_checkpoint import fingerprint
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.freezing import Freezing
from gr00t_rl_ext.policy.precision import dtype_of
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.progress import progress_bar

DETERMINING = (
    *("steps", "batch_size", "learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm", "seed"),
    *("holdout", "keep_statistics", "embodiment_tag", "crop_scale", "data_config", "language_layers"),
)
"""Options that a run goes on with as it began, beside dataset, checkpoint and cameras."""


@dataclass
class SftRun:
    """A run; :meth:`prepare` makes one."""

    options: SftOptions
    trainer: SftTrainer
    dataset: DemonstrationDataset
    settings: Mapping[str, Any]
    """What determines the run."""

    metadata: Mapping[str, Any] | None
    """Of the robot; None: those of the checkpoint."""

    data_config: DataConfig | None
    """How numbers and images are processed, of an N1.5."""

    facts: Mapping[str, str]
    """What is trained on what, for a table."""

    curve: list[dict[str, float]] = field(default_factory=list)
    """One row per evaluation."""

    @classmethod
    def prepare(cls, options: SftOptions, resume: Path | None = None) -> SftRun:
        """Read the dataset, load the model, and compute what is frozen for every frame, with a progress bar.

        Args:
            options: What to train on what, and how.
            resume: Checkpoint with a run to go on with, of the same options.

        Raises:
            DatasetError: The dataset cannot be used.
            Gr00tCheckpointError: The checkpoint cannot.
            ValueError: An option does not fit, or the run to go on with cannot be read or had others.
        """
        dataset = DemonstrationDataset(options.dataset, only_successes=not options.keep_failures)
        cameras = training_data.choose_cameras(dataset, options.cameras)
        tag = options.embodiment_tag
        if options.checkpoint == SMALL_NAME:
            directory = sft_checkpoint.small_checkpoint(dataset, cameras, options)
            tokenizer = load_tokenizer(directory, options.tokenizer)
        else:
            # what can be refused without the weights is, before they are downloaded
            files = resolve_checkpoint(options.checkpoint, weights=False)
            tokenizer = load_tokenizer(files, options.tokenizer)
            check_tokenizer(meta_gr00t(files), tokenizer)
            directory = resolve_checkpoint(options.checkpoint)
        device = options.device
        model = load_gr00t(directory, embodiment_tag=tag, dtype=dtype_of("auto", device), device=device)
        metadata = None
        if options.keep_statistics:
            slot = model.embodiment_slot
            embodiment = load_embodiment(directory, tag, slot=slot, data_config=options.data_config)
            sft_checkpoint.check_same_robot(embodiment, dataset)
        else:
            metadata = sft_checkpoint.dataset_metadata(dataset, cameras, tag)
            embodiment = sft_checkpoint.dataset_embodiment(model, metadata, options)
        inputs = Gr00tInputs(model, embodiment, tokenizer, num_cameras=len(cameras), crop_scale=options.crop_scale)
        print_assumptions(inputs, {})
        config = embodiment.data_config
        if config is not None:
            config = config.model_copy(update={"crop_scale": inputs.images.recipe.crop_scale, "video_keys": cameras})
        recipe = recipe_for(model, options.recipe)
        options = dataclasses.replace(options, recipe=recipe.name, train=tuple(options.train or recipe.train))
        freezing = _freezing(model, options, keeps_images=recipe.augments)
        base = fingerprint(directory)
        settings = {name: getattr(options, name) for name in (*DETERMINING, "recipe", "train")}
        settings |= {"dataset": training_data.digest(dataset), "checkpoint": base, "cameras": cameras}
        state, curve = (None, []) if resume is None else sft_checkpoint.read_run(resume, settings)
        encoder = Gr00tEncoder(freezing, inputs, training_data.spec_of(dataset, cameras, ""), base)
        train, held_out = training_data.hold_out(dataset, options.holdout, options.seed)
        total, start = sum(map(len, dataset)), time.perf_counter()
        with progress_bar(transient=True) as progress:
            encoded = functools.partial(progress.advance, progress.add_task("reading frames", total=total))
            cache = options.cache_gib * GIB / total
            frames = TrainingData(encoder, dataset, train, cameras, cache, encoded)
            measured = TrainingData(encoder, dataset, held_out, cameras, cache, encoded) if held_out else frames
        seconds = time.perf_counter() - start
        instructions = ", ".join(repr(part.encoder.spec.instruction) for part in frames.parts[:3])
        facts = {
            "dataset": f"{dataset.directory}: {len(dataset)} episodes, {total} frames, {len(cameras)} cameras",
            "instructions": instructions + (f" and {len(frames.parts) - 3} more" if len(frames.parts) > 3 else ""),
            "episodes": f"{len(train)} to learn from, "
            + (f"{len(held_out)} to measure on" if held_out else "and the same to measure on: none is held out"),
            "GR00T": f"{model.version}, {_count(model) / 1e6:.2f} M parameters, from {options.checkpoint}",
            "chunk": f"{encoder.action_horizon} actions of {embodiment.action.raw_dim} numbers",
            "training": freezing.describe(),
            "recipe": recipe.describe(),
            "frames": f"read in {seconds:.1f} s",
            "steps": f"{options.steps} of {options.batch_size} chunks, learning rate {options.learning_rate:g}"
            f" ({options.schedule})",
            "measuring": f"every {options.eval_every} steps, actions sampled with noise scale {options.noise_scale:g}",
        }
        trainer = SftTrainer(freezing, frames, measured, options, recipe)
        if state is not None:
            trainer.load_state_dict(state)
        return cls(options, trainer, dataset, settings, metadata, config, facts, curve)

    @property
    def num_parameters(self) -> int:
        """Parameters of the model."""
        return _count(self.trainer.model)

    def learn(self, out: Path) -> bool:
        """Train to the end, with a progress bar, evaluating and saving on the way, and at the end or when interrupted.

        Args:
            out: Directory of the checkpoint.

        Returns:
            Whether the end was reached; else the run was interrupted, and can go on.
        """
        try:
            self._learn(out)
        except KeyboardInterrupt:
            finished = False
        else:
            finished = True
        self.save(out)
        return finished

    def _learn(self, out: Path) -> None:
        options, trainer = self.options, self.trainer
        start, before = time.perf_counter(), trainer.steps_done
        losses: list[float] = []
        with progress_bar() as progress:
            bar = progress.add_task("", total=options.steps)
            while trainer.steps_done < options.steps:
                rate = options.learning_rate_at(trainer.steps_done)
                losses.append(trainer.step())
                done, recent = trainer.steps_done, losses[-50:]
                speed = (done - before) / (time.perf_counter() - start)
                text = f"loss {sum(recent) / len(recent):.4f}  lr {rate:.1e}  {speed:.1f} it/s"
                progress.update(bar, completed=done, description=text)
                if done % options.eval_every == 0 or done == options.steps:
                    row = self.evaluate(sum(losses) / len(losses))
                    progress.console.print(
                        f"step {done:>6}: loss {row['train_loss']:.4f}, held out {row['held_out_loss']:.4f}, action"
                        f" error {row['action_error']:.4f}"
                    )
                    losses.clear()
                if done % options.save_every == 0 and done != options.steps:
                    self.save(out)

    def evaluate(self, train_loss: float) -> dict[str, float]:
        """Measure (:meth:`SftTrainer.evaluate`), and add a row to the curve, which is returned."""
        row = {"step": self.trainer.steps_done, "train_loss": train_loss, **self.trainer.evaluate()}
        self.curve.append(row)
        return row

    def results(self) -> dict[str, str]:
        """The first and the last row of the curve, for a table; nothing before an evaluation."""
        if not self.curve:
            return {}
        first, last = self.curve[0], self.curve[-1]
        labels = {"train_loss": "loss", "held_out_loss": "loss, held out", "action_error": "action error, held out"}
        rows = {
            label: f"{first[name]:.4f} at step {first['step']}, {last[name]:.4f} at step {last['step']}"
            for name, label in labels.items()
        }
        by_key = [f"{name.partition('/')[2]} {value:.4f}" for name, value in last.items() if "/" in name]
        return rows | {"by action key": ", ".join(by_key)}

    def save(self, out: Path) -> None:
        """Write a GR00T checkpoint in the published layout, and the run beside it. It appears complete or not at all.

        The checkpoint that the model was loaded from must still be there.

        Args:
            out: Directory; a former state of the run is replaced.

        Raises:
            FileExistsError: The directory holds something else.
        """
        with new_directory(out, may_replace=sft_checkpoint.is_sft_checkpoint) as target:
            self.trainer.model.save_pretrained(target)
            if self.metadata is not None:
                set_robot_metadata(target, self.options.embodiment_tag, self.metadata)
            if self.data_config is not None:
                self.data_config.write(target)
            sft_checkpoint.write_run(target, self.settings, self.trainer.state_dict(), self.curve)


def _freezing(model: Gr00tModel, options: SftOptions, *, keeps_images: bool) -> Freezing:
    opened = FreezingOptions(train=list(options.train or ()), language_layers=options.language_layers)
    try:
        return Freezing(model, opened, reads_head=True, keeps_images=keeps_images)
    except ValueError as error:
        # it speaks of the settings of RL, of which these two are ours as well
        raise ValueError(f"--train and --language-layers cannot be used so: {error}") from error


def _count(model: Gr00tModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
