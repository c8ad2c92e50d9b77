# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The memory that training takes, found before any of it is allocated. Knows no agent: it runs what it is given."""
