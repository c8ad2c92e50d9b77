# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Another robot in a base task: its config, and what the task names of the former one."""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg
from isaaclab.managers import SceneEntityCfg
from isaaclab.sensors import FrameTransformerCfg
from isaaclab.utils import replace
from isaaclab.utils.assets import retrieve_file_path
from isaaclab.utils.string import resolve_matching_names_values
from isaaclab_physx.sim.schemas import PhysxArticulationCfg, PhysxRigidBodyCfg

from gr00t_rl_ext.assets.urdf import UrdfError, robot_usd
from gr00t_rl_ext.tasks.files.base import by_default
from gr00t_rl_ext.tasks.files.reading import Source, similar
from gr00t_rl_ext.tasks.files.schema import Robot
from gr00t_rl_ext.tasks.files.terms import function

_JOINTS = ("joint_names", "joint_names_expr", "gripper_joint_names")
_BODIES = ("body_names", "body_name")
"""Fields of configs that name joints and bodies."""

_COMMANDS = {"open_command_expr": "open", "close_command_expr": "closed"}
"""Fields of a binary gripper's action -> the field of the file's gripper."""


@dataclass(frozen=True)
class Links:
    """What a robot's USD has."""

    joints: tuple[str, ...]
    """Names of those that move."""

    bodies: dict[str, str]
    """Name of a body -> its path below the root, with a slash before it."""


