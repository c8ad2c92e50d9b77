# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What is copied between the environments of an Isaac Lab scene, and which scenes and terms cannot be copied.

Isaac Lab's own state API carries poses and velocities, and sets joint targets to the joint positions. Targets,
managers' buffers and terms' buffers are added here, by explicit lists: what is not known is refused rather than left
behind. Written against isaaclab 3.0.0.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from isaaclab.actuators import DCMotor, IdealPDActuator, ImplicitActuator
from isaaclab.managers import ActionTerm, CommandTerm, EventManager, ManagerTermBase, ObservationTermCfg
from isaaclab.scene import InteractiveScene
from isaaclab.sensors import Camera
from isaaclab.sensors.frame_transformer.base_frame_transformer import BaseFrameTransformer
from isaaclab.utils.modifiers import ModifierBase

logger = logging.getLogger(__name__)

_STATE_EVENTS = {
    "isaaclab.envs.mdp.events": {
        "reset_joints_by_offset",
        "reset_joints_by_scale",
        "reset_joints_within_limits_range",
        "reset_nodal_state_uniform",
        "reset_root_state_uniform",
        "reset_root_state_with_random_orientation",
        "reset_scene_to_default",
    },
    "isaaclab_tasks.contrib.stack.mdp.stack_events": {
        "randomize_joint_by_gaussian_offset",
        "randomize_object_pose",
        "set_default_joint_pose",
    },
}
"""Isaac Lab's event functions, by module, whose whole effect is in the copied state."""

_STATELESS_ACTUATORS = (ImplicitActuator, IdealPDActuator, DCMotor)

_TERM_BUFFERS: dict[str, tuple[str, ...]] = {
    # actions
    **dict.fromkeys(
        ("BinaryJointAction", "JointAction", "JointPositionToLimitsAction", "DifferentialInverseKinematicsAction"),
        ("_raw_actions", "_processed_actions"),
    ),
    "EMAJointPositionToLimitsAction": ("_prev_applied_actions",),
    **dict.fromkeys(("AbsBinaryJointPositionAction", "BinaryJointPositionAction", "BinaryJointVelocityAction"), ()),
    **dict.fromkeys(("JointEffortAction", "JointPositionAction", "JointVelocityAction"), ()),
    "RelativeJointPositionAction": (),
    # commands; the pose in the world frame follows from that in the base frame
    "NullCommand": (),
    "UniformPoseCommand": ("pose_command_b", "_succeeded"),
    "UniformVelocityCommand": (
        "vel_command_b",
        "heading_target",
        "is_heading_env",
        "is_standing_env",
        "_error_xy_sum",
        "_error_yaw_sum",
        "_step_count",
    ),
    "NormalVelocityCommand": ("is_zero_vel_x_env", "is_zero_vel_y_env", "is_zero_vel_yaw_env"),
    # observations
    **dict.fromkeys(("CameraImageBase", "image_rgb", "image_depth", "image_normals", "image_segmentation"), ()),
    "image_features": (),
    # rewards, terminations and curricula
    **dict.fromkeys(("is_terminated_term", "survival_success_rate", "joint_vel_out_of_limit"), ()),
    **dict.fromkeys(("modify_reward_weight", "modify_env_param", "modify_term_cfg"), ()),
}
"""Buffers of shape (num_envs, ...) of the terms in ``isaaclab.envs.mdp``, by class, without those of its bases."""


def check_scene(scene: InteractiveScene) -> None:
    """Raise a ValueError, naming the entity, if the scene has state that is not copied."""
    for obstacle in _obstacles(scene):
        raise ValueError(f"Groups cannot start from the same state: {obstacle}")


