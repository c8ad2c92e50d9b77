# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training checkpoints: what is in them, and whether one fits.

Everything is a tensor, a number, a string or a container of these, so that ``torch.load(weights_only=True)`` reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.algorithms.ranks import Ranks
from gr00t_rl_ext.algorithms.reference import Reference
from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.algorithms.task_sampling import TaskSampler
from gr00t_rl_ext.algorithms.update import Updater
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import POLICIES, ActorDefinition, Gr00tActorCritic
from gr00t_rl_ext.robot.task_spec import TaskSpec

FORMAT = 4
"""Version of the layout. Raised with every change that makes readers and checkpoints of other versions misfits."""


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


def check_policy(loaded: dict[str, Any], class_name: str) -> None:
    """Check that the policy of a training checkpoint is of the agent's class.

    Args:
        loaded: The checkpoint.
        class_name: Class of the agent's actor, ``module:name``.

    Raises:
        ValueError: If it is of another, or the checkpoint has another format; with the agent to choose.
    """
    check_format(loaded)
    trained = loaded["actor_recipe"]["class_name"]
    if trained == class_name:
        return
    (kind, stem), (own, _) = (POLICIES.get(name, (f"a {name}", None)) for name in (trained, class_name))
    if stem is None:
        played = ". Choose the `--agent` that it was trained with"
    else:
        algorithm = loaded["algorithm"].removeprefix("Gr00t").lower()
        agent = f"{stem}_{algorithm}"
        played = f", which the agent {agent} plays" if stem == "mlp" else f", which {agent} or {agent}_small plays"
        if stem == "gr00t_adapter":
            played += f" (before version 0.2 they were called gr00t_{algorithm} and gr00t_{algorithm}_small)"
    raise ValueError(f"This checkpoint's policy is {kind}{played}. The policy of the agent here is {own}.")


def check_settings(loaded: dict[str, Any], actor_class: type[Actor], settings: Mapping[str, Any]) -> None:
    """Check that an actor has those settings that the policy of a training checkpoint has learned with.

    Args:
        loaded: A checkpoint of this actor's class.
        actor_class: Class of the agent's actor.
        settings: Fields of ``agent.actor`` as the agent has them; those that are missing have their defaults.

    Raises:
        ValueError: One is another; with what to add to the command line.
    """
    recorded = ActorDefinition.recorded(loaded["actor_recipe"]).actor
    other = {
        name: (recorded[name], here)
        for name in actor_class.LEARNED_WITH
        if name in recorded and recorded[name] != (here := settings.get(name, getattr(actor_class.OPTIONS, name)))
    }
    if other:
        learned = " and ".join(f"agent.actor.{name}={there:g} (here {here:g})" for name, (there, here) in other.items())
        added = " ".join(f"agent.actor.{name}={there:g}" for name, (there, _) in other.items())
        raise ValueError(
            f"This checkpoint's policy was trained with {learned}; with another value it is another policy. Add to the"
            f" command line: {added}"
        )


