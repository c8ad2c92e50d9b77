# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""report: tables, comparisons that are refused, and the file."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.evaluation.report import Evaluation, ReportError
from gr00t_rl_ext.evaluation.statistics import compare_returns, compare_successes, wilson_interval


def evaluation(name: str, successes: str, /, **changes: Any) -> Evaluation:
    """An evaluation of one episode per character, ``x`` for a success."""
    won = [character == "x" for character in successes]
    fields = {
        "name": name,
        "fingerprint": "sha256:0123",
        "task": "My-Task-v0",
        "agent": "gr00t_adapter_ppo",
        "seed": 7,
        "initial_states": [f"seed {7 + episode}" for episode in range(len(won))],
        "successes": won,
        "returns": [2.5 if success else 0.1 * episode for episode, success in enumerate(won)],
        "lengths": [40 if success else 100 for success in won],
    }
    return Evaluation(**fields | changes)


BASE = evaluation("base", "..x...x...")
TRAINED = evaluation("ppo|lora", "xxxxx.xxxx")
OTHER = evaluation("[red]grpo", ".xx.x.x.xx")


def test_rows_are_those_of_the_statistics() -> None:
    first, second = report.summarise([BASE, TRAINED])
    assert first == (BASE, wilson_interval(2, 10), None, None)
    assert second[:2] == (TRAINED, wilson_interval(9, 10))
    assert second.success_difference == compare_successes(BASE.successes, TRAINED.successes)
    assert second.success_difference.difference == pytest.approx(0.7)
    assert second.success_difference.p_value == pytest.approx(2 / 2**7)
    assert second.return_difference == compare_returns(BASE.returns, TRAINED.returns)


def test_markdown_table() -> None:
    assert report.markdown_table(report.summarise([BASE, TRAINED, OTHER])) == GOLDEN


def test_the_table_says_how_many_steps_a_decision_executes() -> None:
    """Success depends on it; what is not known is not said, as of files that do not keep it."""
    four, also_four, eight = (
        evaluation(name, "x.", chunk_length=steps) for name, steps in (("a", 4), ("b", 4), ("c", 8))
    )
    said = "Control steps per decision: 4."
    assert said in report.markdown_table(report.summarise([four, also_four]))
    for others in ([four, eight], [BASE, TRAINED]):
        assert "Control steps per decision" not in report.markdown_table(report.summarise(others))


def test_the_table_has_the_scale_of_the_noise() -> None:
    """Success depends on it. Where rows differ, their names have it."""
    half, also_half, none = (
        evaluation(name, "x.", noise_scale=scale) for name, scale in (("a", 0.5), ("b", 0.5), ("c, noise 0", 0.0))
    )
    assert report.markdown_table(report.summarise([half, also_half])).endswith(" Noise scale: 0.5.\n")
    assert " Noise scale: 0.\n" in report.markdown_table(report.summarise([none]))
    for others in ([half, none], [BASE, TRAINED]):
        assert "Noise scale" not in report.markdown_table(report.summarise(others))


def test_notes_are_below_the_table_and_in_the_file(tmp_path: Path) -> None:
    """A note that several checkpoints share is there once."""
    first, second = (evaluation(name, "x.", notes=["state.joints [1]: far", *more]) for name, more in NOTES.items())
    table = report.markdown_table(report.summarise([first, second]))
    warning = "observed states far outside of the data that the checkpoint's statistics are of."
    assert table.endswith(f"\n\nWarning: a, b {warning} state.joints [1]: far\n\nWarning: b {warning} state.eef: far\n")
    console = Console(file=io.StringIO(), width=200)
    console.print(*report.terminal_tables(report.summarise([first, second])))
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert shown.endswith(f"Warning: a, b {warning} state.joints [1]: far Warning: b {warning} state.eef: far")
    report.save([first, second], tmp_path / "out.json")
    assert report.load(tmp_path / "out.json") == (first, second)


NOTES: dict[str, list[str]] = {"a": [], "b": ["state.eef: far"]}


