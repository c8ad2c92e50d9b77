# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a task file to the config of its environment: the base task's, and what the file says besides."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import isaaclab.sim as sim_utils
import torch
from isaaclab.assets import ArticulationCfg
from isaaclab.envs import DirectRLEnvCfg
from isaaclab.envs.utils.video_recorder_cfg import VideoRecorderCfg
from isaaclab.managers import (
    EventTermCfg,
    ObservationGroupCfg,
    ObservationTermCfg,
    RewardTermCfg,
    SceneEntityCfg,
    TerminationTermCfg,
)
from isaaclab.sensors import CameraCfg
from isaaclab.utils import configclass
from isaaclab.utils.math import quat_from_matrix
from isaaclab_tasks.utils import PresetCfg
from isaaclab_tasks.utils.presets import MultiBackendRendererCfg

from gr00t_rl_ext.randomisation.terms import add_event, randomise
from gr00t_rl_ext.robot.task_spec import STATE, TASK
from gr00t_rl_ext.tasks.files import direct
from gr00t_rl_ext.tasks.files.base import UnknownBaseError, base_cfg, by_default, make_ready
from gr00t_rl_ext.tasks.files.reading import Source, similar
from gr00t_rl_ext.tasks.files.robot import links_of, replace_robot
from gr00t_rl_ext.tasks.files.schema import RGB, Camera, Pose, Reward, Success, TaskFile
from gr00t_rl_ext.tasks.files.terms import check_hold, function, params
from gr00t_rl_ext.tasks.overrides import check_override_paths, paths_of, set_values
from gr00t_rl_ext.tasks.several import OfTask, Solved, TaskCommandCfg, task_observation
from gr00t_rl_ext.tasks.starts import Starts, recorded_states

APERTURE = 20.955
"""Horizontal aperture of the cameras [mm]."""


def environment_cfg(source: Source) -> Any:
    """The config of a task file's environment.

    Raises:
        TaskFileError: It names something that the base task does not have.
    """
    task = source.task
    try:
        base = base_cfg(task.base)
    except UnknownBaseError as error:
        raise source.error(("base",), str(error)) from error
    kind = type(base)

    def complete(self: Any) -> None:
        if hasattr(kind, "__post_init__"):
            kind.__post_init__(self)
        _complete(self, source)

    texts = {"task_file": str(source.path)}
    if not task.told:
        # a field of its own, so that `env.instruction=...` overrides it
        (texts["instruction"],) = task.instruction
    fields = {"__annotations__": dict.fromkeys(texts, str), **texts, "__post_init__": complete}
    return configclass(type("TaskFileEnvCfg", (kind,), {**fields, "__module__": __name__}))()


def _complete(cfg: Any, source: Source) -> None:
    task, is_direct = source.task, isinstance(cfg, DirectRLEnvCfg)
    make_ready(cfg)
    cfg.scene.num_envs = task.num_envs
    if task.episode_length_s is not None:
        cfg.episode_length_s = task.episode_length_s
    # first: what a file removes need not fit its robot
    _set_fields(source, cfg)
    if task.robot is not None:
        if is_direct:
            raise source.error(
                ("robot",), "a direct task names joints and bodies in its code; expected one with managers"
            )
        replace_robot(source, cfg)
        if given := task.env.get("scene", {}).get(task.robot.part):
            # of the new one
            _set_fields(source, cfg, {"scene": {task.robot.part: given}})
    if is_direct and not isinstance(task.rewards, str):
        raise source.error(("rewards",), "a direct task has no terms of the reward; expected keep or success")
    if is_direct and task.told:
        place = ("instruction",) if task.tasks is None else ("tasks",)
        raise source.error(place, "a direct task has one instruction; several are for tasks with managers")
    if not is_direct and task.state_buffers is not None:
        raise source.error(("state_buffers",), "it is for direct tasks; terms of managers declare their own")
    for name, camera in task.cameras.items():
        if camera == "keep":
            _require_camera(source, cfg.scene, name)
            continue
        _require_free(source, cfg.scene, ("cameras", name))
        setattr(cfg.scene, name, camera_cfg(source, cfg, name, camera))
    # without Isaac Sim, `--video` films by a camera of the task
    first = next(iter(task.cameras))
    cfg.video_recorders = [VideoRecorderCfg(source=f"sensor:{first}", output_filename_prefix=first)]
    _add_starts(source, cfg)
    randomise(cfg, task.randomise)
    if is_direct:
        # the rest is the environment's, see ``direct``; what it names is checked now
        direct.base_class(source)
        direct.success_of(source, cfg)
        direct.state_terms(source, cfg)
        return
    setattr(cfg.observations, RGB, _group({name: _image_term(name) for name in task.cameras}))
    setattr(cfg.observations, STATE, _group(_state_terms(source, cfg)))
    if task.told:
        _add_tasks(cfg, task)
    cfg.terminations.success = _success(source, cfg)
    cfg.rewards = _rewards(source, cfg)


