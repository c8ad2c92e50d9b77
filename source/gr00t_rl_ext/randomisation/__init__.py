# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Domain randomisation of a task, factor by factor (Tobin et al. 2017, "Domain Randomization for Transferring Deep
Neural Networks from Simulation to the Real World").

A factor is something that a policy should survive: where a camera is, how bright its images are, what friction or mass
is. Each environment draws anew when its episode begins; ``strength`` scales what it draws, so that the same draws are
compared at several strengths. Nothing here imports the simulator.
"""

from __future__ import annotations

from collections.abc import Mapping

FACTORS = {
    "camera_pose": "images:CameraPose",
    "field_of_view": "images:FieldOfView",
    "lighting": "images:Lighting",
    "colours": "images:Colours",
    "friction": "physics:Friction",
    "mass": "physics:Mass",
    "actuator_gains": "physics:ActuatorGains",
    "action_delay": "signals:ActionDelay",
    "observation_noise": "signals:ObservationNoise",
}
"""Name of a factor -> module and class of it, below this package."""

RANGES = {
    "camera_pose": "each camera up to 0.03 m along and 3 degrees about each axis",
    "field_of_view": "things up to 20 % larger: images are cropped and enlarged",
    "lighting": "images x 0.67 to 1.49, each colour channel x 0.9 to 1.1 besides",
    "colours": "each colour channel of each shape of an environment x 0.74 to 1.35",
    "friction": "of the robots and objects x 0.5 to 2",
    "mass": "of each object x 0.5 to 2, with its inertia",
    "actuator_gains": "stiffness and damping of each robot x 0.74 to 1.35",
    "action_delay": "0 to 2 control steps",
    "observation_noise": "Gaussian, standard deviation 0.01 [rad, m, ...], of the observation group state",
}
"""What each draws from at strength 1. Factors of products are log-uniform, others uniform."""


def describe(strengths: Mapping[str, float]) -> str:
    """What is drawn at some strengths, a line for each factor; empty where nothing is."""
    lines = [f"  {name}, strength {strength:g} of: {RANGES[name]}" for name, strength in strengths.items() if strength]
    return "\n".join(["drawn anew in each episode:", *lines]) if lines else ""


def event_name(factor: str) -> str:
    """Name of a factor's event term in a task's config."""
    return f"randomise_{factor}"


def class_path(factor: str) -> str:
    """``module:Class`` of a factor."""
    return f"{__name__}.{FACTORS[factor]}"


def name_of(kind: type) -> str:
    """Name of the factor of a class of this package."""
    return next(name for name, path in FACTORS.items() if path.endswith(f":{kind.__name__}"))
