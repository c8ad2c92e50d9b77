# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What groups can share although it is no state (a grasp), and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

NUM_ENVS = 4
LEADER = 2


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env("Isaac-Stack-Cube-Franka-IK-Rel-v0", NUM_ENVS)


def height(env: Any) -> torch.Tensor:
    """Of the cube above where it lay [m]. Shape (num_envs,)."""
    return env.scene["cube_2"].data.root_pos_w.torch[:, 2] - env.scene.env_origins[:, 2] - 0.0203


def test_followers_hold_what_the_leader_holds(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contact forces are not copied, but the fingers' poses and targets are: they press in the next step."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "assets"))
    from scripted_lift import ScriptedLift

    env.configure_decisions(1, observation_groups=["privileged"])
    env.configure_groups(NUM_ENVS)
    env.reset(seed=3)
    script = ScriptedLift(env)
    idle = torch.tensor([0.0] * 6 + [1.0])
    for step in range(script.end_of("lift")):
        action = idle.repeat(NUM_ENVS, 1)
        action[LEADER] = script.action(step)[LEADER]
        env.step(action)
    assert height(env)[LEADER] > 0.1, "the leader holds its cube in the air"
    assert height(env)[[0, 1, 3]].max() < 0.01, "the followers never touched theirs"
    env.share_states([LEADER])
    for step in range(script.end_of("lift"), script.end_of("hold")):
        env.step(script.action(step)[LEADER].repeat(NUM_ENVS, 1))
        assert height(env).min() > 0.1
        assert (height(env) - height(env)[LEADER]).abs().max() < 1e-4
    env.step(idle.repeat(NUM_ENVS, 1))


def noted(env: Any, env_ids: Any, asset_cfg: Any = None) -> None:
    """An event function of a task."""


def test_event_functions(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import isaaclab.envs.mdp as mdp

    from gr00t_rl_ext.envs.groups import state_only

    term = env.event_manager.get_term_cfg("randomize_joint_state")
    env.configure_groups(2)
    for function, name in (
        (mdp.randomize_rigid_body_mass, "isaaclab.envs.mdp.events.randomize_rigid_body_mass"),
        (mdp.push_by_setting_velocity, "isaaclab.envs.mdp.events.push_by_setting_velocity"),
        (noted, f"{__name__}.noted"),
    ):
        monkeypatch.setattr(term, "func", function)
        message = rf"event term `randomize_joint_state` \({name}, mode 'reset'\) may change more than the state"
        with pytest.raises(ValueError, match=message) as refused:
            env.configure_groups(2)
        assert "`env.events.randomize_joint_state=null`" in str(refused.value)
        assert "`gr00t_rl_ext.envs.groups.state_only`" in str(refused.value)
    monkeypatch.setattr(term, "func", state_only(lambda env, env_ids: None))
    env.configure_groups(2)
    # a term that is a class is an object by now
    monkeypatch.setattr(term, "func", mdp.reset_root_state_uniform(term, env))
    env.configure_groups(2)


def test_events_at_times_of_their_own(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their function may be harmless, but it acts on the members at different times."""
    manager = env.event_manager
    monkeypatch.setattr(manager, "_mode_term_names", {"interval": manager._mode_term_names["reset"]})
    monkeypatch.setattr(manager, "_mode_term_cfgs", {"interval": manager._mode_term_cfgs["reset"]})
    with pytest.raises(ValueError, match="mode 'interval'.* acts on each environment at its own time"):
        env.configure_groups(2)


def test_scene_entities(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from isaaclab.actuators import DelayedPDActuator

    scene = env.scene
    for attribute, kind in (("_rigid_object_collections", "rigid object collection"), ("_surface_grippers", "gripper")):
        with monkeypatch.context() as patch:
            patch.setattr(scene, attribute, {"bins": object()})
            with pytest.raises(ValueError, match=f"{kind} `bins` is not part of the state that is copied"):
                env.configure_groups(2)
    with monkeypatch.context() as patch:
        patch.setattr(scene, "_terrain", SimpleNamespace(cfg=SimpleNamespace(terrain_type="generator")))
        with pytest.raises(ValueError, match="terrain is of type 'generator'.*`env.scene.terrain.terrain_type=plane`"):
            env.configure_groups(2)
    with monkeypatch.context() as patch:
        patch.setitem(scene._sensors, "touch", SimpleNamespace(cfg=SimpleNamespace(update_period=0.0)))
        with pytest.raises(ValueError, match=r"sensor `touch` is a SimpleNamespace.*`env.scene.touch=null`"):
            env.configure_groups(2)
    with monkeypatch.context() as patch:
        patch.setattr(scene["table_cam"].cfg, "update_period", 0.1)
        with pytest.raises(ValueError, match=r"every 0.1 s only. Set `env.scene.table_cam.update_period=0`"):
            env.configure_groups(2)
    with monkeypatch.context() as patch:
        delayed = object.__new__(DelayedPDActuator)
        patch.setattr(scene["robot"], "actuators", {"panda_hand": delayed})
        with pytest.raises(ValueError, match="actuator `panda_hand` of `robot` is a DelayedPDActuator.*ImplicitAct"):
            env.configure_groups(2)
    with monkeypatch.context() as patch:
        layout = SimpleNamespace(world_prototype_layout=torch.tensor([0, 1, 0, 1]))
        patch.setattr(type(scene), "clone_plan", SimpleNamespace(topology=layout))
        with pytest.raises(ValueError, match="spawns different assets in different environments"):
            env.configure_groups(2)


def test_solver_iterations_that_physx_mixes(
    env: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    robot = env.scene["robot"].cfg.spawn.articulation_props[0]
    for position, velocity in ((16, 1), (8, 0)):
        monkeypatch.setattr(robot, "solver_position_iteration_count", position)
        monkeypatch.setattr(robot, "solver_velocity_iteration_count", velocity)
        caplog.clear()
        env.configure_groups(2)
        warned = "8 and 0: robot; 16 and 1: cube_1, cube_2, cube_3" in caplog.text
        assert warned == (position == 8)


def test_terms_that_keep_something(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from isaaclab.managers import ManagerTermBase

    class Progress(ManagerTermBase):
        def __init__(self, cfg: Any, env: Any) -> None:
            super().__init__(cfg, env)
            self.best = torch.arange(float(env.num_envs))

        def __call__(self, env: Any) -> torch.Tensor:
            return self.best

    term = env.reward_manager.get_term_cfg("reach")
    progress = Progress(SimpleNamespace(params={}), env)
    monkeypatch.setattr(term, "func", progress)
    with pytest.raises(ValueError, match=r"reward term `reach` is an object of the class .*Progress, whose buffers"):
        env.configure_groups(2)
    Progress.state_buffers = ("best",)  # type: ignore[attr-defined]
    env.configure_groups(2)
    env.share_states([1])
    assert progress.best.tolist() == [1.0, 1.0, 2.0, 3.0]


def test_observation_terms_with_a_memory(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from isaaclab.utils.modifiers import Integrator, IntegratorCfg, ModifierCfg

    manager = env.observation_manager
    camera = manager._group_obs_term_cfgs["rgb"][0]
    with monkeypatch.context() as patch:
        patch.setitem(camera.params, "frame_stack", 2)
        with pytest.raises(ValueError, match=r"term `rgb.table_cam` remembers earlier observations \(image_rgb\)"):
            env.configure_groups(2)
    joints = manager._group_obs_term_cfgs["state"][0]
    filtered = Integrator(IntegratorCfg(dt=0.1), (NUM_ENVS, 9), "cpu")
    monkeypatch.setattr(joints, "modifiers", [ModifierCfg(func=filtered)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`state.joint_position` remembers .*Integrator.*history_length"):
        env.configure_groups(2)


def test_groups_must_be_configured(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "_group_size", None)
    with pytest.raises(ValueError, match="no groups yet; call `configure_groups` first"):
        env.start_groups([0])
