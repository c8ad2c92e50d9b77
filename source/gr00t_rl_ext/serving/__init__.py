# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Policies over the network, in the protocol of GR00T's own policy servers: ours served, and others' asked.

ZeroMQ's request and reply with one msgpack map per message, as in NVIDIA/Isaac-GR00T, ``gr00t/eval/service.py`` (N1.5)
and ``gr00t/policy/server_client.py`` (N1.6, N1.7).
"""
