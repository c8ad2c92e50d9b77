# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors of how things move: friction, mass and gains. Written against isaaclab 3.0.0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import warp as wp
from isaaclab.actuators import IdealPDActuator
from isaaclab.assets import BaseArticulation
from isaaclab.managers import EventTermCfg
from torch import Tensor

from gr00t_rl_ext.randomisation.factor import Factor

FRICTION = MASS = math.log(2.0)
"""Largest logarithms of their changes."""

GAINS = 0.3
"""Largest logarithm of the change of stiffness and damping."""

_LEVELS = 16
"""Of the change of friction, above and below 1: PhysX has a limit of materials that differ."""


class Friction(Factor):
    """Of all robots and objects of an environment, by one factor."""

    width = 1

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        assets = [*env.scene.articulations.values(), *env.scene.rigid_objects.values()]
        if not assets:
            raise ValueError("friction cannot be randomised: the scene has no robot and no rigid object.")
        self._materials = [_materials(env, asset) for asset in assets]
        self._nominal: list[Tensor] = []
        super().__init__(cfg, env)

    def _apply(self, ids: Tensor) -> None:
        if not self._nominal:
            # not before: a task may have its own at startup
            self._nominal = [read().clone() for read, _ in self._materials]
        gains = torch.exp(FRICTION * self.strength * (self._draws[ids, 0] * _LEVELS).round() / _LEVELS)
        for (_, write), nominal in zip(self._materials, self._nominal, strict=True):
            rows = ids.to(nominal.device)
            write(nominal[rows] * gains.to(nominal.device)[:, None, None], rows)


def _materials(env: Any, asset: Any) -> tuple[Callable[[], Tensor], Callable[[Tensor, Tensor], None]]:
    """What reads coefficients of friction, (num_envs, shapes, n), and what writes some rows of them."""
    backend = asset.__backend_name__
    if backend == "newton":
        from newton import ModelFlags

        manager = env.sim.physics_manager
        coefficients = wp.to_torch(asset._root_view.get_attribute("shape_material_mu", manager.get_model())[:, 0])

        def write_newton(values: Tensor, rows: Tensor) -> None:
            coefficients[rows] = values[..., 0]
            manager.add_model_change(ModelFlags.SHAPE_PROPERTIES)

        return lambda: coefficients[..., None], write_newton
    view = asset.root_view
    if backend == "physx":

        def get() -> Tensor:
            return wp.to_torch(view.get_material_properties())

        def put(materials: Tensor, rows: Tensor) -> None:
            view.set_material_properties(wp.from_torch(materials), wp.from_torch(rows.int()))
    elif backend == "ovphysx":
        from isaaclab_ov import tensor_types

        articulated = isinstance(asset, BaseArticulation)
        prefix = "" if articulated else "RIGID_BODY_"
        kind = getattr(tensor_types, f"{prefix}SHAPE_FRICTION_AND_RESTITUTION")

        def get() -> Tensor:
            return wp.to_torch(view.get_attribute(kind))

        def put(materials: Tensor, rows: Tensor) -> None:
            indices = wp.from_torch(rows.int())
            view.set_attribute(kind, wp.from_torch(materials.contiguous(), dtype=wp.float32), indices=indices)
    else:
        raise ValueError(f"friction cannot be randomised: it is not known how {backend} keeps it. Leave friction out.")

    def write(values: Tensor, rows: Tensor) -> None:
        # the whole buffer is wanted; the last column is restitution
        materials = get().clone()
        materials[rows, :, :2] = values
        put(materials, rows)

    return lambda: get()[..., :2], write


class Mass(Factor):
    """Of each rigid object, with its inertia."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        self._objects = list(env.scene.rigid_objects.values())
        if not self._objects:
            raise ValueError("mass cannot be randomised: the scene has no rigid object.")
        self.width = len(self._objects)
        self._nominal: list[tuple[Tensor, Tensor]] = []
        super().__init__(cfg, env)

    def _apply(self, ids: Tensor) -> None:
        if not self._nominal:
            data = [each.data for each in self._objects]
            self._nominal = [(each.body_mass.torch.clone(), each.body_inertia.torch.clone()) for each in data]
        gains = torch.exp(MASS * self.amounts[ids])
        for number, (each, (masses, inertias)) in enumerate(zip(self._objects, self._nominal, strict=True)):
            gain = gains[:, number, None]
            each.set_masses_index(masses=masses[ids] * gain, env_ids=ids.int())
            each.set_inertias_index(inertias=inertias[ids] * gain[..., None], env_ids=ids.int())


class ActuatorGains(Factor):
    """Stiffness and damping of each robot, all its joints alike."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        self._robots = env.scene.articulations
        self._actuators: list[tuple[Any, Any]] = []
        self._gains: list[tuple[Tensor, Tensor]] = []
        for name, robot in self._robots.items():
            for group, actuator in robot.actuators.items():
                has_gains = getattr(actuator, "is_implicit_model", False) or isinstance(actuator, IdealPDActuator)
                # networks are such as well, by their class, and read no gains
                if not has_gains or type(actuator).__name__.startswith("ActuatorNet"):
                    raise ValueError(
                        f"actuator_gains cannot be randomised: the actuator `{group}` of `{name}` is a"
                        f" {type(actuator).__name__}, whose gains cannot be set. Leave actuator_gains out."
                    )
                self._actuators.append((robot, actuator))
        if not self._actuators:
            raise ValueError("actuator_gains cannot be randomised: the scene has no robot with actuators.")
        self.width = 2 * len(self._robots)
        super().__init__(cfg, env)

    def _apply(self, ids: Tensor) -> None:
        if not self._gains:
            self._gains = [_gains(robot, actuator) for robot, actuator in self._actuators]
        of_robot = dict(zip(map(id, self._robots.values()), self.amounts[ids].split(2, dim=1), strict=True))
        for (robot, actuator), (stiffness, damping) in zip(self._actuators, self._gains, strict=True):
            of_stiffness, of_damping = torch.exp(GAINS * of_robot[id(robot)]).split(1, dim=1)
            wanted = stiffness[ids] * of_stiffness, damping[ids] * of_damping
            if isinstance(actuator, IdealPDActuator):
                actuator.stiffness[ids], actuator.damping[ids] = wanted
                continue
            where = {"joint_ids": _joints(robot, actuator), "env_ids": ids.int()}
            robot.write_joint_stiffness_to_sim_index(stiffness=wanted[0], **where)
            robot.write_joint_damping_to_sim_index(damping=wanted[1], **where)


def _joints(robot: Any, actuator: Any) -> Tensor:
    return torch.arange(robot.num_joints, device=robot.device)[actuator.joint_indices]


def _gains(robot: Any, actuator: Any) -> tuple[Tensor, Tensor]:
    """Stiffness and damping of an actuator's joints as they are now, (num_envs, joints) each."""
    if isinstance(actuator, IdealPDActuator):
        return actuator.stiffness.clone(), actuator.damping.clone()
    # what events of Isaac Lab change of implicit actuators
    joints, data = _joints(robot, actuator), robot.data
    return data.joint_stiffness.torch[:, joints].clone(), data.joint_damping.torch[:, joints].clone()
