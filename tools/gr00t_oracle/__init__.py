# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Our GR00T beside NVIDIA's own package, observation in and actions out: ``./isaaclab.sh -p scripts/gr00t_oracle.py``.

- ``requirements_*.lock``: what NVIDIA's code needs, beside torch and what else the project has;
- ``../layered_environment``: makes the environment that it runs in, once per user;
- ``exact_attention``: stands in for the package flash_attn, which needs a GPU;
- ``exact_rotations``: stands in for the package pytorch3d, which no registry has;
- ``qwen3_vl``: what N1.7's processor is made from;
- ``reference``: runs in that environment and knows nothing of ours;
- ``command``: the command.

NVIDIA's package is the user's checkout of it. Nothing of it is installed, changed or kept.
"""
