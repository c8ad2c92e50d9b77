# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From what some decisions showed to findings. Each check is a function of what it needs, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest
from torch import Tensor

from gr00t_rl_ext.preflight.findings import Finding, picture_of
from gr00t_rl_ext.preflight.sightings import CameraSight, Sightings

BLACK = 8.0
"""Mean of the pixels, of 255, below which an image is called black."""

FLAT = 2.0
"""Standard deviation of the pixels, of 255, below which an image shows nothing."""

OF_HAND = re.compile(r"wrist|hand|gripper|eye|ego", re.IGNORECASE)
"""Names of cameras that move with the robot."""

STILL = 0.02
"""Share of pixels that a decision changes at least in a camera that moves, where nothing else tells. On lifting, with
4 control steps per decision, it is 0.10 for the camera of the wrist, and 0.12 for that beside the table."""

FAR = 1.0
"""Widths of the data's range, to both sides of it, beyond which a state is far outside."""

MOST = 0.5
"""Share of environments, or of states, from which something counts as general."""

CERTAINTY = 0.99
"""Confidence that a share is above :data:`MOST`, from which few episodes stop a run."""

CLIPPED = 0.25
"""Share of an action's entries that are clipped, from which it is reported."""

BEYOND = 0.05
"""Share of its range by which a joint's target lies beyond a limit at least, to count."""


# The task


def of_rewards(seen: Sightings) -> Iterator[Finding]:
    """Whether rewards can teach anything."""
    rewards = torch.cat(seen.rewards) if seen.rewards else torch.empty(0)
    if not len(rewards):
        yield Finding("not checked", "reward", "No control step was executed.")
        return
    low, high = float(rewards.min()), float(rewards.max())
    if low < high:
        yield Finding("ok", "reward", f"{low:.4g} to {high:.4g} per control step.")
    elif seen.knows_success and low == 0.0:
        yield Finding("ok", "reward", "0 in every control step so far; success is told by the task.")
    elif seen.knows_success:
        yield Finding(
            "warning",
            "reward",
            f"It is {low:.4g} in every one of {len(rewards)} control steps, whatever was done.",
            "If that is all there is, reward success instead: `env.rewards` of Isaac Lab's tasks,"
            " env.reward=sparse_success of Gymnasium's.",
        )
    else:
        yield Finding(
            "warning",
            "reward",
            f"It is {low:.4g} in every one of {len(rewards)} control steps, whatever was done, and the task tells"
            " nothing of success.",
            "Check the weights of the reward terms. A constant reward teaches how to make episodes longer or shorter,"
            " and nothing else.",
        )


def of_success(seen: Sightings, max_length: int) -> Iterator[Finding]:
    """Whether the task tells of success, and not at once.

    Args:
        seen: What was seen.
        max_length: Control steps of an episode at most.
    """
    if not seen.knows_success:
        yield Finding(
            "warning",
            "success",
            "The task tells nothing of success: no rate is shown while training, and evaluations compare returns.",
            "Give the task a termination term of the name `success` (Isaac Lab), or a key of `info` by"
            " env.success_key (Gymnasium).",
        )
        return
    told = f"{seen.solved_at_once} of {seen.begun} episodes ended in success at their first control step."
    if max_length < 2:
        yield Finding("ok", "success", "told by the task, whose episodes are one control step long.")
    elif seen.begun and _wilson(seen.solved_at_once, seen.begun, CERTAINTY).low > MOST:
        yield Finding(
            "error",
            "success",
            told,
            "The success term is true at the reset. Check its threshold, units and objects: it must be false where an"
            " episode begins.",
        )
    elif seen.solved_at_once:
        yield Finding(
            "warning",
            "success",
            told,
            "They make every rate look better, that of a policy that does nothing included. Let the reset events keep"
            " object and goal apart, or report these episodes apart.",
        )
    else:
        yield Finding("ok", "success", f"told by the task, and false at the start of {seen.begun} episodes.")