def _obstacles(scene: InteractiveScene) -> Iterator[str]:
    others = (("rigid object collection", scene.rigid_object_collections), ("surface gripper", scene.surface_grippers))
    for kind, entities in others:
        for name in entities:
            yield (
                f"the scene's {kind} `{name}` is not part of the state that is copied. Replace it by separate rigid"
                " objects or articulations, or use PPO."
            )
    if scene.terrain is not None and scene.terrain.cfg.terrain_type != "plane":
        yield (
            f"the terrain is of type '{scene.terrain.cfg.terrain_type}', so each environment stands on different"
            " ground. Use `env.scene.terrain.terrain_type=plane`, or use PPO."
        )
    layout: Any = () if scene.clone_plan is None else scene.clone_plan.topology.world_prototype_layout
    if len({int(prototype) for prototype in layout}) > 1:
        yield (
            "the scene spawns different assets in different environments. Give every entity of the scene one asset, or"
            " use PPO."
        )
    for name, articulation in scene.articulations.items():
        for group, actuator in articulation.actuators.items():
            if type(actuator) not in _STATELESS_ACTUATORS:
                yield (
                    f"the actuator `{group}` of `{name}` is a {type(actuator).__name__}, which may have a state of its"
                    f" own. Use one of {', '.join(known.__name__ for known in _STATELESS_ACTUATORS)}, or use PPO."
                )
    for name, sensor in scene.sensors.items():
        if not isinstance(sensor, (Camera, BaseFrameTransformer)):
            yield (
                f"the sensor `{name}` is a {type(sensor).__name__}, whose readings depend on earlier steps. Remove it"
                f" (`env.scene.{name}=null`), or use PPO."
            )
        elif sensor.cfg.update_period > 0.0:
            yield (
                f"the sensor `{name}` shows the past, as it is updated every {sensor.cfg.update_period:g} s only. Set"
                f" `env.scene.{name}.update_period=0`."
            )


def warn_of_mixed_iterations(scene: InteractiveScene) -> None:
    """Log a warning if PhysX will not simulate equal environments equally.

    It solves bodies in batches that span environments, each with the largest iteration count among its bodies that are
    awake. With a robot of 8 iterations and cubes of 16, equal actions moved 64 robots apart by up to 5e-3 rad until the
    cubes slept; with 16 for all, by 6e-7 rad.
    """
    counts: dict[tuple[int | None, int | None], list[str]] = {}
    for name, entity in (*scene.articulations.items(), *scene.rigid_objects.items()):
        if "physx" not in entity.__backend_name__:
            continue
        for field in ("articulation_props", "rigid_props"):
            properties = getattr(entity.cfg.spawn, field, None)
            for cfg in properties if isinstance(properties, list) else [properties]:
                position = getattr(cfg, "solver_position_iteration_count", None)
                velocity = getattr(cfg, "solver_velocity_iteration_count", None)
                if position is not None or velocity is not None:
                    counts.setdefault((position, velocity), []).append(name)
    if len(counts) > 1:
        listed = "; ".join(f"{each[0]} and {each[1]}: {', '.join(names)}" for each, names in counts.items())
        logger.warning(
            "Members of a group will move apart a little although they start equal: the solver's position and velocity"
            " iterations differ between the scene's entities (%s), and PhysX mixes them across environments. Give all"
            " the largest counts (`solver_position_iteration_count`, `solver_velocity_iteration_count` of"
            " `env.scene.<name>.spawn`).",
            listed,
        )


def check_events(events: EventManager) -> None:
    """Raise a ValueError for the first event term that may change more than the copied state."""
    for mode, names in events.active_terms.items():
        for name in names:
            function = events.get_term_cfg(name).func
            if getattr(function, "state_only", False):
                continue
            owner = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
            if mode != "interval" and owner.__name__ in _STATE_EVENTS.get(owner.__module__, ()):
                continue
            reason = (
                "acts on each environment at its own time"
                if mode == "interval"
                else "may change more than the state that is copied (masses, materials, gains, colours)"
            )
            raise ValueError(
                f"Members of a group must differ in nothing but their actions: the event term `{name}`"
                f" ({owner.__module__}.{owner.__qualname__}, mode '{mode}') {reason}. Switch it off with"
                f" `env.events.{name}=null`. If it is the task's own function and changes copied state only, mark it"
                " with `gr00t_rl_ext.envs.groups.state_only`."
            )


