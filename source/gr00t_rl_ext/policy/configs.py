# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config classes of the models (``agent.actor``, ``agent.critic``): Isaac Lab's, with the fields of our options.

Sections need no class of their own: ``agent.actor.gr00t`` and its like are the options themselves.
"""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg

from gr00t_rl_ext.policy import options, stages

Gr00tModelCfg = options.Gr00tOptions
Gr00tFreezingCfg = stages.FreezingOptions
FlowCfg = options.FlowOptions
BoundedStdCfg = options.BoundedStdOptions
BoundedGaussianCfg = options.BoundedGaussianOptions
NoiseStdCfg = options.NoiseStdOptions


class _OverGr00t:
    """What can be checked of an actor over GR00T without loading weights."""

    def validate_config(self: Any) -> None:
        """Raise a :class:`ValueError` where the checkpoint cannot be used, or its parts cannot train so."""
        super().validate_config()  # type: ignore[misc]
        from rsl_rl.utils import resolve_callable

        # heavy, and needed only where the agent is about to be built
        from gr00t_rl_ext.policy.base_checkpoint import check_base

        check_base(self.gr00t, self.chunk_length)
        actor: Any = resolve_callable(self.class_name)
        actor.check_stages(self.freezing.stages(actor.reads_head))


@configclass
class Gr00tGaussianActorCfg(_OverGr00t, options.GaussianActorOptions):
    """``agent.actor``; see :class:`~.options.GaussianActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.gaussian_actor:Gr00tGaussianActor"


@configclass
class Gr00tResidualActorCfg(_OverGr00t, options.ResidualActorOptions):
    """``agent.actor``; see :class:`~.options.ResidualActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.residual_actor:Gr00tResidualActor"


@configclass
class Gr00tSteeringActorCfg(_OverGr00t, options.SteeringActorOptions):
    """``agent.actor``; see :class:`~.options.SteeringActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.steering:Gr00tSteeringActor"


@configclass
class Gr00tCategoricalActorCfg(_OverGr00t, options.CategoricalActorOptions):
    """``agent.actor``; see :class:`~.options.CategoricalActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.categorical_actor:Gr00tCategoricalActor"


@configclass
class Gr00tFlowActorCfg(_OverGr00t, options.FlowActorOptions):
    """``agent.actor``; see :class:`~.options.FlowActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor"


@configclass
class MlpActorCfg(options.MlpActorOptions, RslRlMLPModelCfg):
    """``agent.actor``; see :class:`~.options.MlpActorOptions`."""

    class_name: str = "gr00t_rl_ext.policy.mlp:MlpActor"

    distribution_cfg: RslRlMLPModelCfg.DistributionCfg | None = RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5)


@configclass
class Gr00tCriticCfg(options.CriticOptions, RslRlMLPModelCfg):
    """``agent.critic``; see :class:`~.options.CriticOptions`."""

    class_name: str = "gr00t_rl_ext.policy.critic:Gr00tCritic"