def of_movement(seen: Sightings) -> Iterator[Finding]:
    """Whether actions do anything."""
    if len(seen.rewards) == 0 or not seen.states:
        return
    if seen.moved == 0.0:
        yield Finding(
            "warning",
            "movement",
            "No number of the state changed in any decision.",
            "Check the action terms: their joints, their scale, and whether the robot is fixed or asleep.",
        )
    else:
        yield Finding("ok", "movement", f"decisions change the state, by {seen.moved:.3g} at most.")


def of_cameras(cameras: Mapping[str, CameraSight], mounts: Mapping[str, tuple[str, bool]]) -> Iterator[Finding]:
    """Whether cameras show something, something else in each environment, and move where they should.

    Args:
        cameras: What each showed.
        mounts: Camera -> its prim path, and whether that lies below a body of a robot, where it has one.
    """
    for name, sight in cameras.items():
        subject = f"camera {name}"
        aim = f"Open {picture_of(Path(), name)} of the run. Check position, orientation, clipping range and lights."
        if sight.brightness < BLACK:
            yield Finding("error", subject, f"It is black: a mean of {sight.brightness:.1f} of 255.", aim)
        elif sight.contrast < FLAT:
            text = f"It shows one colour: a standard deviation of {sight.contrast:.1f} of 255."
            yield Finding("warning", subject, text, aim)
        elif sight.is_the_same:
            yield Finding(
                "warning",
                subject,
                "It shows exactly the same in all environments.",
                "If their states differ, it does not see what differs, or it is one camera for all: its prim path must"
                " begin with {ENV_REGEX_NS}.",
            )
        elif sight.changed == 0.0:
            text = "No pixel changed in any decision: neither the robot nor what it moves is in view."
            yield Finding("warning", subject, text, aim)
        elif OF_HAND.search(name) and not (mounts[name][1] if name in mounts else sight.changed >= STILL):
            seen = f"a decision changed at most {sight.changed:.1%} of its pixels"
            yield Finding(
                "warning",
                subject,
                f"By its name it moves with the robot, but {f'it is {mounts[name][0]!r}' if name in mounts else seen}.",
                "Let its prim path lie below the hand's link: {ENV_REGEX_NS}/Robot/panda_hand/....",
            )
        else:
            yield Finding("ok", subject, f"a decision changes up to {sight.changed:.1%} of its pixels.")


# The match of task and checkpoint


def of_states(raw: Tensor, limits: Tensor, keys: Mapping[str, slice]) -> Iterator[Finding]:
    """Whether states are those of the data that the checkpoint's statistics are of.

    Args:
        raw: States in the checkpoint's keys and units, (num_states, width).
        limits: Least and greatest value in the data, (2, width); NaN where nothing is known.
        keys: Key -> its columns.
    """
    if not bool(raw.isfinite().all()):
        where = ", ".join(key for key, part in keys.items() if not bool(raw[:, part].isfinite().all()))
        yield Finding("error", "state", f"{where} is not finite.", "Check these observation terms.")
        return
    for key, part in keys.items():
        values, (low, high) = raw[:, part], limits[:, part]
        known = low.isfinite()
        subject = f"state.{key}"
        if not bool(known.any()):
            yield Finding("not checked", subject, "The checkpoint has no statistics of it.")
            continue
        outside, far = (_outside(values, low, high, widths) for widths in (0.0, FAR))
        # of a pose, the position alone may be in another unit
        dimensions = (far >= MOST).nonzero().flatten().tolist()
        shares = float(outside[known].mean()), float(far[known].mean())
        text = "{:.0%} of its numbers lie outside of the data's range, {:.0%} by more than its width.".format(*shares)
        if shares[0] == 0.0:
            text = "all of its numbers lie in the data's range."
        if bool(known.all()) and (order := _likelier_quaternion(values, low, high)) is not None:
            yield Finding(
                "warning",
                subject,
                f"{text} As a quaternion in another order ({order}) they would lie inside.",
                "Say the order in `agent.actor.gr00t.mapping`: `from: wxyz, to: xyzw` or the other way round.",
            )
        elif bool(known.all()) and (order := _likelier_order(values, low, high)) is not None:
            yield Finding(
                "warning",
                subject,
                f"{text} In another order of its dimensions they would fit: {', '.join(map(str, order))}.",
                "Compare the order of the robot's joints with the checkpoint's, and say slices in"
                " `agent.actor.gr00t.mapping`.",
            )
        elif dimensions:
            yield Finding(
                "warning",
                subject,
                f"{text} Far outside: dimension {', '.join(map(str, dimensions))}.",
                "Check units, frame and observation term, and name what corresponds in `agent.actor.gr00t.mapping`.",
            )
        else:
            yield Finding("ok", subject, text)