GOLDEN = (
    "| checkpoint | episodes | success, % | vs. base | return | vs. base | length |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    "| base | 10 | 20.0 (5.7 to 51.0) |  | 0.87 |  | 88.0 |\n"
    "| ppo\\|lora | 10 | 90.0 (59.6 to 98.2) | +70.0 (+26.6 to +86.5) p = 0.016"
    " | 2.3 | +1.4 (+0.7 to +1.9) p = 0.016 | 46.0 |\n"
    "| [red]grpo | 10 | 60.0 (31.3 to 83.2) | +40.0 (+1.1 to +65.3) p = 0.125"
    " | 1.65 | +0.8 (+0.2 to +1.5) p = 0.125 | 64.0 |\n"
    "\n"
    "In brackets 95% intervals: Wilson's of success rates, Newcombe's of their differences in percentage "
    "points, the bootstrap's of differences of returns. Differences are paired by initial state; p is "
    "that of the exact McNemar test and of the sign-flip test. No p-value is corrected for there being 2 "
    "comparisons.\n"
)


def test_markdown_table_of_one_checkpoint() -> None:
    assert report.markdown_table(report.summarise([BASE])) == (
        "| checkpoint | episodes | success, % | return | length |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| base | 10 | 20.0 (5.7 to 51.0) | 0.87 | 88.0 |\n"
        "\n"
        "In brackets 95% intervals: Wilson's of the success rate.\n"
    )


def test_a_single_episode_makes_a_table() -> None:
    table = report.markdown_table(report.summarise([evaluation("a", "."), evaluation("b", "x")]))
    assert "| +100.0 (-12.2 to +100.0) p = 1.000 | 2.5 | +2.5 (-inf to +inf) p = 1.000 |" in table
    assert table.endswith("sign-flip test.\n"), "there is one comparison, with nothing to correct"


def test_equal_results_make_a_table() -> None:
    table = report.markdown_table(report.summarise([BASE, BASE.model_copy(update={"name": "copy"})]))
    assert "| 0.87 | +0 (+0 to +0) p = 1.000 |" in table


@pytest.mark.parametrize(("returns", "shown"), [(10_000.0, "+20000 ("), (1e-3, "+0.0020 (")])
def test_decimals_follow_the_interval(returns: float, shown: str) -> None:
    first = evaluation("a", "....", returns=[0.0] * 4)
    second = evaluation("b", "....", returns=[returns, 2 * returns, 2 * returns, 3 * returns])
    assert shown in report.markdown_table(report.summarise([first, second]))


@pytest.mark.parametrize("width", [60, 100, 200])
def test_terminal_table(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    console.print(*report.terminal_tables(report.summarise([BASE, TRAINED, OTHER])))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= width
    if width >= 100:
        for shown in ("base", "ppo|lora", "[red]grpo", "20.0", "(5.7 to 51.0)", "+70.0", "p = 0.016", "88.0"):
            assert shown in text


# What cannot be compared


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            evaluation("b", "x.x", task="Other-v0"),
            "'a' was evaluated on the task 'My-Task-v0', but 'b' on 'Other-v0'. Results of different tasks cannot be"
            " compared: evaluate both on the same one.",
        ),
        (
            evaluation("b", "x."),
            "'a' was evaluated in 3 episodes, but 'b' in 2. Checkpoints are compared episode by episode: evaluate both"
            " in the same number of episodes.",
        ),
        (
            evaluation("b", "x.x", seed=8, initial_states=["seed 7", "seed 9", "seed 8"]),
            "'a' (seed 7) and 'b' (seed 8) began in different initial states: episode 1 in 'seed 8' and in 'seed 9'."
            " Checkpoints are compared episode by episode: evaluate both with the same seed and the same settings of"
            " the environment.",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(other: Evaluation, message: str) -> None:
    with pytest.raises(ReportError) as caught:
        report.summarise([evaluation("a", "..x"), evaluation("same", "xxx"), other])
    assert str(caught.value) == message


def test_other_agents_can_be_compared() -> None:
    assert len(report.summarise([BASE, evaluation("mlp", "xxxxxxxxxx", agent="mlp_ppo", fingerprint="x")])) == 2


# Results that make no sense


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"lengths": [1, 2]},
            "there are 3 initial_states, 3 successes, 3 returns, 2 lengths; expected one of each",
        ),
        ({"initial_states": []}, "at least 1 item"),
        ({"returns": [1.0, float("nan"), 0.0]}, "should be a finite number"),
        ({"lengths": [1, 0, 3]}, "greater than 0"),
        ({"name": ""}, "at least 1 character"),
        ({"noise_scale": -0.5}, "greater than or equal to 0"),
        ({"noise_scale": float("inf")}, "should be a finite number"),
        ({"videos": 3}, "Extra inputs are not permitted"),
    ],
)
def test_results_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        evaluation("a", "x.x", **changes)


