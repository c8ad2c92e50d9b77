# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Between rsl_rl's runner and the disk, under Isaac Lab's own commands too.

rsl_rl's loop is neither copied nor replaced: :func:`guard` puts functions of ours around its ``learn``, ``save`` and
``load``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from rsl_rl.runners import OnPolicyRunner
from rsl_rl.utils import resolve_callable
from rsl_rl.utils.logger import Logger

from gr00t_rl_ext.options import read
from gr00t_rl_ext.preflight.conduct import examine
from gr00t_rl_ext.preflight.options import WHERE as PREFLIGHT
from gr00t_rl_ext.preflight.options import PreflightOptions
from gr00t_rl_ext.runs.checkpoint_files import read_checkpoint, write_checkpoint
from gr00t_rl_ext.runs.log_state import restore_log_state
from gr00t_rl_ext.runs.provenance import own_places, write_repository_states
from gr00t_rl_ext.runs.random_state import restore_rng_state, rng_state
from gr00t_rl_ext.runs.resumption import check_flag, is_continued
from gr00t_rl_ext.runs.supervision import BEGUN_AT, Supervision, checkpoint_of, of_runner

_GO_ON = "_gr00t_rl_ext_environments_go_on"


def guard(cfg: Mapping[str, Any] | None = None) -> None:
    """Make rsl_rl's runner, and those that derive from it, train, write and read checkpoints by this package.

    Args:
        cfg: The agent's config, as far as it is known.

    Raises:
        ValueError: Isaac Lab's command was given a flag that it takes for another.
    """
    check_flag()
    if cfg is not None and cfg.get("logger") == "wandb":
        # imported here: it is slow, and not everybody has it
        from gr00t_rl_ext.runs.wandb_writer import stay_offline_if_unreachable

        stay_offline_if_unreachable()
    OnPolicyRunner._configure_multi_gpu = _configure_ranks
    OnPolicyRunner.save = _save
    Logger._store_code_state = _store_code_state
    OnPolicyRunner.load = _load
    if not hasattr(OnPolicyRunner.learn, "__wrapped__"):
        OnPolicyRunner.learn = supervised(OnPolicyRunner.learn)