def buffers_of_term(term: object, kind: str, name: str) -> tuple[str, ...]:
    """Names of the term's buffers of shape (num_envs, ...).

    Known for Isaac Lab's terms; a task's own class declares them in ``state_buffers``, without those of its bases. If
    neither is so, a ValueError names the kind of the term's manager and its name.
    """
    buffers: list[str] = []
    for cls in type(term).__mro__:
        if cls in (ManagerTermBase, ActionTerm, CommandTerm):
            break
        if "state_buffers" in cls.__dict__:
            buffers += cls.__dict__["state_buffers"]
        elif cls.__module__.startswith("isaaclab.envs.mdp.") and cls.__name__ in _TERM_BUFFERS:
            buffers += _TERM_BUFFERS[cls.__name__]
        else:
            raise ValueError(
                f"Groups cannot start from the same state: the {kind} term `{name}` is an object of the class"
                f" {cls.__module__}.{cls.__qualname__}, whose buffers are not known. If it is the task's own, declare"
                " them in the class: `state_buffers = ()` if it has none, else the names of its tensors of shape"
                " (num_envs, ...)."
            )
    return tuple(buffers)


def check_observation_term(term_cfg: ObservationTermCfg, name: str) -> None:
    """Raise a ValueError if the term's value depends on when it was computed before.

    Histories and delays of Isaac Lab are copied; a frame stack of a camera term, a filter and a task's own memory are
    advanced by every computation, so that members could not observe what their leader observed.
    """
    function = term_cfg.func
    keeps: list[Any] = [
        modifier.func for modifier in term_cfg.modifiers or () if isinstance(modifier.func, ModifierBase)
    ]
    if isinstance(function, ManagerTermBase) and (
        buffers_of_term(function, "observation", name) or term_cfg.params.get("frame_stack", 1) != 1
    ):
        keeps.insert(0, function)
    if keeps:
        raise ValueError(
            f"Groups cannot start from the same state: the observation term `{name}` remembers earlier observations"
            f" ({type(keeps[-1]).__name__}), which are not copied. Use `env.observations.{name}.history_length`"
            " instead, or remove it."
        )


def copy_event_timers(events: EventManager, sources: torch.Tensor, targets: torch.Tensor) -> None:
    """Copy when each environment's event terms act next."""
    intervals = zip(events.active_terms.get("interval", ()), events._interval_term_time_left, strict=True)
    timers = [timer for name, timer in intervals if not events.get_term_cfg(name).is_global_time]
    for timer in (*timers, *events._reset_term_last_triggered_step_id, *events._reset_term_last_triggered_once):
        timer[targets] = timer[sources]


def copy_rows(owner: Any, names: Iterable[str], sources: torch.Tensor, targets: torch.Tensor) -> None:
    """Copy rows of the owner's tensors from ``sources`` to ``targets``, both of shape (n,)."""
    for name in names:
        buffer = getattr(owner, name, None)
        if buffer is None:
            continue
        if buffer.is_inference() and not torch.is_inference_mode_enabled():
            # what a rollout left here may not be written to outside inference mode
            buffer = buffer.clone()
            setattr(owner, name, buffer)
        buffer[targets] = buffer[sources]


def copy_scene(scene: InteractiveScene, sources: torch.Tensor, targets: torch.Tensor) -> None:
    """Copy poses, velocities and joint targets, relative to the environments' origins, from the environments
    ``sources`` to ``targets``, each of shape (n,), int32."""
    put_scene(scene, scene_rows(scene, sources), targets)
    scene.write_data_to_sim()


_TARGETS = ("position", "velocity", "effort")

_SEPARATOR = "."