def links_of(spawn: Any) -> Links:
    """Read joints and bodies from a robot's USD file.

    Args:
        spawn: Its spawner, with ``usd_path``, and ``variants`` where some are selected.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    from pxr import Usd, UsdPhysics

    file = retrieve_file_path(spawn.usd_path)
    try:
        stage = Usd.Stage.Open(file)
    except Exception as error:
        # pxr raises its own kinds
        raise ValueError(f"{spawn.usd_path!r} cannot be read ({type(error).__name__})") from error
    root = stage.GetDefaultPrim()
    if not root:
        raise ValueError(f"{spawn.usd_path!r} has no default prim")
    variants = getattr(spawn, "variants", None)
    with Usd.EditContext(stage, stage.GetSessionLayer()):
        for name, chosen in (variants if isinstance(variants, dict) else {}).items():
            root.GetVariantSets().SetSelection(name, str(by_default(chosen)))
    joints, bodies = [], {}
    for prim in Usd.PrimRange(root):
        if prim.IsA(UsdPhysics.RevoluteJoint) or prim.IsA(UsdPhysics.PrismaticJoint):
            joints.append(prim.GetName())
        elif "PhysicsRigidBodyAPI" in prim.GetAppliedSchemas():
            bodies[prim.GetName()] = str(prim.GetPath()).removeprefix(str(root.GetPath()))
    return Links(tuple(joints), bodies)


def replace_robot(source: Source, cfg: Any) -> None:
    """Put a file's robot into a base task's scene, and let the task name its joints and bodies.

    Args:
        source: The task file.
        cfg: The environment's config, which is changed.

    Raises:
        TaskFileError: There is no such robot, or the task names something that it does not have.
    """
    robot: Robot = source.task.robot
    former = getattr(cfg.scene, robot.part, None)
    if not isinstance(former, ArticulationCfg):
        known = [name for name, part in vars(cfg.scene).items() if isinstance(part, ArticulationCfg)]
        text = (
            f"the scene has no robot {robot.part!r}{similar(robot.part, known)}. It has: {', '.join(known) or 'none'}"
        )
        raise source.error(("robot", "part"), text)
    made = _articulation(source, robot, former)
    links = _links(source, made)
    _place(source, robot, made, links)
    setattr(cfg.scene, robot.part, made)
    _Renaming(source, robot, former.prim_path, links).apply(cfg)


def _articulation(source: Source, robot: Robot, former: ArticulationCfg) -> ArticulationCfg:
    """A robot of its own, as its cfg or file has it."""
    if robot.cfg is not None:
        if ":" not in robot.cfg:
            raise source.error(("robot", "cfg"), f"{robot.cfg!r} is no config; expected module:NAME")
        found = function(source, None, ("robot", "cfg"), robot.cfg)
        if not isinstance(found, ArticulationCfg):
            raise source.error(("robot", "cfg"), f"{robot.cfg!r} is a {type(found).__name__}; expected ArticulationCfg")
        return replace(found, prim_path=former.prim_path)
    half = math.radians(robot.yaw) / 2
    return ArticulationCfg(
        prim_path=former.prim_path,
        spawn=sim_utils.UsdFileCfg(
            usd_path=_usd_of(source, robot),
            activate_contact_sensors=getattr(former.spawn, "activate_contact_sensors", False),
            rigid_props=PhysxRigidBodyCfg(disable_gravity=robot.disable_gravity, max_depenetration_velocity=5.0),
            articulation_props=PhysxArticulationCfg(
                enabled_self_collisions=False, solver_position_iteration_count=16, solver_velocity_iteration_count=1
            ),
        ),
        init_state=ArticulationCfg.InitialStateCfg(
            pos=former.init_state.pos,
            rot=(0.0, 0.0, math.sin(half), math.cos(half)),
            joint_pos={".*": 0.0},
        ),
        actuators={
            "joints": ImplicitActuatorCfg(joint_names_expr=[".*"], stiffness=robot.stiffness, damping=robot.damping)
        },
    )


def _place(source: Source, robot: Robot, made: ArticulationCfg, links: Links) -> None:
    """Give a robot the position and the default joint positions of the file."""
    if unknown := [name for name in robot.joint_pos if name not in links.joints]:
        text = f"the robot has no joint {unknown[0]!r}{similar(unknown[0], links.joints)}."
        raise source.error(("robot", "joint_pos", unknown[0]), f"{text} It has: {', '.join(links.joints)}")
    # expressions for several joints would meet those that are given
    _, names, values = resolve_matching_names_values(made.init_state.joint_pos, links.joints)
    joint_pos = {**dict(zip(names, values, strict=True)), **robot.joint_pos}
    made.init_state = replace(made.init_state, joint_pos=joint_pos, pos=robot.position or made.init_state.pos)


def _links(source: Source, made: ArticulationCfg) -> Links:
    """Joints and bodies of a robot."""
    place = ("robot", "cfg" if source.task.robot.file is None else "file")
    if getattr(made.spawn, "usd_path", None) is None:
        kind = type(made.spawn).__name__
        text = f"its spawner is a {kind}, of which joints and bodies are not known; expected a USD file"
        raise source.error(place, text)
    try:
        return links_of(made.spawn)
    except (FileNotFoundError, ValueError) as error:
        raise source.error(place, str(error)) from error


def _usd_of(source: Source, robot: Robot) -> str:
    """Path of the USD file of a robot that is a file."""
    place, given = ("robot", "file"), str(robot.file)
    distribution, _, inner = given.partition(":")
    file = source.path.parent / Path(given).expanduser()
    if not file.is_file() and distribution and inner:
        try:
            listed = importlib.metadata.distribution(distribution).files or ()
        except importlib.metadata.PackageNotFoundError as error:
            raise source.error(
                place, f"no package {distribution!r} is installed: pip install {distribution}"
            ) from error
        file = next((Path(str(f.locate())).resolve() for f in listed if f"/{f.as_posix()}".endswith(f"/{inner}")), file)
    if not file.is_file():
        raise source.error(place, f"there is no file {given!r}")
    if file.suffix in (".usd", ".usda", ".usdc"):
        return str(file)
    if file.suffix != ".urdf":
        raise source.error(place, f"{given!r} ends in {file.suffix!r}; expected .usd, .usda, .usdc or .urdf")
    try:
        return str(robot_usd(file))
    except UrdfError as error:
        raise source.error(place, str(error)) from error


class _Renaming:
    """Changes the names of joints and bodies in a config.

    Args:
        source: The task file.
        robot: Its robot.
        prim_path: Of the robot in the scene.
        links: Its joints and bodies.
    """

    def __init__(self, source: Source, robot: Robot, prim_path: str, links: Links) -> None:
        self.source, self.robot, self.prim_path, self.links = source, robot, prim_path, links
        self.missing: list[str] = []
        self.on_robot = {robot.part}
        """Parts of the scene whose joints and bodies are the robot's: itself, and sensors on it."""

    def apply(self, cfg: Any) -> None:
        gripper = [] if self.robot.gripper is None else [("gripper", self.robot.gripper.joints)]
        for field, name in (*(("names", name) for name in self.robot.names.values()), *gripper):
            for one in [name] if isinstance(name, str) else name:
                known = (*self.links.joints, *(self.links.bodies if field == "names" else ()))
                if one not in known:
                    kind = "joint or body" if field == "names" else "joint"
                    text = f"the robot has no {kind} {one!r}{similar(one, known)}. It has: {', '.join(known)}"
                    raise self.source.error(("robot", field), text)
        self.on_robot = {
            self.robot.part,
            *(
                name
                for name, part in vars(cfg.scene).items()
                if str(getattr(part, "prim_path", "")).startswith(f"{self.prim_path}/")
                and not isinstance(part, FrameTransformerCfg)
            ),
        }
        for name, part in vars(cfg).items():
            if name != "scene" and not name.startswith("_"):
                self._walk(part, name)
        for name, part in vars(cfg.scene).items():
            if name != self.robot.part:
                self._walk(part, f"scene.{name}")
        for name in _JOINTS:
            if isinstance(getattr(cfg, name, None), list):
                setattr(cfg, name, self._names(getattr(cfg, name), self.links.joints, name))
        if self.missing:
            more = f" (and {len(self.missing) - 5} more)" if len(self.missing) > 5 else ""
            raise self.source.error(
                ("robot", "names"),
                f"the base task names what this robot does not have: {'; '.join(self.missing[:5])}{more}. Say in"
                f" robot.names what stands for them. Joints: {', '.join(self.links.joints)}. Bodies:"
                f" {', '.join(self.links.bodies)}",
            )

    def _walk(self, node: Any, place: str, seen: tuple[int, ...] = ()) -> None:
        if id(node) in seen or isinstance(node, type):
            return
        seen = (*seen, id(node))
        if isinstance(node, SceneEntityCfg):
            if node.name in self.on_robot:
                self._fields(node, place)
            return
        if isinstance(node, FrameTransformerCfg):
            self._frames(node, place)
            return
        if isinstance(node, dict):
            for name, value in node.items():
                self._walk(value, f"{place}.{name}", seen)
        elif isinstance(node, (list, tuple)):
            for number, value in enumerate(node):
                self._walk(value, f"{place}.{number}", seen)
        elif hasattr(node, "__dict__") and hasattr(node, "to_dict"):
            if getattr(node, "asset_name", None) == self.robot.part:
                self._fields(node, place)
            if isinstance(path := getattr(node, "prim_path", None), str) and path.startswith(f"{self.prim_path}/"):
                node.prim_path = self._path(path, place)
            for name, value in list(vars(node).items()):
                if name not in (*_JOINTS, *_BODIES, *_COMMANDS):
                    self._walk(value, f"{place}.{name}", seen)

    def _fields(self, node: Any, place: str) -> None:
        for names, known in ((_JOINTS, self.links.joints), (_BODIES, tuple(self.links.bodies))):
            for name in names:
                value = getattr(node, name, None)
                if isinstance(value, str):
                    found = self._names([value], known, f"{place}.{name}")
                    setattr(node, name, found[0] if len(found) == 1 else found)
                elif isinstance(value, (list, tuple)) and value:
                    setattr(node, name, self._names(list(value), known, f"{place}.{name}"))
        offset = getattr(node, "body_offset", None)
        if "hand_offset" in self.robot.model_fields_set and offset is not None:
            offset.pos = self.robot.hand_offset
        for name, which in _COMMANDS.items():
            if isinstance(getattr(node, name, None), dict):
                self._gripper(node, place, name, which)

    def _gripper(self, node: Any, place: str, name: str, which: str) -> None:
        gripper = self.robot.gripper
        if gripper is None:
            # once, not for each preset
            text = "the base task opens and closes a gripper, of which robot.gripper tells nothing"
            self.missing += [] if text in self.missing else [text]
            return
        node.joint_names = list(gripper.joints)
        setattr(node, name, dict.fromkeys(gripper.joints, getattr(gripper, which)))

    def _names(self, names: list[str], known: tuple[str, ...], place: str) -> list[str]:
        return list(dict.fromkeys(new for name in names for new in self._renamed(name, known, place)))

    def _renamed(self, name: str, known: tuple[str, ...], place: str) -> Iterator[str]:
        stands = self.robot.names.get(name)
        if stands is not None:
            yield from [stands] if isinstance(stands, str) else stands
            return
        if self.robot.gripper is not None and "finger" in name and known is self.links.joints:
            yield from self.robot.gripper.joints
            return
        if not any(re.fullmatch(name, one) for one in known):
            self.missing.append(f"{place} names {name!r}")
        yield name

    def _path(self, path: str, place: str) -> str:
        """A prim path on the robot, in full, by its last name. One that is an expression for several stays."""
        last = _last(path)
        if last == path:
            return path
        # a sensor's own prim may lie below the body
        for name in (last, _last(path.rpartition("/")[0])):
            body = self.robot.names.get(name, name)
            if isinstance(body, str) and body in self.links.bodies:
                rest = "" if name == last else f"/{last}"
                return f"{self.prim_path}{self.links.bodies[body]}{rest}"
        self.missing.append(f"{place} is at {last!r}")
        return path

    def _frames(self, frames: Any, place: str) -> None:
        def is_on_robot(path: str) -> bool:
            return path.startswith(f"{self.prim_path}/")

        if is_on_robot(frames.prim_path):
            frames.prim_path = f"{self.prim_path}{next(iter(self.links.bodies.values()))}"
        on_robot = [frame for frame in frames.target_frames if is_on_robot(frame.prim_path)]
        for frame in on_robot:
            frame.prim_path = self._path(frame.prim_path, f"{place}.{frame.name}")
        if on_robot and "hand_offset" in self.robot.model_fields_set:
            # the first one is the hand's, as the tasks of Isaac Lab read them
            on_robot[0].offset.pos = list(self.robot.hand_offset)


def _last(path: str) -> str:
    """The last name of a prim path, which may be a regular expression such as ``Robot/(Geometry/.*/)?hand``."""
    found = re.search(r"\w+$", path)
    return found.group() if found else path
