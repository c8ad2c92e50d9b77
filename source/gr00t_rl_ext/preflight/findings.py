# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a check found, in words, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from gr00t_rl_ext.files import write_whole

Level = Literal["error", "warning", "ok", "not checked"]

FILE = Path("params", "preflight.json")
"""Where the report of a run lies, in its directory."""

_WIDTH = 120


@dataclass(frozen=True)
class Finding:
    """One check and what it found."""

    level: Level
    """An error stops the run."""

    subject: str
    """What was checked, such as ``camera wrist``."""

    text: str
    """What was found, with the numbers."""

    fix: str = ""
    """What to do about it; empty where nothing need be done."""

    where: str = ""
    """Where what it is about is written, such as file and line of a task file; empty where nobody knows."""

    @property
    def head(self) -> str:
        """The subject, and where it is."""
        return f"{self.subject} ({self.where})" if self.where else self.subject


class PreflightError(ValueError):
    """Something that training cannot mend."""


class Report:
    """Findings on a run.

    Args:
        findings: In the order of the checks.
        basis: What they are based on, such as ``2 random decisions``.
        facts: Numbers for programs, by name.
        pictures: Camera -> image (height, width, 3), uint8.
    """

    def __init__(
        self,
        findings: Iterable[Finding],
        basis: str,
        facts: Mapping[str, Any] | None = None,
        pictures: Mapping[str, Any] | None = None,
    ) -> None:
        self.findings, self.basis = list(findings), basis
        self.facts, self.pictures = dict(facts or {}), dict(pictures or {})

    def of(self, *levels: Level) -> list[Finding]:
        """Findings of some levels."""
        return [finding for finding in self.findings if finding.level in levels]

    def describe(self, whole: bool) -> str:
        """For a terminal: errors and warnings with what to do, and, of a whole report, what is as it should be."""
        shown = self.findings if whole else self.of("error", "warning")
        errors, warnings, fine = (len(self.of(level)) for level in ("error", "warning", "ok"))
        counts = [
            f"{number} {name}{'s' * (number != 1)}" for number, name in ((errors, "error"), (warnings, "warning"))
        ]
        lines = [f"Preflight ({self.basis}): {', '.join(counts)}, {fine} checks passed."]
        for level in ("error", "warning", "not checked", "ok"):
            for finding in shown:
                if finding.level == level:
                    lines += _lines(finding)
        return "\n".join(lines)

    def save(self, run_dir: Path) -> Path:
        """Write the whole report into the directory of a run, and a picture of each camera; returns the file."""
        file = run_dir / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"basis": self.basis, **self.facts, "findings": [dataclasses.asdict(item) for item in self.findings]}
        for camera, image in self.pictures.items():
            Image.fromarray(np.asarray(image)).save(picture_of(run_dir, camera))
        write_whole(file, json.dumps(content, indent=2) + "\n")
        return file

    def require_no_error(self) -> None:
        """Raise a :class:`PreflightError` that names the errors, if there are any."""
        if errors := self.of("error"):
            told = " ".join(f"{number}. {item.head}: {item.text} {item.fix}" for number, item in enumerate(errors, 1))
            raise PreflightError(
                f"The run was stopped before it began, by what its first decisions showed. {told} To train all the"
                " same: agent.preflight.decisions=0."
            )


def picture_of(run_dir: Path, camera: str) -> Path:
    """Where the picture of a camera lies, in the directory of a run."""
    return run_dir / FILE.parent / f"camera_{re.sub(r'[^A-Za-z0-9_.-]', '_', camera)}.png"


def _lines(finding: Finding) -> list[str]:
    head = f"  {finding.level:<7} {finding.head}: "
    return _wrapped(head + finding.text) + (_wrapped(f"{'':10}fix: {finding.fix}") if finding.fix else [])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 10, break_long_words=False, break_on_hyphens=False)
