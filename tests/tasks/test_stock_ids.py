# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's own ids on a command line that asks for an agent of ours."""

from __future__ import annotations

import gymnasium as gym
import pytest

from gr00t_rl_ext.tasks.stock_ids import STOCK_IDS, of_isaaclab, task_of_ours, with_task_of_ours


def test_every_id_is_isaac_labs_and_stands_for_tasks_of_ours() -> None:
    import isaaclab_tasks  # noqa: F401

    for stock, ours in STOCK_IDS.items():
        assert gym.registry[stock].kwargs["env_cfg_entry_point"].startswith("isaaclab_tasks."), stock
        for task in ours:
            assert any(name.startswith(("gr00t_", "mlp_")) for name in gym.registry[task].kwargs), task


@pytest.mark.parametrize(
    ("task", "agent", "expected"),
    [
        ("Isaac-Reach-Franka", "gr00t_ppo", "Gr00t-Reach-Goal-Franka"),
        ("Isaac-Reach-Franka-v0", "gr00t_flow_grpo", "Gr00t-Reach-Goal-Franka"),
        ("Isaac-Reach-Franka", "rsl_rl_cfg_entry_point", None),  # Isaac Lab's own
        ("Isaac-Reach-Franka", "gr00t_pppo", None),  # nobody's: the error lists what there is
        ("Isaac-Cartpole", "mlp_ppo", "Isaac-Cartpole-State-v0"),
        ("Isaac-Cartpole", "gr00t_adapter_ppo", "Isaac-Cartpole-Camera-Continuous-v0"),
        ("Isaac-Cartpole-v0", "rsl_rl_cfg_entry_point", "Isaac-Cartpole-State-v0"),  # Isaac Lab has no such id
        ("Gr00t-Reach-Goal-Franka", "gr00t_ppo", None),
        ("gym:FetchReach-v4", "gr00t_ppo", None),
    ],
)
def test_the_first_task_that_has_the_agent(task: str, agent: str, expected: str | None) -> None:
    assert task_of_ours(task, agent) == expected


def test_a_versioned_id_of_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gym.registry, "Isaac-Reach-Franka-v0", gym.spec("CartPole-v1"))
    assert task_of_ours("Isaac-Reach-Franka-v0", "gr00t_ppo") is None


def test_the_last_value_counts_and_is_replaced_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--task", "Isaac-Cartpole", "--agent=gr00t_ppo", "--task=Isaac-Reach-Franka", "env.seed=1"]
    assert with_task_of_ours(given) == [*given[:3], "--task=Gr00t-Reach-Goal-Franka", "env.seed=1"]
    printed = capsys.readouterr().out
    assert "--task Isaac-Reach-Franka --agent gr00t_ppo: taking Gr00t-Reach-Goal-Franka" in printed
    for unchanged in (["--task"], ["--agent", "gr00t_ppo"], ["--task", "Isaac-Reach-Franka"]):
        assert with_task_of_ours(unchanged) == unchanged
    assert with_task_of_ours(["--task", "Isaac-Reach-Franka"], "gr00t_ppo") == ["--task", "Gr00t-Reach-Goal-Franka"]


@pytest.mark.parametrize("program", ["/somewhere/bin/isaaclab", "/somewhere/site-packages/isaaclab/__main__.py"])
def test_only_isaac_labs_command_line_is_changed(program: str) -> None:
    given = ["--rl_library", "rsl_rl", "--task", "Isaac-Reach-Franka", "--agent", "gr00t_ppo"]
    assert "Gr00t-Reach-Goal-Franka" in of_isaaclab([program, "play", *given])
    assert of_isaaclab([program, "list_envs", *given]) == [program, "list_envs", *given]
    assert of_isaaclab(["/somewhere/mine.py", "train", *given]) == ["/somewhere/mine.py", "train", *given]
    assert of_isaaclab([]) == []
