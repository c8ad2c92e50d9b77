# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The rates in the documentation are those of the committed episodes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.evaluation.statistics import wilson_interval

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "dev" / "LOG.md"]

LINK = re.compile(r"\[([^\]]+)\]\(([^)]+\.json)\)")
"""``[model_40](stack.json)``: the end of an evaluation's name, and its file."""

RATE = ("Success, %", "Low, %", "High, %")
OF_ONE = (*RATE, "Return", "Episodes", "Steps executed")
"""Columns of a row whose ``Evaluation`` is a link."""

OF_SEVERAL = ("Before", "Lowest", "Highest")
"""Columns of a row whose ``Evaluations`` are links, one per training seed."""

IN_PROSE = re.compile(r"(\d+(?:\.\d+)?)(?: ?%)? \((\d+(?:\.\d+)?) to (\d+(?:\.\d+)?)\)")
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
"""Whose ranges are of speeds."""


@cache
def load(path: Path) -> tuple[report.Evaluation, ...]:
    return report.load(path)


def evaluation(page: Path, name: str, link: str) -> report.Evaluation:
    """The one that a link names; with ``model_0`` of several runs in a file, the run stands before it."""
    ending = re.compile(rf"(^|[/_]){re.escape(name)}$")
    (found,) = [one for one in load((page.parent / link).resolve()) if ending.search(title(one))]
    return found


def title(one: report.Evaluation) -> str:
    """Name of an evaluation, and what was varied in it: ``base, lighting 0.5``."""
    return ", ".join([one.name, *(f"{factor} {strength:g}" for factor, strength in one.randomised.items())])


def measured(one: report.Evaluation) -> str:
    value = fmean(one.returns) if one.successes is None else 100 * fmean(one.successes)
    return f"{value:.1f}"


def figures_of_one(one: report.Evaluation) -> dict[str, str]:
    figures = {"Episodes": str(len(one.returns)), "Return": f"{fmean(one.returns):.1f}"}
    if one.chunk_length is not None:
        figures["Steps executed"] = str(one.chunk_length)
    if one.successes is not None:
        interval = wilson_interval(sum(one.successes), len(one.successes))
        figures |= dict(zip(RATE, (measured(one), *(f"{100 * end:.1f}" for end in interval)), strict=True))
    return figures


def start_of(page: Path, name: str, link: str) -> report.Evaluation:
    """What the evaluation that a link names is compared with: the first of its file, or of its noise."""
    all_of_file = load((page.parent / link).resolve())
    noise = re.search(r", noise .*$", name)
    return next(one for one in all_of_file if noise is None or one.name.endswith(noise[0]))


def figures_of_several(page: Path, links: list[tuple[str, str]]) -> dict[str, str]:
    ends = sorted((measured(evaluation(page, *link)) for link in links), key=float)
    starts = [start_of(page, *link) for link in links]
    before = {measured(start) for start in starts if re.search(r"(^base(, noise .*)?|/model_0)$", start.name)}
    return {"Before": " or ".join(sorted(before, key=float)), "Lowest": ends[0], "Highest": ends[-1]}


def rows(text: str) -> list[dict[str, str]]:
    """Header -> cell, without emphasis, of the rows of all tables."""
    found: list[dict[str, str]] = []
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip().strip("*") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif set(line) - set("|-: "):
            found.append(dict(zip(header, cells, strict=False)))  # other tables may have `a | b` in a cell
    return found


def wrong(page: Path, text: str) -> list[str]:
    """Everything in which a page differs from the committed files."""
    found = []
    for row in rows(text):
        links = LINK.findall(row.get("Evaluation", "") + row.get("Evaluations", ""))
        several = "Evaluations" in row
        written = {column: row[column] for column in (OF_SEVERAL if several else OF_ONE) if row.get(column)}
        if not links:
            found += [f"{row}: no evaluation"] if written.keys() & {*RATE, "Return", *OF_SEVERAL} else []
            continue
        known = figures_of_several(page, links) if several else figures_of_one(evaluation(page, *links[0]))
        if "Steps executed" not in known:  # older files do not have it
            written.pop("Steps executed", None)
        found += [
            f"{row}: {column} is {known.get(column)}" for column in written if written[column] != known.get(column)
        ]
    if page != BENCHMARKS:
        found += [f"{rate}: in no file" for rate in IN_PROSE.findall(text) if rate not in committed()]
    return found


@cache
def committed() -> set[tuple[str, ...]]:
    """Every rate with its interval."""
    figures = [figures_of_one(one) for path in RESULTS.rglob("*.json") for one in load(path)]
    return {tuple(of_one[column] for column in RATE) for of_one in figures if RATE[0] in of_one}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_rates_are_those_of_committed_episodes(page: Path) -> None:
    assert not wrong(page, page.read_text())


@pytest.mark.parametrize("page", sorted(RESULTS.glob("*.md")), ids=lambda page: page.name)
def test_pages_of_results_have_tables_of_rates(page: Path) -> None:
    assert [row for row in rows(page.read_text()) if {"Evaluation", "Evaluations"} & row.keys()]


def test_every_evaluation_is_on_a_page() -> None:
    linked = {(page.parent / link).resolve() for page in PAGES for _, link in LINK.findall(page.read_text())}
    assert linked >= set(RESULTS.rglob("*.json"))


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("| 46.5 |", "| 46.6 |", "Success, % is 46.5"),
        ("| 39.7 |", "| 39.8 |", "Low, % is 39.7"),
        ("| 53.4 |", "| 53.5 |", "High, % is 53.4"),
        ("| 100 |", "| 200 |", "Episodes is 100"),
        ("| supervised | 4 |", "| supervised | 8 |", "Steps executed is 4"),
        ("[base](stack.json)", "", "no evaluation"),
        ("[model_35](stack_grpo_iteration_36.json)", "[model_85](stack_grpo_iteration_86.json)", "Success, % is 80.0"),
        ("# Stacking", "# 46.5 % (39.7 to 53.5)", "in no file"),
    ],
)
def test_a_changed_page_is_wrong(was: str, becomes: str, told: str) -> None:
    page = RESULTS / "stack.md"
    assert page.read_text().count(was) > 0
    assert any(told in message for message in wrong(page, page.read_text().replace(was, becomes, 1)))


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("| 58.0 | 97.5 | 99.0 |", "| 58.1 | 97.5 | 99.0 |", "Before is 58.0"),
        ("| 58.0 | 97.5 | 99.0 |", "| 58.0 | 98.0 | 99.0 |", "Lowest is 97.5"),
        ("| 58.0 | 97.5 | 99.0 |", "| 58.0 | 97.5 | 99.5 |", "Highest is 99.0"),
        ("| -182.9 |", "| -180.0 |", "Lowest is -182.9"),
        ("[model_91](stack_grpo.json)", "82.5", "no evaluation"),
    ],
)
def test_a_changed_index_is_wrong(was: str, becomes: str, told: str) -> None:
    page = RESULTS / "index.md"
    assert page.read_text().count(was) == 1
    assert any(told in message for message in wrong(page, page.read_text().replace(was, becomes)))