def supervised(learn: Callable[..., None]) -> Callable[..., None]:
    """A runner's loop that is stopped by signals, saves before it ends by an error, and continues a run to its end.

    An algorithm that names a runner in ``RUNNER`` gets the loop of that one.

    Args:
        learn: ``learn`` of a runner of rsl_rl.
    """

    @functools.wraps(learn)
    def supervised_learn(self: Any, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        name = getattr(self.alg, "RUNNER", None)
        if name is not None and not isinstance(self, resolve_callable(name)):  # type: ignore[arg-type]
            # Isaac Lab's commands, and their workers on several GPUs, know no runner but rsl_rl's own
            self.__class__ = resolve_callable(name)
            self.learn(num_learning_iterations, init_at_random_ep_len)
            return
        if of_runner(self) is not None:
            learn(self, num_learning_iterations, init_at_random_ep_len)
            return
        if not _passes_preflight(self, num_learning_iterations):
            return
        for place in own_places(self.env.unwrapped):
            self.add_git_repo_to_log(place)
        with Supervision(self, num_learning_iterations) as supervision:
            # episodes that go on are where they are
            spread = init_at_random_ep_len and not getattr(self, _GO_ON, False)
            learn(self, supervision.remaining, spread)

    return supervised_learn


def _passes_preflight(runner: Any, iterations: int) -> bool:
    """Try what the run begins with, print and keep what was found. Whether the run is to be made.

    Raises:
        PreflightError: It found an error.
        ValueError: A run that goes on shall only be tried.
    """
    options = read(PreflightOptions, runner.cfg.get("preflight") or {}, PREFLIGHT)
    if is_continued() or not options.decisions or not hasattr(runner.env.unwrapped, "configure_decisions"):
        if options.only:
            raise ValueError(f"`{PREFLIGHT}.only` is set, but this run is not tried: it goes on with another one.")
        return True
    device = str(runner.device)
    state = rng_state(device)
    report = examine(runner, options, iterations, lambda: restore_rng_state(state, device))
    if not runner.logger.disable_logs:
        print(report.describe(whole=options.only))
        if runner.logger.log_dir is not None:
            try:
                print(f"  report: {report.save(Path(runner.logger.log_dir))}")
            except OSError as error:
                # the training will warn of the disk by itself
                print(f"WARNING: the report of the preflight cannot be written ({error}).")
    report.require_no_error()
    return not options.only


def _store_code_state(self: Logger) -> list[str]:
    """Commits and names of changed files, without what rsl_rl writes besides: all that differs, keys included."""
    if self.log_dir is None or self.disable_logs:
        return []
    return write_repository_states(Path(self.log_dir), self.git_status_repos)


_configure_on_gpus = OnPolicyRunner._configure_multi_gpu


def _configure_ranks(self: OnPolicyRunner) -> None:
    """As rsl_rl's, which knows NCCL alone; on a CPU, processes talk by gloo."""
    count = int(os.getenv("WORLD_SIZE", "1"))
    if count == 1 or torch.device(self.device).type != "cpu":
        _configure_on_gpus(self)
        return
    self.gpu_world_size, self.is_distributed = count, True
    self.gpu_global_rank, self.gpu_local_rank = int(os.environ["RANK"]), int(os.getenv("LOCAL_RANK", "0"))
    self.cfg["multi_gpu"] = {
        "global_rank": self.gpu_global_rank,
        "local_rank": self.gpu_local_rank,
        "world_size": count,
    }
    torch.distributed.init_process_group("gloo", rank=self.gpu_global_rank, world_size=count)


def _save(self: OnPolicyRunner, path: str, infos: dict | None = None) -> None:
    supervision = of_runner(self)
    content = checkpoint_of(self, infos)
    if supervision is None:
        write_checkpoint(content, Path(path))
    elif not supervision.write(content, Path(path)):
        return
    self.logger.save_model(path, self.current_learning_iteration)


def _load(
    self: OnPolicyRunner,
    path: str,
    load_cfg: dict | None = None,
    strict: bool = True,
    map_location: str | None = None,
) -> Any:
    loaded = read_checkpoint(Path(path), map_location or self.device)
    alg: Any = self.alg
    alg.continues_run = is_continued()
    if alg.load(loaded, load_cfg, strict):
        # checkpoints of version 0.1 hold the iteration before as ``iter``
        self.current_learning_iteration = getattr(alg, "iteration", loaded["iter"])
    if load_cfg is None and "rng_state" in loaded and not self.logger.disable_logs:
        # rank 0 wrote it; with its generators the other ranks would explore alike
        restore_rng_state(loaded["rng_state"], str(self.device))
    if is_continued():
        _restore_run(self, loaded)
    return loaded["infos"]


def _restore_run(runner: OnPolicyRunner, loaded: dict[str, Any]) -> None:
    """Where the run's logger and environments were, as far as that can be had."""
    restore_log_state(runner.logger, loaded["logger"])
    setattr(runner, BEGUN_AT, loaded.get("begun_at", 0))
    if runner.logger.disable_logs:
        # rank 0 wrote it; the other ranks have episodes of their own
        return
    env: Any = runner.env.unwrapped  # type: ignore[attr-defined]
    state, reason = loaded.get("environments"), "the checkpoint does not hold their state"
    if state is not None and hasattr(env, "load_state"):
        try:
            reason = env.load_state(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"the state in the checkpoint cannot be read ({type(error).__name__}: {error})"
    if reason is None:
        setattr(runner, _GO_ON, True)
        print("The environments go on where they were.")
    else:
        runner.logger.cur_reward_sum.zero_()
        runner.logger.cur_episode_length.zero_()
        if hasattr(runner.alg, "forget_episodes"):
            runner.alg.forget_episodes()  # type: ignore[attr-defined]
        print(f"The environments begin new episodes: {reason}.")
