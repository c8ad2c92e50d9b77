# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a training checkpoint holds besides weights: its format, the base it belongs to, random number generators.

Everything is a tensor, a number, a string or a container of these, so that ``torch.load(weights_only=True)`` reads it.
"""

from __future__ import annotations

from typing import Any

import torch

FORMAT = 4
"""Version of the layout. Raised with every change that makes readers and checkpoints of other versions misfits."""


def rng_state() -> dict[str, torch.Tensor]:
    """States of torch's random number generators, on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_rng_state(state: dict[str, torch.Tensor]) -> None:
    """Set torch's random number generators. A generator that does not exist here is left alone."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def check_format(loaded: dict[str, Any]) -> None:
    """Check that a training checkpoint can be read.

    Raises:
        ValueError: If it has another format.
    """
    if "format" not in loaded or "base_fingerprint" not in loaded:
        raise ValueError(
            "This checkpoint was not written by gr00t_rl_ext (it has the keys"
            f" {', '.join(sorted(map(str, loaded)))}). Give a `model_*.pt` of one of its agents; for a run of"
            " rsl_rl's own PPO use `--agent rsl_rl_cfg_entry_point`."
        )
    if loaded["format"] != FORMAT:
        raise ValueError(
            f"This checkpoint has format {loaded['format']}; this version of gr00t_rl_ext reads format {FORMAT}. Use"
            " the version that wrote it."
        )


def check_header(loaded: dict[str, Any], base_fingerprint: str, base_name: str | None) -> None:
    """Check that a training checkpoint can be used with the base that is loaded.

    Args:
        loaded: The checkpoint.
        base_fingerprint: Identifies the base.
        base_name: Where its GR00T came from. None: the policy has none.

    Raises:
        ValueError: If it has another format, or was trained on another base.
    """
    check_format(loaded)
    if loaded["base_fingerprint"] == base_fingerprint:
        return
    if loaded["base_name"] is None and base_name is None:
        raise ValueError(
            "This checkpoint was trained without GR00T, on other observation or action terms than the agent has here."
            " Use the task and the `agent.obs_groups` that it was trained with."
        )
    if loaded["base_name"] is None or base_name is None:
        names = (loaded["base_name"], base_name)
        trained, agent = ("without GR00T" if name is None else f"on the GR00T in {name!r}" for name in names)
        raise ValueError(
            f"This checkpoint was trained {trained}, but the agent acts {agent}. Choose the `--agent` that it was"
            " trained with."
        )
    raise ValueError(
        f"This checkpoint was trained on the GR00T in {loaded['base_name']!r}, but {base_name!r} is loaded, which"
        " is another one, or is seen through another mapping. Its adapter means nothing there. Set"
        " `agent.actor.gr00t.checkpoint` and `agent.actor.gr00t.mapping` to those that it was trained with."
    )


def check_algorithm(loaded: dict[str, Any], algorithm: str) -> None:
    """Check that a training checkpoint is the algorithm's own: others hold other networks and optimizer states.

    Raises:
        ValueError: Another algorithm wrote it.
    """
    if loaded["algorithm"] != algorithm:
        raise ValueError(
            f"This checkpoint was written by {loaded['algorithm']}, but the agent's algorithm is {algorithm}. Choose"
            " the `--agent` that it was trained with."
        )
