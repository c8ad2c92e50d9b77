# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Code in the documentation runs, and what it links to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gr00t_rl_ext.gr00t import build_tiny_checkpoint

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "dev").glob("*.md"))]


def test_the_example_of_the_model_layer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "gr00t.md").read_text(), re.DOTALL)
    build_tiny_checkpoint(tmp_path / "OUT")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["actions"].shape) == (2, 16, 8)  # type: ignore[attr-defined]
    for file in (tmp_path / "OUT").glob("*.safetensors"):
        assert (tmp_path / "COPY" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing
