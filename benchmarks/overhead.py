# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A whole iteration of our PPO with an MLP against rsl_rl's own PPO, on one environment, by turns.

    ./isaaclab.sh -p benchmarks/overhead.py                    # the stack task, 64 envs, kit-less PhysX
    ./isaaclab.sh -p benchmarks/overhead.py --env made-up      # no simulator: what the algorithms take alone
    ./isaaclab.sh -p benchmarks/overhead.py --device cuda:0 --num_envs 1024

Both run through rsl_rl's runner, with the recipes `mlp_ppo` and `rsl_rl_cfg_entry_point`, whose networks and settings
are equal. A rollout is 32 decisions of one control step; the update has 5 epochs of 4 mini-batches. Medians, with the
ratio of each pair of neighbouring iterations: machines are shared, and speeds drift.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gr00t_rl_ext.envs.decision import Outcome

TASK = "Isaac-Stack-Cube-Franka-v0"
NAMES = {"ours": "mlp_ppo", "rsl_rl's": "rsl_rl_cfg_entry_point"}
WARM_UP = 2
"""Iterations of each that are not counted."""


class MadeUpEnv:
    """What a runner asks of an environment, with the stack task's shapes and random experience drawn in advance."""

    max_episode_length = 100
    num_actions = 8
    action_choices: tuple[int, ...] = ()

    def __init__(self, num_envs: int, device: str) -> None:
        import torch

        self.num_envs, self.device = num_envs, device
        self.cfg = SimpleNamespace()
        self.unwrapped = self
        self.control_action_dim = self.num_actions
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._final_groups: list[str] = []
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Any:
            return torch.randn(*shape, generator=generator).to(device)

        self._steps = [
            ({"state": draw(num_envs, 16), "privileged": draw(num_envs, 56)}, draw(num_envs)) for _ in range(16)
        ]
        self._count = 0

    def configure_decisions(self, chunk_length: int, **settings: Any) -> None:
        """As the tasks' environments; one control step per decision."""
        assert chunk_length == 1
        self._final_groups = list(settings.get("final_observation_groups", ()))

    def get_observations(self) -> Any:
        """Of the current step, in a new TensorDict, as Isaac Lab's wrapper makes one."""
        from tensordict import TensorDict

        return TensorDict(dict(self._steps[self._count % 16][0]), batch_size=[self.num_envs])

    def step(self, actions: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Next observations, rewards, ends of episodes and extras."""
        import torch

        self._count += 1
        self.episode_length_buf += 1
        time_outs = self.episode_length_buf >= self.max_episode_length
        self.episode_length_buf[time_outs] = 0
        obs = self.get_observations()
        rewards = self._steps[self._count % 16][1] - actions.square().sum(1)
        outcome = Outcome(
            time_outs=time_outs,
            executed_steps=torch.ones(self.num_envs, dtype=torch.long, device=self.device),
            step_rewards=rewards.unsqueeze(1),
            episode_return=torch.where(time_outs, rewards, 0.0),
            episode_steps=torch.where(time_outs, self.max_episode_length, 0),
            final_observations=(
                obs.select(*self._final_groups) if self._final_groups and bool(time_outs.any()) else None
            ),
        )
        return obs, rewards, time_outs.long(), outcome.to_extras()


@contextlib.contextmanager
def stack_env(num_envs: int, device: str, clip_actions: float | None) -> Iterator[Any]:
    """The stack task in rsl_rl's wrapper."""
    from gr00t_rl_ext.assets.root import apply_asset_root

    apply_asset_root()
    import gymnasium as gym
    from isaaclab.app import launch_simulation
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
    from isaaclab_tasks.utils import resolve_task_config

    import gr00t_rl_ext.tasks  # noqa: F401

    cfg, _ = resolve_task_config(TASK, None, overrides=[])
    cfg.scene.num_envs = num_envs
    cfg.sim.device = device
    with launch_simulation(cfg, argparse.Namespace(device=device, headless=True, visualizer=None)):
        env = gym.make(TASK, cfg=cfg)
        yield RslRlVecEnvWrapper(env, clip_actions=clip_actions)
        env.close()


class Contestant:
    """An agent in rsl_rl's runner, on an environment that it shares.

    Args:
        cfg: Its recipe.
        env: The environment in rsl_rl's wrapper.
        device: Where it lives.
    """

    def __init__(self, cfg: Any, env: Any, device: str) -> None:
        import importlib.metadata

        import torch
        from isaaclab_rl.rsl_rl import handle_deprecated_rsl_rl_cfg
        from rsl_rl.runners import OnPolicyRunner

        cfg.device = device
        # its decisions are none of the training that is measured
        cfg.preflight.decisions = 0
        handle_deprecated_rsl_rl_cfg(cfg, importlib.metadata.version("rsl-rl-lib"))
        self._env, self._original = env.unwrapped, env.unwrapped.configure_decisions
        self._configure: Any = None
        torch.manual_seed(0)
        self._env.configure_decisions = self._remember
        self._runner = OnPolicyRunner(env, cfg.to_dict(), log_dir=None, device=device)
        self._env.configure_decisions = self._original
        self._runner.logger.log = self._time
        self.times: list[tuple[float, float]] = []
        """Seconds of rollout and update of each iteration."""

    def _remember(self, *args: Any, **kwargs: Any) -> None:
        self._configure = lambda: self._original(*args, **kwargs)
        self._configure()

    def _time(self, *, collect_time: float, learn_time: float, **_: Any) -> None:
        self.times.append((collect_time, learn_time))

    def iterate(self) -> None:
        """One iteration; the environment computes what this agent asked for."""
        self._configure()
        self._runner.learn(1)


def compare(env: Any, device: str, iterations: int) -> dict[str, list[tuple[float, float]]]:
    """Let both train by turns.

    Returns:
        Name -> seconds of rollout and update, of each counted iteration; neighbours in time have the same index.
    """
    import torch

    from gr00t_rl_ext.tasks.stack.config.franka.agents.rsl_rl_cfg import MlpPpoRunnerCfg, RslRlMlpPpoRunnerCfg

    contestants = {
        name: Contestant(cfg, env, device)
        for name, cfg in zip(NAMES, (MlpPpoRunnerCfg(), RslRlMlpPpoRunnerCfg()), strict=True)
    }
    env.episode_length_buf = torch.randint_like(env.episode_length_buf, high=int(env.max_episode_length))
    for turn in range(WARM_UP + iterations):
        order = list(contestants.values())
        # who comes second has the warmer cache
        for contestant in order if turn % 2 else reversed(order):
            contestant.iterate()
    return {name: contestant.times[WARM_UP:] for name, contestant in contestants.items()}


def summarize(times: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Phase -> median milliseconds of both, the median ratio of their pairs, and the quartiles of the ratio."""
    rows = {}
    for phase, seconds in {
        "rollout": lambda pair: pair[0],
        "update": lambda pair: pair[1],
        "iteration": sum,
    }.items():
        ours, theirs = ([seconds(pair) for pair in times[name]] for name in NAMES)
        ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        rows[phase] = {
            "ours_ms": 1e3 * statistics.median(ours),
            "rsl_rl_ms": 1e3 * statistics.median(theirs),
            "ratio": ratio,
            "ratio_low": low,
            "ratio_high": high,
        }
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=("stack", "made-up"), default="stack", help=f"{TASK}, or no simulator.")
    parser.add_argument("--num_envs", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--iterations", type=int, default=30, help="Counted iterations of each, at least 2.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()
    if args.env == "made-up":
        env: Any = contextlib.nullcontext(MadeUpEnv(args.num_envs, args.device))
    else:
        env = stack_env(args.num_envs, args.device, clip_actions=1.0)
    with env as opened:
        with contextlib.redirect_stdout(io.StringIO()):
            times = compare(opened, args.device, args.iterations)
        rows = summarize(times)
        print(f"\n{args.env}, {args.num_envs} envs, {args.device}, {args.iterations} iterations each")
        print(f"  {'median ms':12} {'ours':>8} {'rsl_rl':>8} {'ratio':>8}   quartiles")
        for phase, row in rows.items():
            print(
                f"  {phase:12} {row['ours_ms']:8.1f} {row['rsl_rl_ms']:8.1f} {row['ratio']:8.2f}"
                f"   {row['ratio_low']:.2f} to {row['ratio_high']:.2f}",
                flush=True,
            )
        if args.json:
            arguments = {name: str(value) for name, value in vars(args).items()}
            args.json.write_text(json.dumps({"arguments": arguments, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
