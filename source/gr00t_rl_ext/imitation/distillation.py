# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a policy over GR00T gained goes into GR00T itself: GR00T learns from the episodes in which it succeeded.

A steering, residual or adapter policy needs a network beside GR00T, which GR00T's own inference does not run. GR00T is
fine-tuned on the policy's successes by the loss that it was trained with. Sources: PLD (Xiao et al. 2025, arXiv
2511.00091), RLDG (Xu et al. 2024, arXiv 2412.09858).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from gr00t_rl_ext.envs.episodes import Episodes, run_episodes
from gr00t_rl_ext.evaluation import comparison
from gr00t_rl_ext.evaluation.native import native_actor
from gr00t_rl_ext.evaluation.policies import Policy, fingerprint
from gr00t_rl_ext.evaluation.report import Evaluation
from gr00t_rl_ext.imitation.lerobot_dataset import LeRobotWriter
from gr00t_rl_ext.imitation.rollouts import Interface, RolloutError, Rollouts, record_successes
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import ActorDefinition
from gr00t_rl_ext.policy.export import load_trained
from gr00t_rl_ext.progress import progress_bar
from gr00t_rl_ext.robot.task_spec import TaskSpec

TRAINED, BASE, DISTILLED = "trained", "base", "distilled"
"""The policies, as options and tables call them."""

FEW = 30
"""Successful episodes below which GR00T learns little."""


