# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Results of evaluations: what is kept of them, their file, and their table."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from rich.markup import escape
from rich.table import Table

from gr00t_rl_ext.evaluation.statistics import (
    CONFIDENCE,
    Comparison,
    Interval,
    compare_returns,
    compare_successes,
    wilson_interval,
)
from gr00t_rl_ext.files import write_whole
from gr00t_rl_ext.randomisation import RANGES

SCHEMA_VERSION = 1
"""Of the file. Raised with every change that makes readers and files of other versions misfits."""


class ReportError(ValueError):
    """A file of results cannot be read, or its evaluations cannot be compared."""


class Evaluation(BaseModel):
    """What one checkpoint achieved. Entry i of each tuple is of episode i."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    """How tables call the checkpoint."""

    fingerprint: str
    """Identifies the weights."""

    task: str
    """Id of the task."""

    agent: str
    """Name of the agent."""

    seed: int
    """Of the environment and of the policy's noise."""

    chunk_length: PositiveInt | None = None
    """Control steps that were executed per decision; None: not kept, in older files."""

    noise_scale: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """How much noise decisions began with (``agent.actor.noise_scale``); None: the policy has no action head, or it was
    not kept, in older files."""

    randomised: dict[str, FiniteFloat] = Field(default_factory=dict)
    """Factor that was drawn anew in each episode -> its strength; empty: none was, or it was not kept, in older
    files."""

    initial_states: tuple[str, ...] = Field(min_length=1)
    """What tells the initial state of an episode from others, such as its seed or a digest of the state."""

    successes: tuple[bool, ...] | None
    """Whether the task's success term ended the episode; None if the task has none."""

    returns: tuple[FiniteFloat, ...]
    """Sums of the rewards, undiscounted."""

    lengths: tuple[PositiveInt, ...]
    """Control steps."""

    tasks: tuple[str, ...] | None = None
    """Name of the task that each episode had, where there were several; None: there was one, as in older files."""

    notes: tuple[str, ...] = ()
    """States far outside of the checkpoint's statistics, a line for each key."""

    @model_validator(mode="after")
    def _check_episodes(self) -> Self:
        optional = tuple(name for name in ("successes", "tasks") if getattr(self, name) is not None)
        names = ("initial_states", *optional, "returns", "lengths")
        counts = {name: len(getattr(self, name)) for name in names}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise ValueError(f"there are {listed}; expected one of each per episode")
        return self


class Row(NamedTuple):
    """What a table says of a checkpoint. Differences are to the first one; where other factors were drawn than with the
    first, to the same checkpoint with the first one's factors."""

    evaluation: Evaluation
    success_interval: Interval | None
    """None if the task has no success term."""

    success_difference: Comparison | None
    """None where there is nothing to compare with, and if the task has no success term."""

    return_difference: Comparison | None
    """None where there is nothing to compare with."""


def summarise(evaluations: Sequence[Evaluation]) -> list[Row]:
    """The success of each checkpoint, and what the first is compared with the others.

    Args:
        evaluations: One or more, of the same task and initial states. The first is what the others are compared with.

    Raises:
        ReportError: They cannot be compared.
    """
    first, *others = evaluations
    for other in others:
        _check_comparable(first, other)
    rows = []
    for one in evaluations:
        interval = difference = returns = None
        other = _compared_with(one, evaluations)
        if one.successes is not None:
            interval = wilson_interval(sum(one.successes), len(one.successes))
            if other is not None and other.successes is not None:
                difference = compare_successes(other.successes, one.successes)
        if other is not None:
            returns = compare_returns(other.returns, one.returns)
        rows.append(Row(one, interval, difference, returns))
    return rows


