# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A path of version 0.1, which users' configs name as ``agent.actor.distribution_cfg.class_name``."""

from gr00t_rl_ext.algorithms import baseline


class CategoricalDistribution(baseline.CategoricalDistribution):
    """One categorical for each component A of the action, all with the same number of choices."""

    def __init__(self, output_dim: int, num_choices: int) -> None:
        super().__init__(output_dim, [num_choices] * output_dim)