def _outside(values: Tensor, low: Tensor, high: Tensor, widths: float) -> Tensor:
    """Share of the states that lie further outside of a range than so many of its widths, for each dimension; 0 where
    the range is not known. The values may be (num_states, width), or (num_states, width, 1) for all pairs of both."""
    margin = widths * (high - low)
    return ((values < low - margin) | (values > high + margin)).float().mean(0)


def _likelier_quaternion(values: Tensor, low: Tensor, high: Tensor) -> str | None:
    """Another order of quaternions that fits the data's range, where theirs does not."""
    if values.shape[1] != 4 or not bool(((values.norm(dim=1) - 1.0).abs() < 1e-3).all()):
        return None
    if _outside(values, low, high, 0.25).mean() < 0.25:
        return None
    for shift, name in ((-1, "first number last"), (1, "last number first")):
        if _outside(values.roll(shift, dims=1), low, high, 0.25).mean() < 0.02:
            return name
    return None


def _likelier_order(values: Tensor, low: Tensor, high: Tensor) -> list[int] | None:
    """An order of the dimensions that fits the data's range, where theirs does not: for each of the data's dimensions,
    which of the task's."""
    if values.shape[1] < 5 or _outside(values, low, high, 0.25).mean() < 0.25:
        return None
    # (ours, theirs)
    wrong = _outside(values.unsqueeze(2), low, high, 0.25)
    ours, theirs = linear_sum_assignment(wrong.numpy())
    return None if float(wrong[ours, theirs].mean()) > 0.02 else theirs.argsort().tolist()


def of_actions(seen: Sightings) -> Iterator[Finding]:
    """Whether the environment executes what the policy decides."""
    if not seen.clipped:
        return
    clipped = float(torch.cat(seen.clipped).float().mean())
    if clipped > CLIPPED:
        yield Finding(
            "warning",
            "actions",
            f"The environment clips {clipped:.0%} of the policy's numbers; the largest is {seen.largest_action:.3g}.",
            "Compare units and scale of the checkpoint's actions with the environment's: `agent.actor.gr00t.mapping`.",
        )
    else:
        yield Finding("ok", "actions", f"{clipped:.0%} of the policy's numbers are clipped.")


def of_joint_targets(targets: Mapping[str, tuple[Tensor, Tensor, Sequence[str]]]) -> Iterator[Finding]:
    """Whether joint targets lie within the joints' limits.

    Args:
        targets: Action term -> its targets (num, joints), the limits (num, joints, 2), and the joints' names.
    """
    for term, (target, limits, names) in targets.items():
        span = limits[..., 1] - limits[..., 0]
        beyond = torch.maximum(limits[..., 0] - target, target - limits[..., 1]) / span.clamp(min=1e-6)
        wrong = (beyond > BEYOND).float().mean(0)
        if bool((wrong > MOST).any()):
            shown = ", ".join(
                f"{name} ({share:.0%})" for name, share in zip(names, wrong.tolist(), strict=True) if share
            )
            yield Finding(
                "warning",
                f"action.{term}",
                f"Targets of the policy lie beyond the limits of {shown}.",
                "Check units (rad or degrees), scale, whether targets are absolute or relative, and the joints' order.",
            )
        else:
            yield Finding("ok", f"action.{term}", f"targets lie within the limits of {len(names)} joints.")


