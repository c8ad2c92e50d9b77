# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Somebody else's policy on our tasks: a server that speaks GR00T's protocol decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.construction import required_obs_groups
from gr00t_rl_ext.envs.episodes import EvaluationError
from gr00t_rl_ext.evaluation.policies import Policy
from gr00t_rl_ext.gr00t import Embodiment
from gr00t_rl_ext.gr00t.normalization import VectorNormalizer, VectorSpec
from gr00t_rl_ext.robot.bound_mapping import BoundMapping, bind_mapping, tiny_layout
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.serving.client import PolicyClient
from gr00t_rl_ext.serving.protocol import Observation, PolicyKeys


def check_mapping(keys: PolicyKeys, mapping: EmbodimentMapping) -> None:
    """Check that a mapping is about what a server's policy reads and gives.

    Raises:
        EmbodimentMappingError: It names keys that the policy does not have, or lacks some.
    """
    names = (dict.fromkeys(part) for part in (keys.state, keys.video, keys.action))
    mapping.check_keys("the server's policy", *names)


def completed(mapping: EmbodimentMapping, keys: PolicyKeys, spec: TaskSpec) -> tuple[EmbodimentMapping, dict[str, str]]:
    """A mapping with all sections: what it leaves out is matched by names, or by position where the numbers agree.

    Args:
        mapping: The user's, which may be empty.
        keys: Of the server's policy.
        spec: The task.

    Returns:
        The mapping, and section -> how it came about.

    Raises:
        EvaluationError: Names and numbers differ, so that nothing can be matched.
    """
    sections: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for section, theirs, ours in (
        ("state", tuple(keys.state), tuple(spec.state_terms)),
        ("video", keys.video, spec.cameras),
        ("action", tuple(keys.action), tuple(spec.action_terms)),
    ):
        if getattr(mapping, section):
            origins[section] = "mapping"
            continue
        if set(theirs) == set(ours):
            pairs, origins[section] = {name: name for name in ours}, "same names"
        elif len(theirs) == len(ours):
            pairs, origins[section] = dict(zip(ours, theirs, strict=True)), "position, a guess"
        elif section == "action" and len(ours) == 1:
            pairs, origins[section] = {ours[0]: list(theirs)}, "position, a guess"
        else:
            raise EvaluationError(
                f"The server's policy has the {section} keys {', '.join(theirs)}, the task {', '.join(ours)}: they"
                " cannot be matched. Write a mapping file, and name it in `agent.actor.gr00t.mapping`."
            )
        sections[section] = pairs if section == "action" else {key: ours for ours, key in pairs.items()}
    whole = EmbodimentMapping.model_validate(sections)
    given = {name: getattr(mapping, name) for name in origins if name not in sections}
    merged = whole.model_copy(update={**given, "unused": mapping.unused})
    merged._file = mapping._file or "of names and positions"
    return merged, origins


