# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a training checkpoint to a policy, and from a policy to its evaluation."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.evaluation.episodes import EvaluationError
from gr00t_rl_ext.runners.construction import for_installed_rsl_rl, make_runner

_POLICY = ("actor_state_dict", "gr00t_state_dict")
"""Of a training checkpoint, what the policy's decisions depend on."""


class Policy(NamedTuple):
    """A policy that decides without exploring."""

    decide: Callable[[TensorDict], Tensor]
    """Observations -> action chunks."""

    fingerprint: str
    """Identifies its weights."""

    notes: Callable[[], tuple[str, ...]] = tuple
    """What is wrong with the states that it was given, a line each."""


def load_policy(env: Any, agent_cfg: Any, checkpoint: Path | None, origin: Path | None = None) -> Policy:
    """Build an agent's policy for some environments, and load a checkpoint.

    Args:
        env: The environments.
        agent_cfg: The agent's config.
        checkpoint: A ``model_*.pt``. None for the policy as it is before any training.
        origin: Without a checkpoint, one that the policy shall be the origin of: what an agent has beside GR00T begins
            at random, and the checkpoint of a run of ours holds what that was.

    Raises:
        EvaluationError: The checkpoint is none, or of another agent or task.
        ValueError: The agent does not fit the task.
    """
    cfg = for_installed_rsl_rl(agent_cfg)
    # nothing is learnt: no memory for rollouts
    cfg.num_steps_per_env = cfg.algorithm.num_mini_batches = 1
    if hasattr(cfg.algorithm, "gradient_accumulation_steps"):
        cfg.algorithm.gradient_accumulation_steps = 1
    torch.manual_seed(cfg.seed)
    # what it says is about training
    with contextlib.redirect_stdout(io.StringIO()):
        runner = make_runner(env, cfg)
    algorithm: Any = runner.alg
    if checkpoint is not None:
        loaded = _read(checkpoint)
        try:
            algorithm.load(loaded, {"actor": True}, strict=True)
        except ValueError as error:
            raise EvaluationError(f"The checkpoint '{checkpoint}' cannot be evaluated. {error}") from error
        except (KeyError, RuntimeError) as error:
            raise EvaluationError(
                f"The checkpoint '{checkpoint}' does not fit the agent: {type(error).__name__}: {error} Choose the"
                " `--task`, `--agent` and overrides that it was trained with."
            ) from error
    elif origin is not None and "reference_state_dict" in (loaded := _read(origin)):
        algorithm.actor.load_state_dict(loaded["reference_state_dict"])
    saved = algorithm.save()
    policy = runner.get_inference_policy(device=env.device)
    check = getattr(getattr(algorithm.actor, "encoder", None), "state_check", None)
    return Policy(policy, _fingerprint(saved), tuple if check is None else check.notes)


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        return torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:  # of pickle, zipfile, torch and the file system
        raise EvaluationError(
            f"The checkpoint '{checkpoint}' cannot be read ({type(error).__name__}: {str(error).splitlines()[0]})."
            " Expected a model_*.pt that training wrote."
        ) from error


def _fingerprint(saved: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(str(saved.get("base_fingerprint", "")).encode())
    for part in _POLICY:
        for name, value in sorted(saved.get(part, {}).items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