def _set_fields(source: Source, cfg: Any, given: dict[str, Any] | None = None) -> None:
    """What the file sets of the base task's own config."""
    given = source.task.env if given is None else given
    try:
        check_override_paths([f"env.{path}={value!r}" for path, value in paths_of(given)], cfg, None)
        set_values(cfg, given)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise source.error(("env",), str(error.args[0] if error.args else error)) from error


def _require_free(source: Source, scene: Any, place: tuple[str, str]) -> None:
    if getattr(scene, place[1], None) is not None:
        text = f"the base task's scene has a part of this name already: {type(scene).__name__}"
        raise source.error(place, f"{text}. Choose another one, or `keep` for a camera of that scene")


def _add_starts(source: Source, cfg: Any) -> None:
    """Let episodes begin nearer to success, where a training asks for it."""
    terms = {}
    for name, start in source.task.starts.items():
        if start.states is not None:
            file = source.path.parent / Path(start.states).expanduser()
            if not file.is_file():
                text = f"there is no file {str(file)!r}; `record_demonstrations.py --states FILE` writes one"
                raise source.error(("starts", name, "states"), text)
            func: Any = recorded_states
            arguments = {"file": str(file), "progress": list(start.progress)}
        else:
            func = function(source, cfg, ("starts", name, "func"), str(start.func))
            arguments = params(source, cfg, ("starts", name), start.params)
        if inspect.isclass(func):
            raise source.error(("starts", name, "func"), f"{func.__name__} is a class; expected a plain function")
        terms[name] = EventTermCfg(func=func, mode="reset", params=arguments)
    if terms:
        add_event(cfg, "starts", EventTermCfg(func=Starts, mode="reset", params={"starts": terms}))


# Cameras


def _require_camera(source: Source, scene: Any, name: str) -> None:
    if isinstance(getattr(scene, name, None), PresetCfg):
        raise source.error(("cameras", name), "it is a choice of presets in the base task, which cannot be kept")
    known = [part for part, what in vars(scene).items() if isinstance(what, CameraCfg)]
    if name not in known:
        text = (
            f"the base task's scene has no camera {name!r}{similar(name, known)}. It has: {', '.join(known) or 'none'}"
        )
        raise source.error(("cameras", name), text)


def camera_cfg(source: Source, cfg: Any, name: str, camera: Camera) -> CameraCfg:
    """The config of a camera."""
    place = "{ENV_REGEX_NS}" if camera.body is None else body_path(source, cfg, name, camera.body)
    height, width = camera.size
    return CameraCfg(
        prim_path=f"{place}/{name}",
        update_period=0.0,
        height=height,
        width=width,
        data_types=["rgb"],
        # without it, a camera on a moving link stays where it was at the start
        update_latest_camera_pose=camera.body is not None,
        spawn=sim_utils.PinholeCameraCfg(
            focal_length=APERTURE / (2.0 * math.tan(math.radians(camera.field_of_view) / 2.0)),
            focus_distance=400.0,
            horizontal_aperture=APERTURE,
            clipping_range=(0.02, 10.0),
        ),
        offset=CameraCfg.OffsetCfg(pos=camera.pose.position, rot=orientation(camera.pose), convention="ros"),
        renderer_cfg=MultiBackendRendererCfg(),
    )


