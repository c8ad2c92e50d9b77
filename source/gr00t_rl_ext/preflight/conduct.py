# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A few random decisions, a few of the policy, and episodes of it where that is asked for or the run is long."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.attributes import replaced
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.envs.episodes import run_episodes
from gr00t_rl_ext.preflight import checks
from gr00t_rl_ext.preflight.findings import Finding, Report
from gr00t_rl_ext.preflight.options import PreflightOptions
from gr00t_rl_ext.preflight.places import where
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
    env = runner.env
    start = time.perf_counter()
    torch.manual_seed(SEED)
    policy = runner.get_inference_policy(device=runner.device)

    def decide(obs: TensorDict) -> Tensor:
        # environments may be on a CPU beside a policy on a GPU
        return policy(obs.to(runner.device))

    with _out_of_sight(runner):
        seen = _watch(runner, decide, options.decisions).seen
        minutes = _largest(runner, _least_minutes(runner, seen, iterations))
        findings = list(_findings(runner, seen))
        basis = f"{options.decisions} random and {options.decisions} policy decisions in {env.num_envs} environments"
        is_long = options.full_above_minutes is not None and minutes >= options.full_above_minutes
        own_error = any(finding.level == "error" for finding in findings)
        has_error = bool(_largest(runner, own_error))
        if has_error and not own_error:
            findings.append(Finding("error", "processes", "another process of the run found an error."))
        if (options.only or is_long) and not has_error:
            findings += _of_episodes(env, decide, options.episodes)
            basis += f", {options.episodes} episodes"
        restore()
        for factor in getattr(env.unwrapped, "factors", {}).values():
            # episodes above were of another seed, the same for all runs and ranks
            factor.seed(env.unwrapped.cfg.seed or 0)
        _begin_anew(env.unwrapped)
    seconds = time.perf_counter() - start
    findings = [_located(finding, env.unwrapped.cfg) for finding in findings]
    facts = {"full": options.only or is_long, "seconds": seconds, "least_minutes_of_the_run": minutes}
    return Report(findings, f"{basis}, {seconds:.1f} s", facts, seen.pictures)


def _located(finding: Finding, env_cfg: Any) -> Finding:
    """A finding that asks for something, with the place of what it is about."""
    if finding.level not in ("error", "warning"):
        return finding
    return dataclasses.replace(finding, where=where(env_cfg, finding.subject))


@contextlib.contextmanager
def _out_of_sight(runner: Any) -> Iterator[None]:
    """Let what counts or records the steps of a run not see those of its preflight."""
    unwrapped, encoder = runner.env.unwrapped, _encoder(runner)
    unseen = [
        # curricula and timers of events count from the run's own beginning
        (unwrapped, "common_step_counter", getattr(unwrapped, "common_step_counter", None)),
        (unwrapped, "video_recorders", []),
        (getattr(unwrapped, "curriculum_manager", None), "compute", lambda *arguments, **options: None),
        # it judges the first states that it sees more strictly
        (encoder, "state_check", None),
    ]
    with contextlib.ExitStack() as stack:
        for place, name, value in unseen:
            if hasattr(place, name):
                stack.enter_context(replaced(place, name, value))
        yield


def _largest(runner: Any, value: float) -> float:
    """The largest value of all processes, so that all do the same."""
    if not runner.is_distributed:
        return value
    largest = torch.tensor(float(value), device=runner.device)
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return float(largest)


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
        if (bound := getattr(env, "clip_actions", None)) is not None:
            # rsl_rl's wrapper of Isaac Lab's environments clips
            executed = executed.clamp(-bound, bound)
        watch.take(obs, dones, Outcome.from_extras(extras), chunk, executed, of_policy)
    return watch