@dataclass
class Distillation:
    """The stages before and after the fine-tuning; :meth:`begin` makes one.

    One policy is loaded at a time. Base and distilled policy begin with the noise that GR00T draws, the trained policy
    acts as it is evaluated.
    """

    env: Any
    """The environments, as rsl_rl sees them."""

    definition: ActorDefinition
    """The trained policy."""

    interface: Interface
    """Its task, as the checkpoint sees it."""

    writer: LeRobotWriter
    """Of the episodes that GR00T is to learn from."""

    groups: list[str]
    """Observation groups that are computed."""

    about: Mapping[str, Any]
    """``task`` and ``agent`` by name and the ``overrides`` of both: for reports and ``meta/recording.json``."""

    seed: int
    """Of the initial states of evaluations, and of what policies draw."""

    rollouts: dict[str, Rollouts] = field(default_factory=dict)
    """By policy."""

    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    """By policy."""

    _first: Episodes | None = None

    @classmethod
    def begin(
        cls,
        env: Any,
        definition: ActorDefinition,
        interface: Interface,
        dataset: Path,
        about: Mapping[str, Any],
        seed: int,
    ) -> Distillation:
        """Check that the environments are of the policy's task. Nothing is written yet.

        Raises:
            RolloutError: They are not.
            DatasetError: The dataset cannot be written there, or not in this format.
        """
        spec = interface.spec
        seen = [*spec.image_groups, *spec.state_groups]
        env.unwrapped.configure_decisions(1)
        obs = env.get_observations()
        if missing := [name for name in seen if name not in obs.keys()]:
            raise RolloutError(
                f"The policy of the run observes {', '.join(missing)}, which the task does not offer; it has"
                f" {', '.join(obs.keys())}. Append the overrides of the training."
            )
        found, wanted = asdict(TaskSpec.from_env(env.unwrapped, obs, seen)), asdict(spec)
        for name, value in wanted.items():
            if found[name] != value:
                raise RolloutError(
                    f"The task is another than that of the run: {name} is {found[name]!r}, there it was {value!r}."
                    " Append the overrides of the training."
                )
        # groups of numbers that the policy does not see tell initial states apart
        groups = [*seen, *(name for name, value in obs.items() if name not in seen and value.ndim == 2)]
        writer = LeRobotWriter(dataset, interface.dataset_format(obs, env.unwrapped.step_dt))
        return cls(env, definition, interface, writer, groups, about, seed)

    def run_trained(self, saved: Mapping[str, Any], episodes: int, eval_episodes: int) -> None:
        """Record and evaluate the trained policy.

        Args:
            saved: The training checkpoint.
            episodes: To record.
            eval_episodes: To evaluate in.

        Raises:
            RolloutError: None of the episodes is a success that can be learnt from, or the checkpoint does not fit.
        """
        try:
            actor = load_trained({**saved, "actor_recipe": asdict(self.definition)}, str(self.env.device))
        except (KeyError, RuntimeError) as error:
            raise RolloutError(
                f"The run's checkpoint does not fit the policy: {type(error).__name__}: {error} Leave out overrides of"
                " agent.actor, or use the version of gr00t_rl_ext that trained it."
            ) from error
        policy = Policy(actor, actor, fingerprint(saved))
        self._record(actor, TRAINED, episodes, alone=True)
        self._evaluate(actor, policy, TRAINED, eval_episodes)

    def run_base(self, episodes: int, eval_episodes: int, alone: bool) -> None:
        """Record and evaluate the GR00T that the policy was trained over.

        Args:
            episodes: To record; may be 0.
            eval_episodes: To evaluate in.
            alone: Whether GR00T is to learn from its own episodes alone.

        Raises:
            RolloutError: It is alone, and none of its episodes is a success that can be learnt from.
        """
        actor, policy = self._native(self.definition)
        if episodes:
            self._record(actor, BASE, episodes, alone)
        self._evaluate(actor, policy, BASE, eval_episodes)

    def run_distilled(self, checkpoint: Path, eval_episodes: int) -> None:
        """Evaluate the checkpoint that was fine-tuned."""
        actor, policy = self._native(self.definition.with_gr00t(checkpoint=str(checkpoint)))
        self._evaluate(actor, policy, DISTILLED, eval_episodes)

    @property
    def success(self) -> dict[str, float]:
        """Success rates by policy."""
        return {name: fmean(one.successes) for name, one in self.evaluations.items() if one.successes is not None}

    @property
    def share_kept(self) -> float | None:
        """Part of the gain of the trained policy that the distilled one kept, by success rates; None where nothing was
        gained, or the trained policy was not run."""
        base, trained, distilled = (self.success.get(name) for name in (BASE, TRAINED, DISTILLED))
        if base is None or trained is None or distilled is None or trained <= base:
            return None
        return (distilled - base) / (trained - base)

    def rollout_seed(self, name: str) -> int:
        """Of a policy's recorded episodes, which begin in other states than the evaluations."""
        return int(np.random.SeedSequence((self.seed, *name.encode())).generate_state(1)[0])

    def _configure(self, actor: Actor) -> None:
        self.env.unwrapped.configure_decisions(actor.chunk_length, observation_groups=self.groups)

    def _native(self, definition: ActorDefinition) -> tuple[Actor, Policy]:
        actor = native_actor(definition, str(self.env.device))
        return actor, Policy(actor, actor, actor.encoder.fingerprint[:12])

    def _evaluate(self, actor: Actor, policy: Policy, name: str, episodes: int) -> None:
        self._configure(actor)
        policy.start(None)
        ran, self.evaluations[name] = comparison.evaluate(
            self.env,
            policy,
            name,
            self._first,
            task=self.about["task"],
            agent=self.about["agent"],
            episodes=episodes,
            seed=self.seed,
        )
        self._first = self._first or ran

    def _record(self, actor: Actor, name: str, episodes: int, alone: bool) -> None:
        seed = self.rollout_seed(name)
        self._configure(actor)
        with progress_bar() as progress:
            bar = progress.add_task(f"episodes of {name}", total=episodes)
            ran = run_episodes(self.env, actor, episodes, seed, lambda done: progress.update(bar, completed=done))
        found = record_successes(self.env, self.interface, ran, seed, self.writer, f"recording {name}")
        if alone and not found.kept:
            lost = f" ({found.succeeded} succeeded, but not when they were run again)" if found.succeeded else ""
            raise RolloutError(
                f"None of {episodes} episodes of the {name} policy is a success{lost}: there is nothing to learn from,"
                " and nothing was written. Run more (--episodes), or train longer first. eval.py shows how often a"
                " policy succeeds."
            )
        if alone and found.kept < FEW:
            print(
                f"warning: only {found.kept} of {episodes} episodes are successes to learn from. GR00T learns little"
                f" from fewer than {FEW}: raise --episodes."
            )
        if found.kept < found.succeeded:
            print(
                f"note: {found.succeeded - found.kept} of {found.succeeded} successes are left out. They ended"
                " otherwise when they were run again: the physics is not deterministic here."
            )
        self.rollouts[name] = found
        if len(self.writer):
            counts = {key: sum(getattr(one, key) for one in self.rollouts.values()) for key in _COUNTED}
            session = {**self.about, "policies": list(self.rollouts), "seed": self.seed, **counts}
            # sft.py prints the training that follows, with a policy of its own
            session["overrides"] = [item for item in self.about["overrides"] if not item.startswith("agent.actor.")]
            self.writer.describe(session)


_COUNTED = ("attempted", "succeeded")