def _compared_with(one: Evaluation, evaluations: Sequence[Evaluation]) -> Evaluation | None:
    first = evaluations[0]
    if one.randomised == first.randomised:
        return None if one is first else first
    own = (each for each in evaluations if each.name == one.name and each.randomised == first.randomised)
    return next(own, None)


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Rows with the same factors drawn as in the first one: the checkpoints themselves."""
    return [row for row in rows if row.evaluation.randomised == rows[0].evaluation.randomised]


def _check_comparable(first: Evaluation, other: Evaluation) -> None:
    if first.task != other.task:
        raise ReportError(
            f"{first.name!r} was evaluated on the task {first.task!r}, but {other.name!r} on {other.task!r}. Results of"
            " different tasks cannot be compared: evaluate both on the same one."
        )
    counts = len(first.initial_states), len(other.initial_states)
    if counts[0] != counts[1]:
        raise ReportError(
            f"{first.name!r} was evaluated in {counts[0]} episodes, but {other.name!r} in {counts[1]}. Checkpoints are"
            " compared episode by episode: evaluate both in the same number of episodes."
        )
    for episode, states in enumerate(zip(first.initial_states, other.initial_states, strict=True)):
        if states[0] != states[1]:
            raise ReportError(
                f"{first.name!r} (seed {first.seed}) and {other.name!r} (seed {other.seed}) began in different initial"
                f" states: episode {episode} in {states[0]!r} and in {states[1]!r}. Checkpoints are compared episode by"
                " episode: evaluate both with the same seed and the same settings of the environment."
            )


def summarise_tasks(evaluations: Sequence[Evaluation]) -> dict[str, list[Row]]:
    """Name of a task -> :func:`summarise` of its episodes alone; empty where there is one task.

    Args:
        evaluations: As of :func:`summarise`, which has compared them.
    """
    first = evaluations[0]
    if first.tasks is None:
        return {}
    return {
        name: summarise(
            [_only(one, [number for number, task in enumerate(first.tasks) if task == name]) for one in evaluations]
        )
        for name in dict.fromkeys(first.tasks)
    }


def _only(evaluation: Evaluation, episodes: Sequence[int]) -> Evaluation:
    """An evaluation of some of its episodes."""
    names = ("initial_states", "successes", "returns", "lengths", "tasks")
    chosen = {
        name: tuple(values[number] for number in episodes)
        for name in names
        if (values := getattr(evaluation, name)) is not None
    }
    return evaluation.model_copy(update=chosen)


# Tables


def markdown_table(rows: Sequence[Row]) -> str:
    """The table in Markdown, with a line below that says what its figures are. Ends with a line break.

    Where there are several tasks, a table of them follows, and one of factors where some were varied.
    """
    parts = [_markdown(_cells(_plain(rows))), _caption(_plain(rows)), *_notes(rows)]
    for cells, caption in _further(rows):
        parts += [_markdown(cells), caption]
    return "\n\n".join(parts) + "\n"


def _markdown(cells: list[list[tuple[str, ...]]]) -> str:
    lines = [[" ".join(parts).replace("|", "\\|") for parts in line] for line in cells]
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def terminal_tables(rows: Sequence[Row]) -> list[Table]:
    """The same tables for the terminal."""
    caption = "\n".join([_caption(_plain(rows)), *_notes(rows)])
    return [_terminal(_cells(_plain(rows)), caption), *(_terminal(*further) for further in _further(rows))]


def _further(rows: Sequence[Row]) -> list[tuple[list[list[tuple[str, ...]]], str]]:
    """Cells and caption of the tables that follow the first."""
    tables = [(_cells_of_tasks(_plain(rows)), _CAPTION_OF_TASKS), (_cells_of_factors(rows), _caption_of_factors(rows))]
    return [(cells, caption) for cells, caption in tables if cells]


def _terminal(cells: list[list[tuple[str, ...]]], caption: str) -> Table:
    # one part of a cell below the other: side by side they need 150 columns
    header, *lines = [[escape("\n".join(parts)) for parts in line] for line in cells]
    table = Table(caption=escape(caption), caption_justify="left", show_lines=True)
    for number, title in enumerate(header):
        table.add_column(title, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def _notes(rows: Sequence[Row]) -> list[str]:
    """A paragraph for each note, with the checkpoints that it is about."""
    of_note: dict[str, list[str]] = {}
    for row in rows:
        for note in row.evaluation.notes:
            of_note.setdefault(note, []).append(row.evaluation.name)
    return [
        f"Warning: {', '.join(names)} observed states far outside of the data that the checkpoint's statistics are of."
        f" {note}"
        for note, names in of_note.items()
    ]


def _cells(rows: Sequence[Row]) -> list[list[tuple[str, ...]]]:
    """The header and a line for each row, each cell in parts. Differences only if there is anything to compare."""
    versus = [("vs.", rows[0].evaluation.name)] if len(rows) > 1 else []
    # a task may have no success term
    rated = any(row.success_interval for row in rows)
    success = [("success, %",), *versus] if rated else []
    header = [("checkpoint",), ("episodes",), *success, ("return",), *versus, ("length",)]
    lines = [
        [
            (row.evaluation.name,),
            (str(len(row.evaluation.returns)),),
            *([_success(row)] if rated else []),
            *([_comparison(row.success_difference, 100, decimals=1)] if rated and versus else []),
            (f"{fmean(row.evaluation.returns):.4g}",),
            *([_comparison(row.return_difference)] if versus else []),
            (f"{fmean(row.evaluation.lengths):.1f}",),
        ]
        for row in rows
    ]
    return [header, *lines]


_CAPTION_OF_TASKS = "By task: success rates in percent, or returns where there is no success, with intervals as above."


def _cells_of_tasks(rows: Sequence[Row]) -> list[list[tuple[str, ...]]]:
    """A line for each task with what each checkpoint achieved in it; empty where there is one task."""
    of_tasks = summarise_tasks([row.evaluation for row in rows])
    if not of_tasks:
        return []
    header: list[tuple[str, ...]] = [("task",), ("episodes",), *((row.evaluation.name,) for row in rows)]
    lines = [
        [(name,), (str(len(own[0].evaluation.returns)),), *(_achieved(row) for row in own)]
        for name, own in of_tasks.items()
    ]
    return [header, *lines]


def _caption_of_factors(rows: Sequence[Row]) -> str:
    varied = dict.fromkeys(factor for row in rows for factor in row.evaluation.randomised)
    ranges = "; ".join(f"{factor}: {RANGES.get(factor, 'not known to this version')}" for factor in varied)
    return (
        f"By what was drawn anew in each episode: success rates in percent, or returns where there is no success, with"
        f" {CONFIDENCE:.0%} intervals. Differences are to the same checkpoint in the same initial states with nothing"
        " of it, with Newcombe's interval (the bootstrap's of returns) and p of the exact McNemar test (of returns the"
        f" sign-flip test); none of {len(rows) - len(_plain(rows))} is corrected for their number. Strength 1 is the"
        f" whole range. {ranges}."
    )


def _cells_of_factors(rows: Sequence[Row]) -> list[list[tuple[str, ...]]]:
    """A line for each factor and strength with what each checkpoint achieved; empty where none was varied."""
    of_checkpoint: dict[str, list[Row]] = {}
    for row in rows:
        of_checkpoint.setdefault(row.evaluation.name, []).append(row)
    columns = []
    for plain, *varied in of_checkpoint.values():
        # that to the first checkpoint is in the first table
        alone = plain._replace(success_difference=None, return_difference=None)
        columns.append([_achieved(row) for row in (alone, *varied)])
    drawn = [row.evaluation.randomised for row in next(iter(of_checkpoint.values()))]
    if len(drawn) < 2:
        return []
    header: list[tuple[str, ...]] = [("varied",), ("strength",), *((name,) for name in of_checkpoint)]
    names = [tuple(factors) or ("nothing",) for factors in drawn]
    strengths = [tuple(f"{strength:g}" for strength in factors.values()) or ("–",) for factors in drawn]
    return [header, *map(list, zip(names, strengths, *columns, strict=True))]


def _achieved(row: Row) -> tuple[str, ...]:
    if row.success_interval is None:
        return (f"{fmean(row.evaluation.returns):.4g}", *_comparison(row.return_difference))
    return (*_success(row), *_comparison(row.success_difference, 100, decimals=1))


def _success(row: Row) -> tuple[str, ...]:
    if row.evaluation.successes is None or row.success_interval is None:
        return ("not defined",)
    return f"{100 * fmean(row.evaluation.successes):.1f}", _interval(row.success_interval, 100, ".1f")


def _interval(interval: Interval, scale: float, form: str) -> str:
    return f"({scale * interval.low:{form}} to {scale * interval.high:{form}})"


def _comparison(comparison: Comparison | None, scale: float = 1, decimals: int | None = None) -> tuple[str, ...]:
    """Difference, interval and p-value. As many decimals as show two digits of the width of the interval, or of the
    difference if it has none, unless they are given."""
    if comparison is None:
        return ()
    if decimals is None:
        width = comparison.interval.high - comparison.interval.low
        size = width if 0.0 < width < math.inf else abs(comparison.difference)
        decimals = max(0, 1 - math.floor(math.log10(size))) if size else 0
    form = f"+.{decimals}f"
    p_value = f"p = {comparison.p_value:.3f}" if comparison.p_value >= 0.001 else "p < 0.001"
    return f"{scale * comparison.difference:{form}}", _interval(comparison.interval, scale, form), p_value


def _caption(rows: Sequence[Row]) -> str:
    rated, several = rows[0].success_interval is not None, len(rows) > 1
    sentences = []
    if rated and several:
        sentences = [
            f"In brackets {CONFIDENCE:.0%} intervals: Wilson's of success rates, Newcombe's of their differences in"
            " percentage points, the bootstrap's of differences of returns. Differences are paired by initial state; p"
            " is that of the exact McNemar test and of the sign-flip test."
        ]
    elif rated:
        sentences = [f"In brackets {CONFIDENCE:.0%} intervals: Wilson's of the success rate."]
    elif several:
        sentences = [
            f"In brackets {CONFIDENCE:.0%} intervals of the bootstrap. Differences are paired by initial state; p is"
            " that of the sign-flip test."
        ]
    if not rated:
        sentences.append("The task says nothing of success.")
    chunks = {row.evaluation.chunk_length for row in rows}
    if len(chunks) == 1 and None not in chunks:
        sentences.append(f"Control steps per decision: {chunks.pop()}.")
    scales = {row.evaluation.noise_scale for row in rows}
    if len(scales) == 1 and (scale := scales.pop()) is not None:
        sentences.append(f"Noise scale: {scale:g}.")
    if drawn := rows[0].evaluation.randomised:
        listed = ", ".join(f"{name} {strength:g}" for name, strength in drawn.items())
        sentences.append(f"Drawn anew in each episode, with its strength: {listed}.")
    if len(rows) > 2:
        sentences.append(f"No p-value is corrected for there being {len(rows) - 1} comparisons.")
    return " ".join(sentences)


# File


def save(evaluations: Sequence[Evaluation], file: Path) -> None:
    """Write evaluations as JSON, one field a line. The file is there completely or not at all.

    Args:
        evaluations: One or more, whether they can be compared or not.
        file: Is replaced if it exists; its folder is made.
    """
    documents = [
        ",\n".join(f"      {json.dumps(name)}: {json.dumps(value)}" for name, value in evaluation.model_dump().items())
        for evaluation in evaluations
    ]
    listed = ",\n".join(f"    {{\n{document}\n    }}" for document in documents)
    write_whole(file, f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "evaluations": [\n{listed}\n  ]\n}}\n')


_EVALUATIONS = TypeAdapter(tuple[Evaluation, ...])


def load(file: Path) -> tuple[Evaluation, ...]:
    """Read what :func:`save` wrote.

    Raises:
        ReportError: The file is not there, is damaged, is none of ours, or has another schema version.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReportError(f"there are no results in {str(file)!r}: the file does not exist") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ReportError(f"the results in {str(file)!r} are damaged: {place}: {error.msg}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"the results in {str(file)!r} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.keys() != {"schema_version", "evaluations"}:
        raise ReportError(
            f"{str(file)!r} holds no results of an evaluation; expected an object with `schema_version` and"
            " `evaluations`"
        )
    if content["schema_version"] != SCHEMA_VERSION:
        raise ReportError(
            f"the results in {str(file)!r} have schema version {content['schema_version']!r}; this version of"
            f" gr00t_rl_ext reads {SCHEMA_VERSION}. Use the version that wrote them, or evaluate again."
        )
    if not content["evaluations"]:
        raise ReportError(f"the results in {str(file)!r} are empty: expected one evaluation or more")
    try:
        return _EVALUATIONS.validate_python(content["evaluations"])
    except ValidationError as error:
        problem, *more = error.errors()
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        rest = f" ({len(more)} more)" if more else ""
        raise ReportError(f"the results in {str(file)!r} are damaged: evaluations{place}: {text}{rest}") from error
