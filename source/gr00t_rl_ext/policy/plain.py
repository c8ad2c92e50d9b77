# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What stands in for GR00T where a policy reads vectors only: nothing is encoded, and nothing of it trains."""

from __future__ import annotations

import dataclasses
from typing import cast

import torch
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.gr00t import Gr00tModel
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.freezing import Freezing
from gr00t_rl_ext.policy.stages import Stage
from gr00t_rl_ext.robot.task_spec import TaskSpec


class NoGr00t(Freezing):
    """There is nothing to train, in one endless stage."""

    def __init__(self) -> None:
        self.model = cast(Gr00tModel, nn.Module())
        self.stages, self.stage = [Stage(train=())], 0
        self.groups, self._initial = [], {}

    def describe(self) -> str:
        return "there is no GR00T"


class PlainEncoder:
    """Observation groups of vectors, handed on as they are.

    Args:
        spec: The task, without image groups.
        obs: An observation, for the widths of the actor's groups.
    """

    base_name = None
    """There is no GR00T."""

    dtype = torch.float32
    """Data type of what does not train, if there was any."""

    def __init__(self, spec: TaskSpec, obs: TensorDict) -> None:
        assert not spec.image_groups, "TaskSpec.from_env refuses them"
        self.spec = spec
        self.freezing = NoGr00t()
        self.calls = 0
        """Passes through a backbone: there is none."""

        self.group_widths = {group: int(obs[group].shape[-1]) for group in spec.state_groups}
        """Observation group of the actor -> its width, in order."""

    @property
    def fingerprint(self) -> str:
        """Identifies what the policy reads and decides. What a task tells GR00T changes nothing here."""
        told = tuple(f"{number}" for number, _ in enumerate(self.spec.instructions))
        return f"vectors-{dataclasses.replace(self.spec, instruction='', instructions=told).digest()}"

    def encode(self, obs: TensorDict) -> TensorDict:
        """The same, as in :meth:`complete` and :meth:`kept`."""
        return obs

    complete = kept = encode

    def encoded_example(self, obs: TensorDict) -> TensorDict:
        """A copy of its structure, whose tensors are shared."""
        return obs.clone(recurse=False)

    def chunk_length(self, wanted: int) -> int:
        """Control steps of a decision: as many as are wanted."""
        return wanted

    def describe(self) -> str:
        """What the policy is over, for the log."""
        groups = ", ".join(self.spec.state_groups)
        return f"MLP without GR00T\n  sees {self.spec.state_dim} dimensions of {groups}"

    def compile(self, mode: str, backbone: bool | None = None) -> None:
        """Refuse ``agent.torch_compile_mode``: an MLP this small has nothing to gain.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"`agent.torch_compile_mode` is {mode!r}, which compiles GR00T's diffusion transformer; this agent has"
            " none. Leave it null."
        )


Encoder = Gr00tEncoder | PlainEncoder
"""From observations to what actor and critic read."""