def of_joint_names(acted: Mapping[str, Sequence[str]], observed: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    """Whether terms of the action and of the state that are about the same joints have them in one order.

    Args:
        acted: Action term -> names of its joints, in order.
        observed: Observation term -> likewise.
    """
    for action, names in acted.items():
        for state, others in observed.items():
            common = [name for name in others if name in names]
            if len(common) < 2:
                continue
            if common != [name for name in names if name in others]:
                yield Finding(
                    "warning",
                    f"joints of {action}",
                    f"The action has them in the order {', '.join(names)}, the observation {state} in"
                    f" {', '.join(others)}.",
                    "Give both the same joint names with preserve_order=True, or say slices in"
                    " `agent.actor.gr00t.mapping`.",
                )
            else:
                yield Finding("ok", f"joints of {action}", f"in the order of the observation {state}.")


def of_instruction(instruction: str, default: str, ids: Sequence[int], decoded: str, unknown: int) -> Iterator[Finding]:
    """Whether the policy is told what the task says.

    Args:
        instruction: The task's.
        default: What is told where a task says nothing.
        ids: The prompt.
        decoded: The prompt as its tokenizer reads it back.
        unknown: How many of its tokens the tokenizer does not know.
    """
    if instruction == default:
        yield Finding(
            "warning",
            "instruction",
            f"The task says nothing: the policy is told {default!r}.",
            "Set env.instruction to a sentence of the checkpoint's fine-tuning data.",
        )
    elif unknown or _words(instruction) not in _words(decoded):
        yield Finding(
            "warning",
            "instruction",
            f"{instruction!r} does not come back from its {len(ids)} tokens; {unknown} of them are unknown.",
            "Name the checkpoint's own tokenizer: agent.actor.gr00t.tokenizer.",
        )
    else:
        yield Finding("ok", "instruction", f"{instruction!r}, in a prompt of {len(ids)} tokens.")


def _words(text: str) -> str:
    return "".join(re.findall(r"\w", text.lower()))


# The policy


def of_ratio(error: float, tolerance: float, corrected: bool = False) -> Iterator[Finding]:
    """Whether an update would begin with the policy that decided.

    Args:
        error: Largest difference to 1 of the ratio of decisions, scored again.
        tolerance: What rounding explains.
        corrected: Whether the update takes its own distributions for those of the rollout, which no such error reaches.
    """
    if error <= tolerance:
        yield Finding("ok", "ratio", f"1 within {error:.2g} where decisions are scored again.")
    else:
        yield Finding(
            "warning" if corrected else "error",
            "ratio",
            f"The ratio of decisions that are scored again is off by {error:.3g}; rounding explains {tolerance:g}.",
            "Rollout and update compute different policies (dropout, statistics that move, another precision): the"
            " gradients would be wrong. Report it, with the agent's settings.",
        )


def of_episodes(successes: Sequence[bool] | None, returns: Sequence[float]) -> Iterator[Finding]:
    """How good the policy is before training, and whether there is something to learn from.

    Args:
        successes: Of each episode; None where the task does not tell.
        returns: Of each episode.
    """
    count = len(returns)
    if successes is None:
        spread = f"{min(returns):.4g} to {max(returns):.4g}"
        if min(returns) == max(returns):
            text = f"All {count} episodes had the return {returns[0]:.4g}: nothing tells good decisions from bad ones."
            yield Finding("warning", "policy", text, "Check the reward terms, and where episodes begin.")
        else:
            yield Finding("ok", "policy", f"returns of {spread} in {count} episodes before training.")
        return
    solved = sum(successes)
    interval = _wilson(solved, count)
    told = f"{solved} of {count} episodes solved before training ({interval.low:.0%} to {interval.high:.0%})."
    if solved == 0 and min(returns) == max(returns):
        yield Finding(
            "warning",
            "policy",
            f"{told} All had the return {returns[0]:.4g}: there is nothing to reinforce.",
            "Begin with a policy that succeeds now and then (more supervised fine-tuning, another noise_scale or"
            " chunk_length), or add dense rewards. If the policy is known to succeed, see docs/troubleshooting.md.",
        )
    elif solved == count:
        yield Finding("warning", "policy", told, "There is little to gain: make the initial states harder.")
    else:
        yield Finding("ok", "policy", told)


def of_space(free: float, estimate: Any) -> Iterator[Finding]:
    """What the run can use.

    Args:
        free: Of the disk of the logs [bytes].
        estimate: Of memory; None: none was made. One that does not fit has stopped the run before.
    """
    yield Finding("ok", "disk", f"{free / 1e9:.0f} GB are free.")
    if estimate is None:
        yield Finding("not checked", "memory", "There is no estimate of this agent.")
    else:
        yield Finding("ok", "memory", f"an estimated peak of {estimate.total / 2**30:.2f} GiB.")


def joint_names(env: Any) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Names of the joints of Isaac Lab's action terms and of terms of observations, by term; empty elsewhere."""
    acted: dict[str, list[str]] = {}
    observed: dict[str, list[str]] = {}
    for name, term in getattr(getattr(env, "action_manager", None), "_terms", {}).items():
        if names := getattr(term, "_joint_names", None):
            acted[name] = list(names)
    manager: Any = getattr(env, "observation_manager", None)
    for group, cfgs in getattr(manager, "_group_obs_term_cfgs", {}).items():
        for name, cfg in zip(manager.active_terms[group], cfgs, strict=True):
            if not getattr(cfg.func, "__name__", "").startswith("joint_pos"):
                continue
            asset = (cfg.params or {}).get("asset_cfg")
            # the functions' own default is the whole robot
            of_asset = env.scene[getattr(asset, "name", "robot")].joint_names
            chosen = getattr(asset, "joint_ids", slice(None))
            observed[name] = of_asset[chosen] if isinstance(chosen, slice) else [of_asset[index] for index in chosen]
    return acted, observed


def joint_targets(env: Any) -> dict[str, tuple[Tensor, Tensor, Sequence[str]]]:
    """What :func:`of_joint_targets` checks, of the latest control step of Isaac Lab's environments."""
    found = {}
    for name, term in getattr(getattr(env, "action_manager", None), "_terms", {}).items():
        if type(term).__name__ not in ("JointPositionAction", "JointPositionToLimitsAction"):
            continue
        limits = term._asset.data.soft_joint_pos_limits.torch[:, term._joint_ids]
        found[name] = (term.processed_actions.float().cpu(), limits.float().cpu(), list(term._joint_names))
    return found


def camera_mounts(env: Any) -> dict[str, tuple[str, bool]]:
    """Cameras of Isaac Lab's observation terms -> prim path, and whether it lies below a body of an articulation."""
    mounts = {}
    manager: Any = getattr(env, "observation_manager", None)
    for group, cfgs in getattr(manager, "_group_obs_term_cfgs", {}).items():
        bodies = {name for articulation in env.scene.articulations.values() for name in articulation.body_names}
        for name, cfg in zip(manager.active_terms[group], cfgs, strict=True):
            sensor = getattr((cfg.params or {}).get("sensor_cfg"), "name", None)
            if sensor in env.scene.sensors:
                path = env.scene.sensors[sensor].cfg.prim_path
                mounts[name] = path, bool(bodies.intersection(path.split("/")[:-1]))
    return mounts


def _wilson(count: int, of: int, confidence: float = 0.95) -> Any:
    """Wilson's interval of a share, with `low` and `high`."""
    return binomtest(count, of).proportion_ci(confidence, method="wilson")
