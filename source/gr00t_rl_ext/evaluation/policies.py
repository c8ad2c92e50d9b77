# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a training checkpoint to a policy, and from a policy to its evaluation."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from isaaclab_rl.rsl_rl import create_rsl_rl_runner
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.episodes import EvaluationError
from gr00t_rl_ext.runners.config import for_installed_rsl_rl
from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint

_POLICY = ("actor_state_dict", "gr00t_state_dict")
"""Of a training checkpoint, what the policy's decisions depend on."""


class Policy:
    """A policy that decides without exploring.

    Args:
        decide: Observations -> action chunks.
        actor: What decides: an actor of ours, or a model of rsl_rl.
        fingerprint: Identifies its weights.
    """

    def __init__(self, decide: Callable[[TensorDict], Tensor], actor: Any, fingerprint: str) -> None:
        self.decide, self.fingerprint = decide, fingerprint
        self._actor = actor
        self._encoder: Any = getattr(actor, "encoder", None)
        self._fresh_check = copy.deepcopy(getattr(self._encoder, "state_check", None))

    @property
    def noise_scale(self) -> float | None:
        """How much noise its decisions begin with (``agent.actor.noise_scale``). None: it has no action head."""
        return getattr(self._actor, "noise_scale", None)

    def start(self, noise_scale: float | None) -> None:
        """Begin an evaluation of its own: with some noise, and no states seen before.

        Args:
            noise_scale: To act with. None: as it is.
        """
        if noise_scale is not None:
            self._actor.noise_scale = noise_scale
        if self._fresh_check is not None:
            self._encoder.state_check = copy.deepcopy(self._fresh_check)

    def notes(self) -> tuple[str, ...]:
        """What is wrong with the states that it was given since the start, a line each."""
        return () if self._fresh_check is None else self._encoder.state_check.notes()


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
        runner = create_rsl_rl_runner(env, cfg)
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
    return Policy(runner.get_inference_policy(device=env.device), algorithm.actor, fingerprint(saved))


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(checkpoint)
    except (CheckpointFileError, OSError) as error:
        raise EvaluationError(f"The checkpoint {error}") from error


def fingerprint(saved: Mapping[str, Any]) -> str:
    """Identifies the weights of a training checkpoint's policy."""
    digest = hashlib.sha256(str(saved.get("base_fingerprint", "")).encode())
    for part in _POLICY:
        for name, value in sorted(saved.get(part, {}).items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