def scene_rows(scene: InteractiveScene, sources: torch.Tensor | slice = slice(None)) -> dict[str, torch.Tensor]:
    """Poses and velocities, relative to the environments' origins, and joint targets of some environments, (n,).

    Returns:
        Such as ``state.rigid_object.cube.root_pose`` or ``targets.robot.position`` -> (n, ...).
    """
    state: Any = {"state": scene.get_state(is_relative=True)}
    rows = {name: values[sources] for name, values in _leaves(state)}
    for name, articulation in scene.articulations.items():
        command = articulation.actuators.target_command
        rows |= {_SEPARATOR.join(("targets", name, kind)): getattr(command, kind).torch[sources] for kind in _TARGETS}
    return rows


def put_scene(scene: InteractiveScene, rows: Mapping[str, torch.Tensor], targets: torch.Tensor) -> None:
    """Put what :func:`scene_rows` gives into the environments ``targets``, (n,) int32."""
    state: dict[str, Any] = {}
    for name, values in rows.items():
        *parts, last = name.split(_SEPARATOR)
        place = state
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = values
    scene.reset_to(state["state"], targets, is_relative=True)  # type: ignore[arg-type]
    for name, articulation in scene.articulations.items():
        # Isaac Lab sets the targets to where the joints are, which would let go of what a gripper holds
        command = articulation.actuators.target_command
        wanted = state["targets"][name]
        command.set_position_index(value=wanted["position"], env_ids=targets)
        command.set_velocity_index(value=wanted["velocity"], env_ids=targets)
        command.set_effort_index(value=wanted["effort"], env_ids=targets)


def _leaves(tree: Mapping[str, Any], *parents: str) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, *parents, name)
        else:
            yield _SEPARATOR.join((*parents, name)), value


def refresh_frames(sim: Any) -> None:
    """Bring body poses, and what frame sensors read, up to a state that was written without a physics step."""
    sim.forward()
    refresh_frame_sensors(sim)


def refresh_frame_sensors(sim: Any) -> None:
    """Bring Newton's own sensors, from which Isaac Lab's frame sensors copy, up to a state that was written without a
    physics step: they follow physics steps only. Nothing to do under PhysX."""
    sensors = getattr(sim.physics_manager, "_newton_frame_transform_sensors", ())
    if sensors:
        sim.forward()
    for sensor in sensors:
        sensor.update(sim.physics_manager.backend.state_0)


def copy_histories(group_buffers: Iterable[Any], sources: torch.Tensor, targets: torch.Tensor) -> None:
    """Copy rows of Isaac Lab's history and delay buffers."""
    for buffer in group_buffers:
        copy_rows(buffer, ("_num_pushes", "_time_lags"), sources, targets)
        if buffer._buffer is not None:
            rows = _rows_first(buffer)
            rows[targets] = rows[sources]


def keep_histories(buffer: Any, kept: Any, rows: torch.Tensor) -> None:
    """Take back what the latest sample did to some rows, (n,), of a history or delay buffer, from a copy of the buffer
    that was made before the sample."""
    for name in ("_num_pushes", "_time_lags"):
        if hasattr(buffer, name):
            getattr(buffer, name)[rows] = getattr(kept, name)[rows]
    if hasattr(buffer, "_need_reset"):
        # a row that had no sample before has none again
        buffer._need_reset = True
    if kept._buffer is None:
        return
    before = _rows_first(kept)
    if hasattr(buffer, "_write_index"):
        # a ring: all rows share its position, which has moved on by one
        before = before.roll(1, dims=1)
    _rows_first(buffer)[rows] = before[rows]


def _rows_first(buffer: Any) -> torch.Tensor:
    """View of a buffer's samples. Shape (num_envs, ...)."""
    samples = buffer._buffer
    if samples.is_inference() and not torch.is_inference_mode_enabled():
        samples = buffer._buffer = samples.clone()
    return samples if getattr(buffer, "_stack_dim_internal", None) is not None else samples.transpose(0, 1)