def _random_actions(runner: Any, obs: TensorDict) -> Tensor:
    """Uniform over what the checkpoint's data had, or, without one, over the actions that exist, (num_envs, H * A)."""
    env, encoder = runner.env.unwrapped, _encoder(runner)
    count, length, width = env.num_envs, env.chunk_length, env.control_action_dim
    if env.action_choices:
        choices = torch.tensor(env.action_choices, device=runner.device)
        return (torch.rand(count, length, width, device=runner.device) * choices).floor().flatten(1)
    if hasattr(encoder, "decode_action"):
        normalized = 2.0 * torch.rand(count, length, encoder.inputs.max_action_dim, device=runner.device) - 1.0
        return encoder.decode_action(normalized, obs.to(runner.device)).flatten(1)
    uniform = 2.0 * torch.rand(count, length, width, device=runner.device) - 1.0
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
    """Time that the decisions of a run take at least [minutes], its updates left out."""
    return min(seen.seconds, default=0.0) * runner.cfg["num_steps_per_env"] * iterations / 60.0


def _findings(runner: Any, seen: Sightings) -> Iterator[Finding]:
    env, encoder, alg = runner.env.unwrapped, _encoder(runner), runner.alg
    all_checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "reward": lambda: checks.of_rewards(seen),
        "success": lambda: checks.of_success(seen, int(getattr(runner.env, "max_episode_length", 2))),
        "movement": lambda: checks.of_movement(seen),
        "cameras": lambda: checks.of_cameras(seen.cameras, checks.camera_mounts(env)),
        "state": lambda: _of_state(encoder, seen),
        "instruction": lambda: _of_instruction(encoder),
        "actions": lambda: checks.of_actions(seen),
        "joint targets": lambda: checks.of_joint_targets(checks.joint_targets(env)),
        "joints": lambda: checks.of_joint_names(*checks.joint_names(env)),
        "ratio": lambda: _of_ratio(alg, seen.obs.to(runner.device)),
        "space": lambda: checks.of_space(_free(runner), getattr(alg, "memory_estimate", None)),
    }
    for subject, check in all_checks.items():
        try:
            yield from check()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # a check that cannot cope with a task must not keep it from being trained
            yield Finding("not checked", subject, f"The check failed ({type(error).__name__}: {error}).")


def _free(runner: Any) -> float:
    """Free space where the run writes [bytes]."""
    place = Path(runner.logger.log_dir or Path.cwd()).absolute()
    return shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free


def _of_ratio(alg: Any, obs: TensorDict) -> Iterator[Finding]:
    if hasattr(alg, "ratio_error"):
        # where the update keeps distributions of its own, it begins with a ratio of 1 whatever the rollout's were
        yield from checks.of_ratio(*alg.ratio_error(obs), corrected="old" in alg.storage.kept)


def _of_state(encoder: Any, seen: Sightings) -> Iterator[Finding]:
    if not hasattr(encoder, "inputs"):
        return
    vector = encoder.inputs.embodiment.state
    raw = encoder.mapping.state(torch.cat(seen.states).to(encoder.inputs.device)).cpu()
    yield from checks.of_states(raw, vector.limits().cpu(), vector.slices())


def _of_instruction(encoder: Any) -> Iterator[Finding]:
    if not hasattr(encoder, "inputs"):
        return
    inputs, spec = encoder.inputs, encoder.spec
    for told in spec.all_instructions:
        ids, _ = inputs.prompt(told, 1)
        tokenizer, tokens = inputs.tokenizer, ids[0].tolist()
        unknown = 0 if tokenizer.unk_token_id is None else tokens.count(tokenizer.unk_token_id)
        yield from checks.of_instruction(told, DEFAULT_INSTRUCTION, tokens, tokenizer.decode(tokens), unknown)


def _of_episodes(env: Any, decide: Callable[[TensorDict], Tensor], count: int) -> Iterator[Finding]:
    print(f"Preflight: {count} episodes of the policy as it is ...", flush=True)
    try:
        episodes = run_episodes(env, decide, count, SEED)
    except ValueError as error:
        yield Finding("not checked", "policy", str(error))
        return
    yield from checks.of_episodes(episodes.successes, episodes.returns)
