# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The runner of GRPO: rollouts last as long as their episodes do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from rsl_rl.runners import OnPolicyRunner

from gr00t_rl_ext.algorithms.grpo import Gr00tGRPO
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.runs.guard import supervised


class GrpoRunner(OnPolicyRunner):
    """rsl_rl's OnPolicyRunner with rollouts of whole episodes.

    A rollout ends as soon as every episode of its groups has ended; how many decisions that takes is known only
    afterwards. rsl_rl's own loop goes on to the most that it could take, in which nothing is executed any more, and
    counts it: its steps per second and lengths of episodes are then wrong. So :meth:`learn` is this class's own.

    Args:
        env: Isaac Lab's wrapper, or an environment of rsl_rl with groups.
        train_cfg: The agent's config.
        log_dir: Where logs and checkpoints go; None: nowhere.
        device: Of the algorithm.
    """

    alg: Gr00tGRPO  # type: ignore[assignment]

    @supervised
    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Train.

        Args:
            num_learning_iterations: Iterations from here.
            init_at_random_ep_len: Not read: every rollout begins with new episodes.
        """
        self.alg.train_mode()
        if self.is_distributed:
            print(f"Synchronizing parameters for rank {self.gpu_global_rank}...")
            self.alg.broadcast_parameters()
        self.logger.init_logging_writer()
        start = self.current_learning_iteration
        end = start + num_learning_iterations
        for iteration in range(start, end):
            began = time.perf_counter()
            self._roll_out()
            rolled_out = time.perf_counter()
            losses = self.alg.update()
            learnt = time.perf_counter()
            self.current_learning_iteration = iteration
            self.logger.log(
                it=iteration,
                start_it=start,
                total_it=end,
                collect_time=rolled_out - began,
                learn_time=learnt - rolled_out,
                loss_dict=losses,
                learning_rate=self.alg.learning_rate,
                action_std=self.alg.get_policy().output_std,
                rnd_weight=None,
            )
            due = iteration % self.cfg["save_interval"] == 0 or iteration == end - 1
            if due and self.logger.writer is not None:
                self.save(str(Path(str(self.logger.log_dir)) / f"model_{iteration}.pt"))
        if self.logger.writer is not None:
            self.logger.stop_logging_writer()

    @torch.inference_mode()
    def _roll_out(self) -> None:
        obs: Any = self.env.get_observations().to(self.device)
        # what a rollout that was cut off left there
        self.logger.cur_reward_sum.zero_()
        self.logger.cur_episode_length.zero_()
        steps = 0
        while True:
            actions = self.alg.act(obs)
            obs, rewards, dones, extras = self.env.step(actions.to(self.env.device))
            obs, rewards, dones = obs.to(self.device), rewards.to(self.device), dones.to(self.device)
            self.alg.process_env_step(obs, rewards, dones, extras)
            self.logger.process_env_step(rewards, dones, extras)
            # rsl_rl counts a step of every environment
            self.logger.cur_episode_length *= Outcome.from_extras(extras, self.device).executed_steps > 0
            steps += 1
            if self.alg.rollout_complete:
                break
        # the logger's steps per second are of the steps that were made
        self.cfg["num_steps_per_env"] = steps
        self.alg.compute_returns(obs)
