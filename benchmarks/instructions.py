# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Whether a policy does what it is told: from the same initial states, each instruction in turn.

    ./isaaclab.sh -p benchmarks/instructions.py --task Gr00t-Cubes-Franka --agent gr00t_flow_ppo_small \\
        --checkpoint RUN/model_99.pt --episodes 100 presets=small_cameras agent.actor.gr00t.checkpoint=DIR

A row of the table is what environments are told, a column whose success was reached at any time of the episode. All
rows begin in the same states, so that nothing but the instruction differs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from gr00t_rl_ext.cli.arguments import parse_with_overrides
from gr00t_rl_ext.cli.environments import environments
from gr00t_rl_ext.cli.handler import guarded, prepare_assets, with_task
from gr00t_rl_ext.evaluation.policies import load_policy


def reached(env: Any, policy: Any, name: str, seed: int) -> torch.Tensor:
    """Share of the episodes in which each task's success was reached, (K,).

    Args:
        env: The environments, as rsl_rl sees them.
        policy: Decides.
        name: The task that all environments have.
        seed: Of initial states and of what the policy draws.
    """
    unwrapped = env.unwrapped
    tasks, terms = unwrapped.task_set, unwrapped.termination_manager.get_term_cfg("success").params["terms"]
    tasks.set_weights({other: float(other == name) for other in tasks.names})
    unwrapped.reset(seed=seed)
    obs = env.get_observations()
    running = torch.ones(env.num_envs, dtype=torch.bool)
    found = torch.zeros(env.num_envs, len(terms), dtype=torch.bool)
    for decision in range(-(-int(env.max_episode_length) // unwrapped.chunk_length)):
        with torch.inference_mode(), torch.random.fork_rng([]):
            torch.manual_seed(seed + 1000 * decision)
            actions = policy.decide(obs)
        obs, _, dones, extras = env.step(actions)
        true = torch.stack([term.func(unwrapped, **term.params) for term in terms], dim=1).cpu()
        # an episode that ended in success begins anew before this is asked
        ended = running & (dones.cpu() > 0)
        found |= true & (running & ~ended)[:, None]
        found[ended & extras["success"].cpu(), tasks.names.index(name)] = True
        running &= ~ended
        if not running.any():
            break
        unwrapped.park(~running.to(env.device))
    return found.float().mean(0)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", required=True)
    parser.add_argument("--task_config", metavar="FILE")
    parser.add_argument("--agent", default="gr00t_flow_ppo_small")
    parser.add_argument("--checkpoint", type=Path, help="model_*.pt; without, the policy before reinforcement learning")
    parser.add_argument("--episodes", type=int, default=100, help="Of each instruction, all at once.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parse_with_overrides(parser, with_task(None))
    arguments.num_envs = arguments.episodes
    prepare_assets(arguments.task, arguments.assets)
    with environments(arguments) as (env, agent_cfg):
        policy = load_policy(env, agent_cfg, arguments.checkpoint, arguments.checkpoint)
        names = env.unwrapped.task_set.names
        table = Table("told", *names, caption="% of the episodes in which that task's success was reached")
        for name in names:
            shares = reached(env, policy, name, arguments.seed)
            table.add_row(name, *(f"{100 * share:.0f}" for share in shares.tolist()))
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(guarded(main))