class RemotePolicy:
    """Decides by asking a server. It has no weights here.

    The first observation tells the widths and the number of steps of the server's actions.

    Args:
        client: Of the server.
        spec: The task.
        mapping: How the task's numbers become the policy's keys.
        obs: An observation.
        chunk_length: Control steps to execute of each answer; None: all that the policy gives.

    Raises:
        EvaluationError: The server gives fewer steps.
        ValueError: It does not answer, or its keys do not fit the task.
    """

    def __init__(
        self,
        client: PolicyClient,
        spec: TaskSpec,
        mapping: EmbodimentMapping,
        obs: TensorDict,
        chunk_length: int | None,
    ) -> None:
        self._client, self._spec = client, spec
        keys = client.keys()
        whole, self.origins = completed(mapping, keys, spec)
        # until an answer tells what actions look like
        without = whole.model_copy(update={"action": {}, "unused": whole.unused.model_copy(update={"action": ()})})
        widths = tiny_layout(without, spec)["state_keys"]
        self._state_widths = {key: widths[key] for key in keys.state}
        self._mapping: BoundMapping = bind_mapping(without, spec, _robot(keys, self._state_widths, {}))
        answer = client.act(self._observation(obs), {"seed": 0})
        self.action_widths = {key: value.shape[2] for key, value in answer.items()}
        self._mapping = bind_mapping(whole, spec, _robot(keys, self._state_widths, self.action_widths))
        steps = next(iter(answer.values())).shape[1]
        if chunk_length is not None and not 1 <= chunk_length <= steps:
            raise EvaluationError(
                f"`agent.actor.chunk_length` is {chunk_length}, but the server's policy gives {steps} control steps."
                f" Choose 1 to {steps}, or null for all of them."
            )
        self.steps = steps
        """Control steps that the server gives."""

        self.chunk_length = chunk_length or steps
        """Control steps that are executed before it is asked again."""

    def __call__(self, obs: TensorDict) -> Tensor:
        """Observations -> action chunks (num_envs, chunk_length * action width)."""
        # what an evaluation seeds the noise of this decision with; ours draw it on the server
        answer = self._client.act(self._observation(obs), {"seed": torch.initial_seed() % 2**63})
        raw = torch.from_numpy(np.concatenate([answer[key] for key in self.action_widths], axis=-1))
        return self._mapping.action(raw[:, : self.chunk_length]).flatten(1)

    def table(self) -> Table:
        """What corresponds to what, and how that came about."""
        keys = self._client.keys()
        table = Table(title=f"What the policy at {self._client.address} is assumed to be", title_justify="left")
        for name in ("key", "width", "from"):
            table.add_column(name, justify="right" if name == "width" else "left", no_wrap=True)
        widths: Sequence[tuple[str, Mapping[str, int | None]]] = (
            ("video", dict.fromkeys(keys.video)),
            ("state", self._state_widths),
            ("action", self.action_widths),
        )
        for section, named in widths:
            for key, width in named.items():
                table.add_row(f"{section}.{key}", "" if width is None else str(width), self.origins[section])
        table.add_row("steps", str(self.steps), f"{self.chunk_length} of them are executed")
        return table

    def _observation(self, obs: TensorDict) -> Observation:
        cameras = [camera for group in self._spec.image_groups for camera in obs[group].split(3, dim=-1)]
        keys = self._client.keys()
        ordered = zip(keys.video, self._mapping.camera_order, strict=True)
        video = {key: np.ascontiguousarray(cameras[index].cpu().numpy()) for key, index in ordered}
        raw = self._mapping.state(torch.cat([obs[group] for group in self._spec.state_groups], dim=-1).cpu())
        parts = raw.split(list(self._state_widths.values()), dim=-1)
        state = {key: part.numpy() for key, part in zip(self._state_widths, parts, strict=True)}
        return Observation(video, state, tuple(self._spec.told(obs)))


def load_remote(env: Any, agent_cfg: Any, client: PolicyClient, mapping: EmbodimentMapping) -> Policy:
    """A server's policy for some environments, which then decide as it does. Prints what it is assumed to be.

    Args:
        env: The environments.
        agent_cfg: The agent's config, for what is observed and how many steps are executed.
        client: Of the server.
        mapping: The user's.

    Raises:
        ValueError: It does not answer, or does not fit the task.
    """
    algorithm: Any = resolve_callable(agent_cfg.algorithm.class_name)
    groups = required_obs_groups(agent_cfg.obs_groups, algorithm)
    # what a policy of the agent would have: initial states are told apart by all that is observed
    observed = list(dict.fromkeys(group for names in groups.values() for group in names))
    obs = env.get_observations()
    spec = TaskSpec.from_env(env.unwrapped, obs, groups["actor"])
    if spec.action_choices:
        raise EvaluationError("The task's actions are choices, for which GR00T's protocol has no place.")
    remote = RemotePolicy(client, spec, mapping, obs, getattr(agent_cfg.actor, "chunk_length", None))
    Console(width=None if Console().is_terminal else 120).print(remote.table())
    observed = list(dict.fromkeys([*observed, *spec.used_groups]))
    env.unwrapped.configure_decisions(remote.chunk_length, observation_groups=observed)
    env.num_actions = remote.chunk_length * spec.action_dim
    return Policy(remote, remote, f"server {client.address}")


def _robot(keys: PolicyKeys, state: Mapping[str, int], action: Mapping[str, int]) -> Embodiment:
    """What a mapping is checked against: the keys and their widths."""

    def vector(widths: Mapping[str, int]) -> VectorNormalizer:
        return VectorNormalizer([VectorSpec(key, dim, "none") for key, dim in widths.items()], {k: {} for k in widths})

    return Embodiment("of the server", 0, vector(state), vector(action), video_keys=keys.video)
