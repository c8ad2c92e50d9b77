# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reads task files; errors name file and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from gr00t_rl_ext.tasks.files.schema import kind_of


class TaskFileError(ValueError):
    """A task file cannot be used. The message names file, line and field."""


class _Loader(yaml.SafeLoader):
    """YAML in which no key is there twice, and 1e-3 is a number."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)


class Source:
    """A task file that was read.

    Args:
        path: The file.

    Raises:
        TaskFileError: It is none, or a field is missing, unknown or wrong.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        try:
            loader = _Loader(self.path.read_text(encoding="utf-8"))
            self._node: Any = loader.get_single_node()
            content = None if self._node is None else loader.construct_document(self._node)
        except OSError as error:
            raise TaskFileError(f"The task file {str(path)!r} cannot be read: {error.strerror}.") from error
        except (yaml.YAMLError, ValueError) as error:
            mark = getattr(error, "problem_mark", None)
            where = "" if mark is None else f", line {mark.line + 1}"
            problem = getattr(error, "problem", None) or error
            raise TaskFileError(f"{str(self.path)!r}{where} is no YAML: {problem}.") from error
        if not isinstance(content, dict):
            raise TaskFileError(f"{str(self.path)!r} holds no mapping; expected fields such as base and instruction.")
        kind = kind_of(content)
        try:
            self.task: Any = kind.model_validate(content)
        except ValidationError as wrong:
            problems = [self._text(error["loc"], _problem(error, kind)) for error in wrong.errors()[:5]]
            more = f"\n(and {len(wrong.errors()) - 5} more)" if len(wrong.errors()) > 5 else ""
            raise TaskFileError("\n".join(problems) + more) from None

    def error(self, place: Sequence[str | int], text: str) -> TaskFileError:
        """An error at a place of the file, such as ``("cameras", "wrist", "body")``."""
        return TaskFileError(self._text(place, text))

    def where(self, place: Sequence[str | int]) -> str:
        """File and line of a place, or of what it would be in; empty where the file has no such field."""
        if not any(key.value == place[0] for key, _ in self._node.value):
            return ""
        return f"{str(self.path)!r}, line {self._line(place)[0]}"

    def _text(self, place: Sequence[str | int], text: str) -> str:
        line, found = self._line(place)
        return f"{str(self.path)!r}, line {line}, {'.'.join(map(str, found)) or 'the file'}: {text}"

    def _line(self, place: Sequence[str | int]) -> tuple[int, list[str | int]]:
        """Line of the innermost part of a place that is in the file, and the names that lead there."""
        node, line, found = self._node, 1, []
        for name in place:
            if isinstance(node, yaml.MappingNode):
                inner = next(((key, value) for key, value in node.value if key.value == str(name)), None)
                if inner is None:
                    # pydantic names the kinds that a value may have, and fields that are missing
                    if isinstance(name, str) and name[:1].islower():
                        found.append(name)
                    continue
                key, node = inner
                line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
                node = node.value[name]
                line = node.start_mark.line + 1
            else:
                continue
            found.append(name)
        return line, found


def _problem(error: Any, kind: type[BaseModel]) -> str:
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        fields = _fields(error["loc"][:-1], kind)
        return f"there is no such field{similar(str(error['loc'][-1]), fields)}. Fields: {', '.join(fields)}"
    if error["type"] == "missing":
        return "it is missing"
    return f"{text[0].lower()}{text[1:]}, found {error['input']!r}"


def _fields(place: Sequence[str | int], kind: type[BaseModel]) -> list[str]:
    """Fields of the model at a place of a kind of file."""
    model: Any = kind
    for name in place:
        field = model.model_fields.get(name) if hasattr(model, "model_fields") else None
        if field is None:
            continue
        inner = [kind for kind in _kinds(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            model = inner[-1]
    return list(model.model_fields)


def _kinds(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation] if not arguments else [kind for argument in arguments for kind in _kinds(argument)]


def similar(name: str, known: Sequence[str]) -> str:
    """A hint at names that are nearly the same; empty where there is none."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}" if close else ""
