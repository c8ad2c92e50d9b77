# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Actors and critics over a frozen GR00T backbone, with the interface of rsl_rl's models."""
