# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Imports run one way, and registering the tasks stays cheap."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "gr00t_rl_ext"
SOURCE = Path(__file__).parents[1] / "source"

MAY_IMPORT: dict[str, set[str]] = {
    "gr00t": set(),
    "assets": {"cache"},
    "envs": {"randomisation"},
    "randomisation": {"robot.task_spec"},
    "footprint": set(),
    "robot": {"gr00t"},
    "starters": {"gr00t", "cache"},
    "policy": {"gr00t", "robot", "cache", "options", "starters"},
    "preflight": {"attributes", "envs", "robot.task_spec", "options", "files"},
    "runs": {"attributes", "options", "files", "preflight"},
    "algorithms": {
        "policy",
        "gr00t",
        "robot",
        "footprint",
        "options",
        "runs",
        "randomisation",
        "envs.groups",
        "envs.decision",
        "envs.task_set",
        "envs.start_set",
    },
    "runners": {"algorithms", "runs", "policy", "gr00t", "envs.decision"},
    "imitation": {"evaluation", "policy", "robot", "gr00t", "envs", "cache", "progress"},
    "serving": {"policy", "robot", "gr00t", "algorithms.checkpoint"},
    "evaluation": {
        "serving",
        "files",
        "runs.checkpoint_files",
        "robot",
        "imitation.video",
        "runners",
        "algorithms",
        "policy",
        "gr00t",
        "envs",
        "randomisation",
        "progress",
    },
    "tasks": {
        "assets",
        "envs",
        "files",
        "randomisation",
        "options",
        "policy.configs",
        "algorithms.configs",
        "algorithms.baseline",
        "runs.configs",
        "preflight.configs",
        "preflight.places",
        "robot",
    },
}
"""Folder -> what it may import besides itself, by prefix. ``cli`` may import everything, and nothing imports it."""


def imported_modules(file: Path, source: Path = SOURCE) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module that a file imports, wherever in the file the import stands."""
    module = file.relative_to(source).with_suffix("").parts
    package = module[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, *([node.module] if node.module else [])))
            # `from gr00t_rl_ext.policy import configs` may name a module
            yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)


def violations(source: Path = SOURCE) -> list[str]:
    """Every import that runs the wrong way, as ``file:line imports module``."""
    found = []
    for file in sorted((source / PACKAGE).rglob("*.py")):
        folder, *_ = file.relative_to(source / PACKAGE).parts
        if folder == "cli":
            continue
        allowed = MAY_IMPORT.get(folder, set()) | {folder}
        for line, name in imported_modules(file, source):
            top, _, rest = name.partition(".")
            ours = top == PACKAGE and not any(rest == a or rest.startswith(f"{a}.") for a in allowed)
            if ours or top in ("scripts", "tests", "benchmarks"):
                found.append(f"{file.relative_to(source)}:{line} imports {name}")
    return found


def test_imports_run_one_way() -> None:
    assert violations() == []


def test_every_folder_has_a_rule() -> None:
    """A new folder needs a row in MAY_IMPORT."""
    folders = {path.parent.name for path in (SOURCE / PACKAGE).glob("*/*.py")}
    assert folders <= MAY_IMPORT.keys() | {"cli"}


@pytest.mark.parametrize(
    ("file", "statement", "name"),
    [
        ("gr00t/model.py", "from gr00t_rl_ext.policy import actor", "gr00t_rl_ext.policy.actor"),
        ("gr00t/model.py", "from ..envs.chunking import x", "gr00t_rl_ext.envs.chunking.x"),
        ("policy/actor.py", "def f():\n    import gr00t_rl_ext.algorithms.ppo", "gr00t_rl_ext.algorithms.ppo"),
        ("algorithms/ppo.py", "from .. import runners", "gr00t_rl_ext.runners"),
        ("tasks/stack/a.py", "from gr00t_rl_ext.policy.actor import A", "gr00t_rl_ext.policy.actor.A"),
        ("tasks/stack/a.py", "from gr00t_rl_ext.cli import train", "gr00t_rl_ext.cli.train"),
        ("policy/actor.py", "from scripts.rsl_rl import train", "scripts.rsl_rl.train"),
    ],
)
def test_an_import_against_the_direction_is_found(tmp_path: Path, file: str, statement: str, name: str) -> None:
    path = tmp_path / PACKAGE / file
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert [item.partition(" imports ")[2] for item in violations(tmp_path)] == [name]


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("tasks/stack/a.py", "from gr00t_rl_ext.policy.configs import A"),
        ("tasks/stack/a.py", "from gr00t_rl_ext.policy import configs"),
        ("tasks/stack/a.py", "from . import mdp"),
        ("cli/train.py", "import gr00t_rl_ext.algorithms.ppo"),
        ("algorithms/ppo.py", "import torch, gr00t_rl_ext.policy.actor"),
    ],
)
def test_an_import_along_the_direction_is_accepted(tmp_path: Path, file: str, statement: str) -> None:
    path = tmp_path / PACKAGE / file
    path.parent.mkdir(parents=True)
    path.write_text(statement)
    assert violations(tmp_path) == []


def import_graph(source: Path = SOURCE) -> dict[str, set[str]]:
    """File -> files of the package that it imports, for type hints and inside of functions included."""
    files = {
        ".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted((source / PACKAGE).rglob("*.py"))
    }
    graph = {}
    for module, file in files.items():
        graph[module] = set()
        for _, name in imported_modules(file, source):
            # a name of a module, or something in one
            target = name if name in files else name.rpartition(".")[0]
            if target in files and target != module:
                graph[module].add(target)
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Files that can be reached from themselves."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(graph[start])
        while waiting:
            if (module := waiting.pop()) not in seen:
                seen.add(module)
                waiting += graph[module]
        return seen

    reached = {module: reachable(module) for module in graph}
    parts = {
        frozenset(m for m in reached[module] if module in reached[m]) for module in graph if module in reached[module]
    }
    return sorted(sorted(part) for part in parts)


def test_no_file_imports_itself_by_a_detour() -> None:
    assert circles(import_graph()) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    for name, text in {
        "__init__": "",
        "a": "from gr00t_rl_ext import b",
        "b": "def f():\n    from .a import x",
    }.items():
        (tmp_path / PACKAGE).mkdir(exist_ok=True)
        (tmp_path / PACKAGE / f"{name}.py").write_text(text)
    assert circles(import_graph(tmp_path)) == [[f"{PACKAGE}.a", f"{PACKAGE}.b"]]


def test_registering_the_tasks_imports_nothing_heavy() -> None:
    """Isaac Lab imports the tasks before every command and before it has chosen a physics back end."""
    program = (
        "import sys, gr00t_rl_ext.tasks;"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'isaaclab', 'warp', 'pxr'}))"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    # what the tests chose must not make it build assets here
    environment.pop("GR00T_RL_EXT_ASSETS", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
