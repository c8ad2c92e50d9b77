# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""docs/ppo_details.md has all 37 details, and what it refers to exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ppo_details.md").read_text()
CODE = re.findall(r"`([\w/]+\.py): ([\w.]+)`", PAGE)
TESTS = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions and classes of a module, and methods as ``Class.method``."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return frozenset(names)


def entries() -> list[tuple[str, list[str]]]:
    """Number (empty beyond the 37) and labels of the rows of each entry."""
    found: list[tuple[str, list[str]]] = []
    for label, text in re.findall(r"^\| +(\S.*?)? *\| (.*) \|$", PAGE, re.MULTILINE):
        if label in ("No.", "code", "test", "differs", "not here"):
            if found:
                found[-1][1].append(label)
        elif text.startswith("**"):
            found.append((label.strip("*"), []))
    return found


@pytest.mark.parametrize(("file", "name"), sorted(set(CODE)))
def test_code_exists(file: str, name: str) -> None:
    assert name in names_in(ROOT / "source" / "gr00t_rl_ext" / file)


@pytest.mark.parametrize(("file", "name"), sorted(set(TESTS)))
def test_tests_exist(file: str, name: str) -> None:
    assert name in names_in(ROOT / "tests" / file)


def test_every_reference_is_understood() -> None:
    """None is spelled so that the tests above overlook it."""
    rows = re.findall(r"^\| +(?:code|test)? *\| `(.*)` \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(
        [f"{file}: {name}" for file, name in CODE] + [f"{file}::{name}" for file, name in TESTS]
    )


def test_all_details_are_there_with_code_and_test_or_a_reason() -> None:
    numbered = [number for number, _ in entries() if number]
    assert numbered == [str(number) for number in range(1, 38)]
    for number, labels in entries():
        assert ("not here" in labels) != ("code" in labels and "test" in labels), number
    assert sum(1 for number, _ in entries() if not number) >= 14, "what is beyond the 37"
