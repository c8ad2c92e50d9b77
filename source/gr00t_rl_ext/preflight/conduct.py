# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A few random decisions, a few of the policy, and episodes of it where that is asked for or the run is long."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.envs.episodes import run_episodes
from gr00t_rl_ext.preflight import checks
from gr00t_rl_ext.preflight.findings import Finding, Report
from gr00t_rl_ext.preflight.options import PreflightOptions
from gr00t_rl_ext.preflight.sightings import Sightings, Watch
from gr00t_rl_ext.robot.task_spec import DEFAULT_INSTRUCTION

SEED = 20261130
"""Of what random decisions and episodes draw: a run is checked by the same ones, whatever its seed."""


def examine(runner: Any, options: PreflightOptions, iterations: int, restore: Callable[[], None]) -> Report:
    """Check what a runner is about to train, and leave its environments at the start of new episodes.

    Nothing that is trained, no statistics and no storage change.

    Args:
        runner: Of rsl_rl, over environments with action chunks.
        options: What to try.
        iterations: That the run will take.
        restore: Puts the generators of random numbers back to where they were.
    """
    env, unwrapped = runner.env, runner.env.unwrapped
    counter = getattr(unwrapped, "common_step_counter", None)
    start = time.perf_counter()
    torch.manual_seed(SEED)
    decide = runner.get_inference_policy(device=runner.device)
    watch = _watch(runner, decide, options.decisions)
    seen = watch.seen
    minutes = _least_minutes(runner, seen, iterations)
    findings = list(_findings(runner, seen))
    basis = f"{options.decisions} random and {options.decisions} policy decisions in {env.num_envs} environments"
    is_long = options.full_above_minutes is not None and minutes >= options.full_above_minutes
    if (options.only or is_long) and not any(finding.level == "error" for finding in findings):
        findings += _of_episodes(env, decide, options.episodes)
        basis += f", {options.episodes} episodes"
    restore()
    _begin_anew(unwrapped)
    if counter is not None:
        # curricula and timers of events count from the run's own beginning
        unwrapped.common_step_counter = counter
    seconds = time.perf_counter() - start
    facts = {"full": options.only or is_long, "seconds": seconds, "least_minutes_of_the_run": minutes}
    return Report(findings, f"{basis}, {seconds:.1f} s", facts, seen.pictures)


def _watch(runner: Any, decide: Callable[[TensorDict], Tensor], decisions: int) -> Watch:
    env = runner.env
    _begin_anew(env.unwrapped)
    obs = env.get_observations()
    watch = Watch(_spec(runner), obs)
    for of_policy in [False] * decisions + [True] * decisions:
        start = time.perf_counter()
        with torch.inference_mode():
            actions = decide(obs) if of_policy else _random_actions(runner, obs)
        # not in inference mode: what a task keeps of such a step could not be reset outside of it
        with torch.no_grad():
            obs, _, dones, extras = env.step(actions.clone().to(env.device))
        if torch.device(runner.device).type == "cuda":
            torch.cuda.synchronize(runner.device)
        if of_policy:
            watch.seen.seconds.append(time.perf_counter() - start)
        chunk = actions.view(env.num_envs, env.unwrapped.chunk_length, -1)
        executed = env.unwrapped.executed(chunk)
        watch.take(obs, dones, Outcome.from_extras(extras), chunk, executed, of_policy)
    return watch


def _random_actions(runner: Any, obs: TensorDict) -> Tensor:
    """Uniform over what the checkpoint's data had, or, without one, over the actions that exist, (num_envs, H * A)."""
    env, encoder = runner.env.unwrapped, _encoder(runner)
    count, length, width = env.num_envs, env.chunk_length, env.control_action_dim
    if env.action_choices:
        choices = torch.tensor(env.action_choices, device=runner.device)
        return (torch.rand(count, length, width, device=runner.device) * choices).floor().flatten(1)
    uniform = 2.0 * torch.rand(count, length, width, device=runner.device) - 1.0
    if hasattr(encoder, "decode_action"):
        normalized = 2.0 * torch.rand(count, length, encoder.inputs.max_action_dim, device=runner.device) - 1.0
        return encoder.decode_action(normalized, obs.to(runner.device)).flatten(1)
    return env.executed(uniform).flatten(1)


def _encoder(runner: Any) -> Any:
    return getattr(getattr(runner.alg, "actor", None), "encoder", None)


def _spec(runner: Any) -> Any:
    return getattr(_encoder(runner), "spec", None)


def _begin_anew(unwrapped: Any) -> None:
    """New episodes everywhere: of Gymnasium those that a run begins with, whatever was played before."""
    seed = getattr(unwrapped.cfg, "seed", None) if hasattr(unwrapped, "num_workers") else None
    unwrapped.reset() if seed is None else unwrapped.reset(seed=seed)


def _least_minutes(runner: Any, seen: Sightings, iterations: int) -> float:
    """Time that the decisions of a run take at least [minutes], its updates left out; of several processes the longest,
    so that all make the same checks."""
    seconds = min(seen.seconds, default=0.0) * runner.cfg["num_steps_per_env"] * iterations
    if runner.is_distributed:
        longest = torch.tensor(seconds, device=runner.device)
        torch.distributed.all_reduce(longest, op=torch.distributed.ReduceOp.MAX)
        seconds = float(longest)
    return seconds / 60.0


def _findings(runner: Any, seen: Sightings) -> Iterator[Finding]:
    env, encoder, alg = runner.env.unwrapped, _encoder(runner), runner.alg
    yield from checks.of_rewards(seen)
    yield from checks.of_success(seen)
    yield from checks.of_movement(seen)
    yield from checks.of_cameras(seen.cameras, checks.camera_mounts(env))
    if hasattr(encoder, "inputs"):
        yield from _of_checkpoint(encoder, seen)
    yield from checks.of_actions(seen)
    yield from checks.of_joint_targets(checks.joint_targets(env))
    yield from checks.of_joint_names(*checks.joint_names(env))
    if hasattr(alg, "ratio_error"):
        yield from checks.of_ratio(*alg.ratio_error(seen.obs.to(runner.device)))
    directory = runner.logger.log_dir
    yield from checks.of_space(shutil.disk_usage(directory or Path.cwd()).free, getattr(alg, "memory_estimate", None))


def _of_checkpoint(encoder: Any, seen: Sightings) -> Iterator[Finding]:
    inputs, spec = encoder.inputs, encoder.spec
    vector = inputs.embodiment.state
    raw = encoder.mapping.state(torch.cat(seen.states).to(inputs.device)).cpu()
    yield from checks.of_states(raw, vector.limits().cpu(), vector.slices())
    ids, _ = inputs.prompt(spec.instruction, 1)
    tokenizer, tokens = inputs.tokenizer, ids[0].tolist()
    unknown = 0 if tokenizer.unk_token_id is None else tokens.count(tokenizer.unk_token_id)
    yield from checks.of_instruction(spec.instruction, DEFAULT_INSTRUCTION, tokens, tokenizer.decode(tokens), unknown)


def _of_episodes(env: Any, decide: Callable[[TensorDict], Tensor], count: int) -> Iterator[Finding]:
    print(f"Preflight: {count} episodes of the policy as it is ...", flush=True)
    try:
        episodes = run_episodes(env, decide, count, SEED)
    except ValueError as error:
        yield Finding("not checked", "policy", str(error))
        return
    yield from checks.of_episodes(episodes.successes, episodes.returns)