# The file


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "results.json"
    evaluations = (BASE, TRAINED, evaluation('odd "name" ü', "x", task="Other-v0", returns=[1 / 3]))
    report.save(evaluations, file)
    assert report.load(file) == evaluations
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["schema_version"] == report.SCHEMA_VERSION
    assert content["evaluations"][0]["returns"][9] == 0.1 * 9


@pytest.mark.parametrize(("field", "value"), [("chunk_length", "null"), ("noise_scale", "null"), ("randomised", "{}")])
def test_a_file_without_what_later_ones_have_is_read(field: str, value: str, tmp_path: Path) -> None:
    report.save([BASE], tmp_path / "old.json")
    text, line = (tmp_path / "old.json").read_text(), f'      "{field}": {value},\n'
    assert line in text
    (tmp_path / "old.json").write_text(text.replace(line, ""))
    assert report.load(tmp_path / "old.json") == (BASE,)


def test_the_scale_of_the_noise_is_in_the_file(tmp_path: Path) -> None:
    report.save([evaluation("a", "x.", noise_scale=0.0)], tmp_path / "a.json")
    assert '\n      "noise_scale": 0.0,\n' in (tmp_path / "a.json").read_text()
    assert report.load(tmp_path / "a.json")[0].noise_scale == 0.0


