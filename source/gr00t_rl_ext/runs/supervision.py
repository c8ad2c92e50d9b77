# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What watches over a training: signals, errors, checkpoints that are due, and the disk."""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from gr00t_rl_ext.attributes import replaced
from gr00t_rl_ext.options import read
from gr00t_rl_ext.runs import kept
from gr00t_rl_ext.runs.checkpoint_files import remove_scratch, write_checkpoint
from gr00t_rl_ext.runs.log_state import SteadyWriter, log_state
from gr00t_rl_ext.runs.options import WHERE, CheckpointOptions
from gr00t_rl_ext.runs.random_state import rng_state
from gr00t_rl_ext.runs.resumption import is_continued, record_command, resume_command
from gr00t_rl_ext.runs.run_lock import RunLock

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that stop a training after the decision, or the update, in progress."""

FEW = 5
"""Checkpoints that are kept where all of a run would take more than :data:`MUCH`."""

MUCH = 2 * 10**9
"""Bytes."""

_PER_TENSOR = 300
"""Bytes that torch's format takes for each, besides its content."""

BEGUN_AT = "_gr00t_rl_ext_begun_at"
"""Attribute of a runner that goes on with a run: iterations before that run."""

_ATTRIBUTE = "_gr00t_rl_ext_supervision"


def of_runner(runner: Any) -> Supervision | None:
    """What watches over the training that a runner is in; None: it is in none."""
    return runner.__dict__.get(_ATTRIBUTE)


