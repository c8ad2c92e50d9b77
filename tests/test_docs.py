# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Code in the documentation runs, and what it links to exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from gr00t_rl_ext.gr00t import build_tiny_checkpoint

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "dev").glob("*.md")),
]


def test_the_example_of_the_model_layer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "gr00t.md").read_text(), re.DOTALL)
    build_tiny_checkpoint(tmp_path / "OUT")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["actions"].shape) == (2, 16, 8)  # type: ignore[attr-defined]
    for file in (tmp_path / "OUT").glob("*.safetensors"):
        assert (tmp_path / "COPY" / file.name).read_bytes() == file.read_bytes()


def test_the_task_of_contributing_resolves_and_passes_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made of the walkthrough's code are a task with agents, and what it tests holds."""
    import gymnasium as gym

    from gr00t_rl_ext.cli import checks

    text = (ROOT / "CONTRIBUTING.md").read_text().split("## Add a task")[1].split("## Add a robot")[0]
    registration, mdp, env_cfg, agents, tests = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    folder = tmp_path / "my_tasks" / "hover"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text(registration)
    for name, code in {"__init__": "", "mdp": mdp, "env_cfg": env_cfg, "agents": agents}.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    names: dict[str, object] = {}
    try:
        exec(tests, names)
        for agent in ("gr00t_adapter_ppo", "gr00t_flow_ppo"):
            env, recipe = checks.check_resolved("My-Hover-Franka-v0", agent, [])
            assert "hover" in recipe.experiment_name
            assert env.instruction == "hold the gripper above the red cube"
            assert recipe.algorithm.bootstrap_time_outs is False
        cases = names["test_what_counts_as_success"].pytestmark[0].args[1]  # type: ignore[attr-defined]
        for case in cases:
            names["test_what_counts_as_success"](*case)  # type: ignore[operator]
        assert {success for _, success in cases} == {True, False}
        names["test_the_reward_leads_there"]()  # type: ignore[operator]
    finally:
        gym.registry.pop("My-Hover-Franka-v0", None)
        for module in set(sys.modules) - before:
            if module.startswith("my_tasks"):
                del sys.modules[module]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    missing = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(f"{target}#{anchor}" if anchor else target)
    assert not missing


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    if snippet := re.fullmatch(r'--8<-- "(.+)"\n', text):
        return anchors(ROOT / snippet[1])
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    pages = set(re.findall(r"[\w/]+\.md", text[text.index("\nnav:") :]))
    assert pages == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_the_site_loads_nothing_from_elsewhere() -> None:
    text = (ROOT / "mkdocs.yml").read_text().replace("!relative $config_dir", "'.'")
    config = yaml.safe_load(text)
    assert config["theme"]["font"] is False
    assert "extra_javascript" not in config
    assert all((ROOT / "docs" / style).is_file() for style in config["extra_css"])
    assert not any("```mermaid" in page.read_text() for page in PAGES), "a drawing by a script from elsewhere"


WORDS = 25
"""Of a sentence, at most."""

SPOKEN = [
    page
    for page in PAGES
    if page.parent.name not in ("results", "dev") and page.name not in ("benchmarks.md", "sft.md")
]
"""Pages whose sentences are counted."""


def sentences(text: str) -> list[str]:
    """Of paragraphs and lists; code in a line is one word."""
    text = re.sub(r"```.*?```|<!--.*?-->|!\[.*?\]\(.*?\)", "\n\n", text, flags=re.DOTALL)
    text = re.sub(r"^\|.*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "CODE", text).replace("**", "")
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.|#+) )", text)
    starts = r"(?<=[.?!:])\s+(?=[A-Z0-9(\"])"
    return [sentence for block in blocks for sentence in re.split(starts, " ".join(block.split()).lstrip("-*# "))]


@pytest.mark.parametrize("page", SPOKEN, ids=lambda page: page.name)
def test_sentences_are_short_and_programs_do_not_speak(page: Path) -> None:
    found = sentences(page.read_text())
    assert [sentence for sentence in found if len(sentence.split()) > WORDS] == []
    assert [line for line in page.read_text().splitlines() if re.search(r"\bsa(?:y|ys|id|ying)\b", line)] == []


def test_readme_leads() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 170