def orientation(pose: Pose) -> tuple[float, float, float, float]:
    """Of a camera that looks at a point, as a quaternion (x, y, z, w): z forward, x right, y down."""
    position, target, up = (torch.tensor(v, dtype=torch.float64) for v in (pose.position, pose.look_at, pose.up))
    forward = torch.nn.functional.normalize(target - position, dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    down = torch.linalg.cross(forward, right)
    x, y, z, w = quat_from_matrix(torch.stack([right, down, forward], dim=1)).tolist()
    return x, y, z, w


def body_path(source: Source, cfg: Any, camera: str, body: str) -> str:
    """Prim path of a body of a robot of the scene, in full: a regular expression does not resolve under Newton.

    Raises:
        TaskFileError: There is no such body.
    """
    place, known = ("cameras", camera, "body"), []
    for robot in (part for part in vars(cfg.scene).values() if isinstance(part, ArticulationCfg)):
        if getattr(robot.spawn, "usd_path", None) is None:
            continue
        bodies = links_of(robot.spawn).bodies
        if body in bodies:
            return robot.prim_path + bodies[body]
        known += bodies
    raise source.error(
        place, f"there is no body {body!r}{similar(body, known)}. There are: {', '.join(known) or 'none'}"
    )


def _image_term(camera: str) -> ObservationTermCfg:
    from isaaclab.envs import mdp

    return ObservationTermCfg(func=mdp.image_rgb, params={"sensor_cfg": SceneEntityCfg(camera), "normalize": False})


# Terms


def _group(terms: Mapping[str, Any]) -> ObservationGroupCfg:
    """An observation group without noise, its terms next to each other."""
    group = _with_terms("TaskFileGroupCfg", terms, ObservationTermCfg, ObservationGroupCfg)
    group.enable_corruption, group.concatenate_terms = False, True
    return group


def _with_terms(name: str, terms: Mapping[str, Any], kind: type, *bases: type) -> Any:
    """A part of a config with some terms as its fields."""
    fields = {"__annotations__": dict.fromkeys(terms, kind), **terms, "__module__": __name__}
    return configclass(type(name, bases, fields))()


def _terms(part: Any, kind: type) -> dict[str, Any]:
    """Terms of a part of a config; those of presets, which are chosen later, included."""
    return {name: term for name, term in vars(part).items() if isinstance(term, (kind, PresetCfg))}


def _state_terms(source: Source, cfg: Any) -> dict[str, Any]:
    known = {
        name: term
        for group in vars(cfg.observations).values()
        if isinstance(group, ObservationGroupCfg)
        for name, term in _terms(group, ObservationTermCfg).items()
    }
    found: dict[str, Any] = {}
    for number, entry in enumerate(source.task.state.terms):
        place = ("state", "terms", number)
        if isinstance(entry, dict):
            for name, term in entry.items():
                func = function(source, cfg, (*place, name, "func"), term.func)
                found[name] = ObservationTermCfg(func=func, params=params(source, cfg, (*place, name), term.params))
        elif entry in known:
            # without noise, which a group may leave out as a whole
            found[entry] = known[entry]
        else:
            raise source.error(
                place,
                f"the base task has no observation term {entry!r}{similar(entry, list(known))}. It has:"
                f" {', '.join(known)}. A new one is {{{entry}: {{func: NAME}}}}",
            )
    return found


def _add_tasks(cfg: Any, task: TaskFile) -> None:
    """Let each episode have one of several instructions, and be observed which."""
    if hasattr(cfg, "instruction"):
        # the base task's, which nobody is told
        cfg.instruction = None
    if cfg.commands is None:
        cfg.commands = _with_terms("TaskFileCommandsCfg", {}, TaskCommandCfg)
    setattr(cfg.commands, TASK, TaskCommandCfg(told=task.told))
    setattr(cfg.observations, TASK, _group({TASK: ObservationTermCfg(func=task_observation)}))


def _success(source: Source, cfg: Any) -> Any:
    task = source.task
    if task.tasks is None:
        by_place: dict[tuple[str, ...], Success] = {("success",): task.success}
    else:
        by_place = {("tasks", name, "success"): one.success for name, one in task.tasks.items()}
    # one alone that needs not hold is taken as it is, with values of its own or presets
    alone = len(by_place) == 1 and not any(success.hold_s for success in by_place.values())
    terms = []
    for place, success in by_place.items():
        check_hold(source, cfg, place, success.hold_s)
        terms.append(_termination(source, cfg, place, success, plain=not alone))
    for success in by_place.values():
        if success.term not in (None, "success"):
            # one and the same end of an episode
            setattr(cfg.terminations, success.term, None)
    if alone:
        return terms[0]
    seconds = [success.hold_s for success in by_place.values()]
    return TerminationTermCfg(func=Solved, params={"terms": terms, "seconds": seconds})


def _termination(source: Source, cfg: Any, place: tuple[str, ...], success: Success, plain: bool = True) -> Any:
    """A success as a termination; ``plain``: whether it must be a function without values of its own."""
    if success.func is not None:
        func = function(source, cfg, (*place, "func"), success.func)
        term: Any = TerminationTermCfg(func=func, params=params(source, cfg, place, success.params))
    else:
        known = _terms(cfg.terminations, TerminationTermCfg)
        if success.term not in known:
            raise source.error(
                place,
                f"the base task has no termination {success.term!r}{similar(str(success.term), list(known))}. It has:"
                f" {', '.join(known)}. A new one is {{func: NAME, params: {{...}}}}",
            )
        term = known[success.term]
        if getattr(term, "time_out", False):
            raise source.error(place, f"the termination {success.term!r} is the time limit, which is no success")
    if not plain:
        return term
    what = "hold_s" if success.hold_s else "one of several tasks"
    if not isinstance(term, TerminationTermCfg):
        raise source.error(place, f"the base task's success is a choice of presets; {what} needs a func instead")
    if inspect.isclass(term.func):
        raise source.error(place, f"{term.func.__name__} keeps values of its own; {what} needs a plain function")
    return term


def _rewards(source: Source, cfg: Any) -> Any:
    from isaaclab.envs import mdp

    task, kept = source.task, {}
    of_tasks = _rewards_of_tasks(source, cfg)
    if task.rewards == "keep":
        if not of_tasks:
            return cfg.rewards
        kept = _terms(cfg.rewards, RewardTermCfg)
    elif task.rewards == "success":
        step = by_default(cfg.sim).dt * by_default(cfg.decimation)
        kept = {
            "success": RewardTermCfg(func=mdp.is_terminated_term, weight=1.0 / step, params={"term_keys": "success"})
        }
    else:
        kept = {name: _reward(source, cfg, ("rewards", name), term) for name, term in task.rewards.items()}
    if task.rewards != "keep":
        # a curriculum may change the weights of terms that are gone
        cfg.curriculum = None
    return _with_terms("TaskFileRewardsCfg", {**kept, **of_tasks}, RewardTermCfg)


def _rewards_of_tasks(source: Source, cfg: Any) -> dict[str, RewardTermCfg]:
    terms = {}
    for number, (task, one) in enumerate((source.task.tasks or {}).items()):
        for name, reward in one.rewards.items():
            place = ("tasks", task, "rewards", name)
            term = _reward(source, cfg, place, reward)
            if inspect.isclass(term.func):
                text = f"{term.func.__name__} keeps values of its own; a reward of one task needs a plain function"
                raise source.error(place, text)
            terms[f"{task}__{name}"] = RewardTermCfg(
                func=OfTask, weight=reward.weight, params={"term": term, "task": number}
            )
    return terms


def _reward(source: Source, cfg: Any, place: tuple[str, ...], reward: Reward) -> RewardTermCfg:
    func = function(source, cfg, (*place, "func"), reward.func)
    return RewardTermCfg(func=func, weight=reward.weight, params=params(source, cfg, place, reward.params))