def checkpoint_of(runner: Any, infos: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that a checkpoint of a runner holds."""
    supervision = of_runner(runner)
    content = {"rng_state": rng_state(str(runner.device)), "iter": runner.current_learning_iteration, "infos": infos}
    return runner.alg.save() | content | ({} if supervision is None else supervision.state())


class Stopped(BaseException):
    """A signal ends the training."""


class Supervision:
    """Watches over the ``learn`` of a runner, for as long as it is entered.

    * A signal of :data:`SIGNALS` ends the training after the decision or the update in progress: what an update was in
      the middle of would be lost. Several processes end together, before their next update. A second signal ends it at
      once.
    * Whatever ends it, the weights are saved before, unless they are not finite. An update that an error ends is kept
      as far as it came, as the beginning of the next iteration.
    * A checkpoint that cannot be written is written again at the next occasion and at the end.

    It is told what happens by the calls that rsl_rl's loop makes: ``process_env_step`` and ``log`` of the logger, and
    ``update`` of the algorithm.

    Args:
        runner: Of rsl_rl.
        iterations: Iterations to make; of the whole run where one goes on.

    Raises:
        ValueError: The run is at its end, another training writes into its directory, or the disk has no space for a
            checkpoint.
    """

    def __init__(self, runner: Any, iterations: int) -> None:
        self._runner, self._logger, self._alg = runner, runner.logger, runner.alg
        self.is_continued = is_continued()
        self.done = runner.current_learning_iteration
        """Iterations of the run whose updates are complete."""

        self._begun_at = getattr(runner, BEGUN_AT, 0) if self.is_continued else self.done
        """Iterations before the run, of the checkpoint that it began with."""

        made = self.done - self._begun_at
        self.remaining = iterations - made
        if self.remaining <= 0:
            raise ValueError(
                f"The run has made {made} iterations, of {iterations} that it was to make. To go on with it, give it"
                f" more, such as --max_iterations {made + 100}."
            )
        self._end = self.done + self.remaining
        self._directory = None if self._logger.log_dir is None else Path(self._logger.log_dir)
        self._options = read(CheckpointOptions, runner.cfg.get("checkpoints") or {}, WHERE)
        self._keep_last = self._options.keep_last
        self._index: dict[str, dict[str, Any]] = {}
        self._signal: int | None = None
        self._updating = False
        self._saved_at, self._saved = time.monotonic(), self.done
        """When, and after how many iterations, the latest checkpoint was written."""
        self._unwritten: OSError | None = None
        self._score: float | None = None
        self._lock: RunLock | None = None
        self._writes = self._directory is not None and not self._logger.disable_logs
        self._handlers: dict[int, Any] = {}
        self._watching = contextlib.ExitStack()

    # The time in which it watches

    def __enter__(self) -> Supervision:
        setattr(self._runner, _ATTRIBUTE, self)
        try:
            if self._writes:
                self._prepare_directory()
        except BaseException:
            self._lock = None
            delattr(self._runner, _ATTRIBUTE)
            raise
        watched = {
            (self._logger, "process_env_step"): self._after_decision,
            (self._logger, "log"): self._after_iteration,
            (self._logger, "init_logging_writer"): self._with_steady_writer,
            (self._alg, "update"): self._update,
        }
        for (place, name), around in watched.items():
            self._watching.enter_context(replaced(place, name, _around(getattr(place, name), around)))
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if self._writes:
                self._finish(error)
        finally:
            self._restore_handlers()
            self._watching.close()
            if (writer := self._logger.writer) is not None and hasattr(writer, "flush"):
                writer.flush()
            self._lock = None
            delattr(self._runner, _ATTRIBUTE)
        if isinstance(error, Stopped):
            assert self._signal is not None
            raise SystemExit(128 + self._signal) from None

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _on_signal(self, number: int, _: Any) -> None:
        self._signal = number
        # the next one ends the program as if nothing watched
        for other in SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        doing = "update" if self._updating else "rollout" if self._runner.is_distributed else "decision"
        name = signal.Signals(number).name
        # the signal may have come in the middle of another print
        with contextlib.suppress(RuntimeError):
            print(f"\n{name}: stopping after the {doing} in progress. A second signal ends it at once.", flush=True)

    def _stop_if_told(self) -> None:
        if self._signal is not None and not self._runner.is_distributed:
            raise Stopped

    def _stop_together(self) -> None:
        """Of several processes, one that stopped alone would leave the others waiting for it in the update."""
        if self._runner.is_distributed:
            told = torch.tensor(self._signal or 0, device=self._runner.device)
            torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
            if told:
                self._signal = int(told)
                raise Stopped

    # Around the calls of rsl_rl's loop

    def _after_decision(self, original: Any, *arguments: Any, **options: Any) -> None:
        original(*arguments, **options)
        self._stop_if_told()

    def _update(self, original: Any, *arguments: Any, **options: Any) -> Any:
        self._stop_together()
        self._updating = True
        losses = original(*arguments, **options)
        self._updating = False
        self.done += 1
        return losses

    def _after_iteration(self, original: Any, *arguments: Any, **options: Any) -> None:
        self._score = self._measured()
        if self.is_continued:
            # the time per iteration, of which the remaining time is estimated, is that of the whole run
            options["start_it"] = self._begun_at
        original(*arguments, **options)
        iteration = self._runner.current_learning_iteration
        if self._writes and not self._loop_saves(iteration) and self._is_due():
            self._runner.save(str(self._file(iteration)))
        self._stop_if_told()

    def _with_steady_writer(self, original: Any) -> None:
        cfg = self._logger.cfg
        if cfg.get("logger") == "wandb":
            name = "gr00t_rl_ext.runs.wandb_writer:WandbWriter"
            cfg["logger"] = {"class_name": name, "project_name": cfg.get("wandb_project")}
        original()
        writer = self._logger.writer
        if type(writer).__name__ == "SummaryWriter":
            make = functools.partial(type(writer), log_dir=self._logger.log_dir, flush_secs=10)
            self._logger.writer = SteadyWriter(writer, make, self.done if self.is_continued else None)

    # What is saved when

    def _file(self, iteration: int) -> Path:
        assert self._directory is not None
        return self._directory / f"model_{iteration}.pt"

    def _loop_saves(self, iteration: int) -> bool:
        return iteration % self._runner.cfg["save_interval"] == 0 or iteration == self._end - 1

    def _is_due(self) -> bool:
        minutes = self._options.minutes
        waits = self._unwritten is not None and minutes is not None
        return waits or (minutes is not None and time.monotonic() - self._saved_at >= 60.0 * minutes)

    def _measured(self) -> float | None:
        """Success while training, or the return where that is not known."""
        latest = self._logger.ep_extras[-1] if self._logger.ep_extras else {}
        if (success := latest.get("charts/success_rate")) is not None:
            return float(success)
        returns = self._logger.rewbuffer
        return sum(returns) / len(returns) if returns else None

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds besides what the algorithm saves."""
        env = self._runner.env.unwrapped
        state: dict[str, Any] = {"iter": self.done, "begun_at": self._begun_at, "logger": log_state(self._logger)}
        # Isaac Lab's environments of several agents have another `state`
        if hasattr(env, "load_state"):
            try:
                state["environments"] = env.state()
            except (RuntimeError, ValueError):
                # its workers are gone, or have failed: that is what ends the training
                state["environments"] = None
        return state

    def write(self, content: dict[str, Any], file: Path) -> bool:
        """Write a checkpoint, and remove those that are not kept. A disk that refuses it is no end of the training.

        Returns:
            Whether it was written.
        """
        try:
            write_checkpoint(content, file)
        except OSError as error:
            last = max(self._index, key=lambda name: self._index[name]["iteration"], default=None)
            there = "there is none yet" if last is None else f"the last one is {last}"
            print(
                f"WARNING: the checkpoint {str(file)!r} cannot be written ({error}); {there}. The training goes on, and"
                " tries again."
            )
            self._unwritten = error
            return False
        self._unwritten, self._saved_at, self._saved = None, time.monotonic(), self.done
        self._index[file.name] = {"iteration": self.done, "score": self._score, "bytes": file.stat().st_size}
        try:
            for name in kept.superfluous(self._index, self._keep_last):
                del self._index[name]
                file.with_name(name).unlink(missing_ok=True)
            kept.write_index(file.parent, self._index)
        except OSError as error:
            print(f"WARNING: {kept.INDEX} cannot be written ({error}).")
        return True

    def _finish(self, error: BaseException | None) -> None:
        """Save at the end, whatever it is."""
        partial = self._updating
        file = self._file(self.done if partial else self.done - 1)
        needed = self._unwritten is not None if error is None else self._saved != self.done or partial
        if needed and (self.done or partial):
            try:
                if not self._weights_are_finite():
                    print("The weights are not finite, and are not saved.")
                else:
                    self._save_somewhere(file)
            except Exception as problem:
                if error is None:
                    raise
                # what ended the training is what must be told
                print(f"WARNING: nothing could be saved ({type(problem).__name__}: {problem}).")
        if isinstance(error, torch.OutOfMemoryError) and hasattr(self._alg, "out_of_memory"):
            print(f"Out of memory: {str(error).splitlines()[0]}\n{self._alg.out_of_memory()}")
        if error is not None:
            self._tell_how_to_go_on()

    def _save_somewhere(self, file: Path) -> None:
        """Into the directory of the run, or, where that cannot be written, into the one for temporary files."""
        self._runner.save(str(file))
        if self._unwritten is None:
            return
        other = Path(tempfile.mkdtemp(prefix="gr00t_rl_ext_")) / file.name
        try:
            write_checkpoint(checkpoint_of(self._runner), other)
        except OSError:
            raise self._unwritten from None
        print(f"WARNING: the directory of the run cannot be written. What was learned is in {str(other)!r}.")

    def _tell_how_to_go_on(self) -> None:
        assert self._directory is not None
        if self._index:
            last = max(self._index, key=lambda name: self._index[name]["iteration"])
            print(f"Saved: {self._directory / last}, after {self._index[last]['iteration']} iterations.")
            print(f"Go on: {resume_command(self._directory)}", flush=True)
        else:
            print("No iteration was complete: there is nothing to save.", flush=True)

    def _weights_are_finite(self) -> bool:
        return all(bool(torch.isfinite(t).all()) for t in _tensors(self._alg.save()) if t.is_floating_point())

    # Before the start

    def _prepare_directory(self) -> None:
        directory = self._directory
        assert directory is not None
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = RunLock(directory)
        remove_scratch(directory)
        if self.is_continued:
            # what lies beyond the checkpoint was made by the iterations that are made again
            self._index = {
                name: entry
                for name, entry in kept.read_index(directory).items()
                if (directory / name).is_file() and entry.get("iteration", 0) <= self.done
            }
        else:
            record_command(
                directory, *(str(self._runner.cfg.get(name, "")) for name in ("experiment_name", "run_name"))
            )
        size = self._size()
        interval = self._runner.cfg["save_interval"]
        count = self.remaining // interval + 2
        if self._keep_last is None and count * size > MUCH:
            self._keep_last = FEW
        wanted = min(count, self._keep_last + 2) if self._keep_last else count
        free = shutil.disk_usage(directory).free
        print(self._describe(size, interval, free))
        if free < 1.1 * size:
            raise ValueError(
                f"A checkpoint takes about {_in_words(size)}, and {str(directory)!r} has {_in_words(free)} free. Make"
                " space, or start where there is some."
            )
        if free < wanted * size:
            fits = max(1, int(free / size) - 2)
            print(
                f"WARNING: {wanted} checkpoints of {_in_words(size)} do not fit there. Set {WHERE}.keep_last={fits}, or"
                " make space."
            )

    def _describe(self, size: int, interval: int, free: int) -> str:
        minutes = self._options.minutes
        often = f"every {interval} iterations" + (f" and {minutes:g} minutes" if minutes else "")
        which = "all are kept" if self._keep_last is None else f"the last {self._keep_last} and the best are kept"
        return f"checkpoints: about {_in_words(size)} each, {often}; {which}; {_in_words(free)} are free"

    def _size(self) -> int:
        """Bytes of a checkpoint, with the two moments of an optimizer that has made no step yet."""
        size = sum(tensor.nbytes + _PER_TENSOR for tensor in _tensors(checkpoint_of(self._runner)))
        optimizer = getattr(getattr(self._alg, "updater", self._alg), "optimizer", None)
        if optimizer is not None and not optimizer.state:
            size += 2 * sum(p.nbytes for group in optimizer.param_groups for p in group["params"])
        return size


def _around(original: Any, around: Any) -> Any:
    return lambda *arguments, **options: around(original, *arguments, **options)


def _tensors(node: Any) -> Iterator[torch.Tensor]:
    """All tensors of a checkpoint."""
    if isinstance(node, torch.Tensor):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _tensors(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _tensors(value)


def _in_words(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