def check_tasks(loaded: dict[str, Any], spec: TaskSpec) -> None:
    """Check that a training checkpoint is of the tasks that the environments have, in their order.

    Args:
        loaded: The checkpoint.
        spec: Of the environments.

    Raises:
        ValueError: It is of others; what knows tasks by their order would take one for another.
    """
    saved = tuple(loaded["actor_recipe"]["spec"].get("tasks", ()))
    if saved != tuple(spec.tasks):
        trained, here = (", ".join(names) or "one" for names in (saved, spec.tasks))
        raise ValueError(
            f"This checkpoint was trained on other tasks (a name for each instruction: {trained}) than the environments"
            f" have ({here}). Its critic knows them by their order: name the same ones, in the same order, in the"
            " `tasks` of the task file."
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


def check_content(loaded: dict[str, Any], networks: list[str], with_optimizer: bool) -> None:
    """Check that a training checkpoint holds what is to be loaded, and that its weights are numbers.

    Args:
        loaded: The checkpoint.
        networks: Those to load.
        with_optimizer: Whether the optimizer is to be loaded.

    Raises:
        ValueError: Something is missing, or a weight is NaN or infinite.
    """
    keys = [f"{name}_state_dict" for name in (*networks, *(["optimizer"] if with_optimizer else []))]
    if missing := [key for key in keys if key not in loaded]:
        without = " To train on with its weights and a new optimizer: --no-resume_optimizer_state."
        raise ValueError(
            f"This checkpoint has no {', '.join(missing)}.{without if missing == ['optimizer_state_dict'] else ''}"
        )
    for name in networks:
        for key, value in loaded[f"{name}_state_dict"].items():
            if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
                raise ValueError(
                    f"This checkpoint's weights are not all finite ({key} of the {name}): its training had diverged."
                    " Give an earlier model_*.pt of the run."
                )


def note_of_other_noise(loaded: dict[str, Any], actor: nn.Module) -> str | None:
    """A note for the user if the run of a checkpoint had another scale of the noise than the agent; None: it had not.

    Args:
        loaded: The checkpoint.
        actor: The agent's.
    """
    here = getattr(actor, "noise_scale", None)
    if here is None:
        return None
    there = ActorDefinition.recorded(loaded["actor_recipe"]).actor["noise_scale"]
    if there == here:
        return None
    return (
        f"note: the checkpoint's run had agent.actor.noise_scale={there:g}, the agent here has {here:g}. Add"
        f" `agent.actor.noise_scale={there:g}` to act as the run did, or compare both by eval.py --noise_scale."
    )


class Checkpointed:
    """An algorithm that can be saved and resumed."""

    actor_critic: Gr00tActorCritic
    updater: Updater
    reference: Reference
    ranks: Ranks
    learning_rate: float
    iteration: int
    describes_start: bool
    _recorded: TensorDict | None
    _statistics: RolloutStatistics
    _sampler: TaskSampler
    _start_sampler: TaskSampler | None

    continues_run = False
    """Whether a checkpoint that is loaded is of this run: its iterations are then among those of the run."""

    def _networks(self) -> dict[str, nn.Module]:
        """What trains beside GR00T, by the name that checkpoints give it."""
        pair = {"actor": self.actor_critic.actor, "critic": self.actor_critic.critic}
        return {name: network for name, network in pair.items() if network is not None}

    def _announce_iteration(self) -> None:
        """Tell the actor which iteration begins."""
        self.actor_critic.actor.start_iteration(self.iteration, self.updater.rates.total_iterations)

    def open_stage(self, stage: int) -> None:
        """Open all stages of unfreezing up to one."""
        raise NotImplementedError

    def _share_tasks(self) -> dict[str, float]:
        """Set how often each task is had."""
        raise NotImplementedError

    def forget_episodes(self) -> None:
        """Forget what a checkpoint tells of episodes that cannot go on."""

    def save(self) -> dict:
        """What is trained, the optimizer, the reference policy, what was counted, and the base's fingerprint."""
        encoder = self.actor_critic.encoder
        networks = self._networks() | {"reference": self.reference.actor}
        return {
            "format": FORMAT,
            "algorithm": type(self).__name__,
            "base_fingerprint": encoder.fingerprint,
            "base_name": encoder.base_name,
            **{f"{name}_state_dict": network.state_dict() for name, network in networks.items()},
            "gr00t_state_dict": encoder.freezing.state_dict(),
            "actor_recipe": dataclasses.asdict(self.actor_critic.definition),
            "recorded_observations": {} if self._recorded is None else dict(self._recorded.items()),
            "stage": encoder.freezing.stage,
            "iteration": self.iteration,
            "statistics": self._statistics.state_dict(),
            "task_sampling": self._sampler.state_dict(),
            "start_sampling": None if self._start_sampler is None else self._start_sampler.state_dict(),
            **self.updater.state(),
        }

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a checkpoint of :meth:`save`, and open the stages that were open.

        Args:
            loaded_dict: The checkpoint.
            load_cfg: What to load: ``actor``, ``critic``, ``optimizer``, ``iteration``; None: all of it.
            strict: Whether all weights must be there.

        Returns:
            Whether the iteration was loaded.

        Raises:
            ValueError: If it is none, belongs to another policy, base checkpoint or algorithm, or other parts of GR00T
                train.
        """
        networks = self._networks()
        wanted = dict.fromkeys((*networks, "optimizer", "iteration"), True) if load_cfg is None else load_cfg
        encoder = self.actor_critic.encoder
        definition = self.actor_critic.definition
        check_policy(loaded_dict, definition.class_name)
        check_settings(loaded_dict, type(self.actor_critic.actor), definition.actor)
        check_header(loaded_dict, encoder.fingerprint, encoder.base_name)
        if wanted.get("critic") or wanted.get("iteration"):
            check_tasks(loaded_dict, encoder.spec)
        if self.ranks.rank == 0 and (note := note_of_other_noise(loaded_dict, self.actor_critic.actor)):
            print(note)
        try:
            self.open_stage(loaded_dict["stage"])
            encoder.freezing.load_state_dict(loaded_dict["gr00t_state_dict"])
        except ValueError as error:
            overrides = definition.overrides_for(loaded_dict["actor_recipe"], "freezing")
            raise ValueError(f"{error} Add to the command line: {' '.join(overrides)}") from error
        # others hold other networks and optimizer states
        if loaded_dict["algorithm"] != type(self).__name__:
            raise ValueError(
                f"This checkpoint was written by {loaded_dict['algorithm']}, but the agent's algorithm is"
                f" {type(self).__name__}. Choose the `--agent` that it was trained with."
            )
        loading = {name: network for name, network in networks.items() if wanted.get(name)}
        check_content(loaded_dict, [*loading, "reference"], bool(wanted.get("optimizer")))
        for name, network in (loading | {"reference": self.reference.actor}).items():
            try:
                network.load_state_dict(loaded_dict[f"{name}_state_dict"], strict=strict)
            except RuntimeError as error:
                # after its heading, torch names what differs, a line each
                differs = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
                raise ValueError(
                    f"The {name} of this checkpoint is another network than the agent's here ({differs}). Add the"
                    " overrides of its training, such as agent.actor.hidden_dims, as its params/agent.yaml has them."
                ) from error
        with_iteration = bool(wanted.get("iteration"))
        if with_iteration:
            self.iteration = loaded_dict["iteration"]
        before = loaded_dict.get("begun_at", 0) if self.continues_run else self.iteration
        self.updater.load(
            loaded_dict, with_optimizer=bool(wanted.get("optimizer")), before=before if with_iteration else None
        )
        if with_iteration:
            # after the updater, which knows the length of the run, and the weights, which schedules may change
            self._announce_iteration()
            # checkpoints of version 0.1 count nothing
            if "statistics" in loaded_dict:
                self._statistics.load_state_dict(loaded_dict["statistics"])
            if "task_sampling" in loaded_dict:
                self._sampler.load_state_dict(loaded_dict["task_sampling"])
                if self._start_sampler is not None and loaded_dict.get("start_sampling") is not None:
                    self._start_sampler.load_state_dict(loaded_dict["start_sampling"])
                self._share_tasks()
            if self.continues_run and loaded_dict["recorded_observations"]:
                recorded = loaded_dict["recorded_observations"]
                size = next(iter(recorded.values())).shape[:1]
                self._recorded = TensorDict(recorded, batch_size=size).to("cpu")
                self.describes_start = False
        self.learning_rate = self.updater.rates.current["actor"]
        return with_iteration