def test_the_file_holds_one_field_a_line(tmp_path: Path) -> None:
    report.save([BASE], tmp_path / "a.json")
    assert '\n      "seed": 7,\n' in (tmp_path / "a.json").read_text()
    assert len((tmp_path / "a.json").read_text().splitlines()) == 3 + 16 + 2


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results.json"
    report.save([BASE], file)

    def full(path: Path, text: str, **_: Any) -> None:
        path.write_bytes(text.encode()[:20])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        report.save([TRAINED], file)
    assert report.load(file) == (BASE,)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"^there are no results in '.*none.json': the file does not exist$"):
        report.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{\n  "schema_version": 1,\n  "eval', "are damaged: line 3, column 3: Unterminated string"),
        (b"", "are damaged: line 1, column 1: Expecting value"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec can't decode"),
        (b"[1, 2]", "holds no results of an evaluation; expected an object with `schema_version` and"),
        (b'{"a": 1}', "holds no results of an evaluation; expected an object with `schema_version` and"),
        (
            b'{"schema_version": 99, "evaluations": []}',
            "have schema version 99; this version of gr00t_rl_ext reads 1. Use the version that wrote them",
        ),
        (b'{"schema_version": 1, "evaluations": []}', "are empty: expected one evaluation or more$"),
        (b'{"schema_version": 1, "evaluations": 7}', "are damaged: evaluations: Input should be a valid tuple$"),
        (
            b'{"schema_version": 1, "evaluations": [{"name": "a"}]}',
            r"damaged: evaluations\[0\].fingerprint: .*\(7 more\)$",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(content)
    with pytest.raises(ReportError, match=message) as caught:
        report.load(file)
    assert "results.json" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"successes": [false', '"successes": ["maybe"', r"evaluations\[0\].successes\[0\]: .* boolean"),
        ('"returns": [0.0', '"returns": [NaN', r"evaluations\[0\].returns\[0\]: .* finite"),
        (
            '"returns": [0.0, ',
            '"returns": [',
            r"evaluations\[0\]: there are 10 initial_states, 10 successes, 9",
        ),
        ('"seed": 7', '"sede": 7', r"evaluations\[0\].seed: Field required \(1 more\)"),
    ],
)
def test_damaged_results_say_where(tmp_path: Path, before: str, after: str, message: str) -> None:
    file = tmp_path / "results.json"
    report.save([BASE], file)
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    with pytest.raises(ReportError, match=message):
        report.load(file)


# Several tasks

OF_TASKS = ("lift", "stack") * 5


def test_each_task_has_a_line() -> None:
    rows = report.summarise(
        [evaluation("base", "..x...x...", tasks=OF_TASKS), evaluation("ppo", "xxxxx.xxxx", tasks=OF_TASKS)]
    )
    of_tasks = report.summarise_tasks([row.evaluation for row in rows])
    assert {
        name: (sum(one.evaluation.successes), sum(two.evaluation.successes)) for name, (one, two) in of_tasks.items()
    } == {
        "lift": (2, 5),
        "stack": (0, 4),
    }
    assert of_tasks["stack"][1].success_difference == compare_successes([False] * 5, [True, True, False, True, True])
    *_, table, caption = report.markdown_table(rows).strip().split("\n\n")
    assert table.splitlines()[0] == "| task | episodes | base | ppo |"
    assert table.splitlines()[2].startswith("| lift | 5 | 40.0 (11.8 to 76.9) | 100.0 (56.6 to 100.0) +60.0 (")
    assert caption.startswith("By task: ")
    assert report.summarise_tasks([BASE, TRAINED]) == {}


def varied() -> list[Evaluation]:
    """Two checkpoints, without and with a factor at two strengths."""
    return [
        evaluation(name, successes, randomised=drawn)
        for name, of_draws in (
            ("base", ("xx.x......", "x.........", "..........")),
            ("ppo", ("xxxxxxxx..", "xxxxxxx...", "xx........")),
        )
        for successes, drawn in zip(of_draws, ({}, {"lighting": 0.5}, {"lighting": 1.0}), strict=True)
    ]


def test_what_was_varied_is_compared_with_the_same_checkpoint() -> None:
    rows = report.summarise(varied())
    differences = [None if row.success_difference is None else row.success_difference.difference for row in rows]
    assert differences == [None, *map(pytest.approx, (-0.2, -0.3, 0.5, -0.1, -0.6))]
    assert [row.return_difference is None for row in rows] == [True] + [False] * 5


def test_factors_have_a_table_of_their_own() -> None:
    text = report.markdown_table(report.summarise(varied()))
    first, caption, factors, ranges = text.strip().split("\n\n")
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == ["| base", "| ppo"]
    assert "comparisons" not in caption, "there is one"
    lines = [line.strip("| ").split(" | ") for line in factors.splitlines()]
    assert lines[0] == ["varied", "strength", "base", "ppo"]
    assert [line[:2] for line in lines[2:]] == [["nothing", "–"], ["lighting", "0.5"], ["lighting", "1"]]
    assert [line[2].split()[0] for line in lines[2:]] == ["30.0", "10.0", "0.0"]
    assert [line[3].split()[0] for line in lines[2:]] == ["80.0", "70.0", "20.0"]
    assert "p =" not in lines[2][3], "its difference to the base is in the first table"
    assert " -60.0 (" in lines[4][3]
    assert "none of 4 is corrected for their number" in ranges
    assert ranges.endswith(f" whole range. lighting: {report.RANGES['lighting']}.")
    (table, below) = report.terminal_tables(report.summarise(varied()))
    assert (table.row_count, below.row_count) == (2, 3)


def test_tasks_are_told_apart_in_what_was_not_varied() -> None:
    rows = [one.model_copy(update={"tasks": ("a", "b") * 5}) for one in varied()]
    tables = report.markdown_table(report.summarise(rows)).split("\n\n")
    header, _, *lines = tables[2].splitlines()
    assert header == "| task | episodes | base | ppo |"
    assert [line.split(" | ")[0] for line in lines] == ["| a", "| b"]
    assert tables[4].startswith("| varied |")


def test_what_a_task_draws_itself_is_below_the_table() -> None:
    one = evaluation("base", "x.", randomised={"mass": 1.0, "lighting": 0.5})
    text = report.markdown_table(report.summarise([one]))
    assert "Drawn anew in each episode, with its strength: mass 1, lighting 0.5." in text
    assert "varied" not in text


def test_a_file_keeps_what_was_drawn(tmp_path: Path) -> None:
    report.save(varied(), tmp_path / "a.json")
    assert list(report.load(tmp_path / "a.json")) == varied()


def test_a_file_keeps_the_tasks(tmp_path: Path) -> None:
    one = evaluation("base", "..x...x...", tasks=OF_TASKS)
    report.save([one], tmp_path / "one.json")
    assert report.load(tmp_path / "one.json") == (one,)
    with pytest.raises(ValidationError, match="10 initial_states, 10 successes, 9 tasks"):
        evaluation("base", "..x...x...", tasks=OF_TASKS[:9])
