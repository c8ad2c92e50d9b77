# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Options: plain dataclasses, each the one place of a section of an agent's config, read and checked in one way.

Isaac Lab's config classes inherit them, so that a field is declared, documented and checked once. The checks of a class
are its method ``validate_config``, the name that Isaac Lab's own ``validate`` looks for.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any


def read[T](options_class: type[T], given: Mapping[str, Any], where: str) -> T:
    """Options from plain values, nested sections included, checked.

    Args:
        options_class: A dataclass, whose fields may be such dataclasses.
        given: Values by field; the others have their defaults. A section may be an object of its class already.
        where: The section's path, for errors: ``agent.actor``.

    Raises:
        ValueError: A field does not exist, or has a value that is not possible.
    """
    hints = typing.get_type_hints(options_class)
    names = [field.name for field in dataclasses.fields(options_class)]  # type: ignore[arg-type]
    check_fields(where, given, names)
    values = dict(given)
    for name, value in given.items():
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            values[name] = read(typing.cast(Any, hints[name]), value, f"{where}.{name}")
    options = options_class(**values)
    _validate_own(options)
    return options


def validate(config: Any) -> None:
    """Run ``validate_config`` of a config and of its sections, the innermost first.

    Raises:
        ValueError: What one of them refuses.
    """
    for value in list(vars(config).values()):
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            validate(value)
    _validate_own(config)


def _validate_own(config: Any) -> None:
    if hasattr(config, "validate_config"):
        config.validate_config()


def check_fields(where: str, given: Iterable[str], known: Collection[str]) -> None:
    """Reject config fields that nothing reads.

    Raises:
        ValueError: Naming the unknown fields and those that exist.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        fields = f"Its fields are: {', '.join(sorted(known))}" if known else "It is empty for this class"
        raise ValueError(f"`{where}` has no field {', '.join(map(repr, unknown))}. {fields}.")


class Requirements:
    """Checks of single options, with the message that names field, value and what is expected.

    Args:
        options: The options.
        where: Path of their section.
    """

    def __init__(self, options: Any, where: str) -> None:
        self._options, self._where = options, where

    def _refuse(self, name: str, expected: str) -> None:
        value = getattr(self._options, name)
        shown = repr(value) if isinstance(value, str) else value
        raise ValueError(f"`{self._where}.{name}` is {shown}; expected {expected}.")

    def positive(self, *names: str) -> None:
        """Positive numbers, or None where a field may be."""
        for name in names:
            value = getattr(self._options, name)
            if value is not None and not 0.0 < value < math.inf:
                self._refuse(name, "a positive number")

    def not_negative(self, *names: str) -> None:
        """Weights or numbers of iterations, where 0 means off."""
        for name in names:
            if not 0.0 <= getattr(self._options, name) < math.inf:
                self._refuse(name, "0 (off) or more")

    def count(self, *names: str, at_least: int = 1) -> None:
        """Integers, or None where a field may be."""
        for name in names:
            value = getattr(self._options, name)
            if value is not None and (value < at_least or value != int(value)):
                self._refuse(name, f"an integer of at least {at_least}")

    def one_of(self, name: str, choices: Collection[str], *, any_case: bool = False) -> None:
        """One of some words."""
        value = str(getattr(self._options, name))
        if (value.lower() if any_case else value) not in choices:
            self._refuse(name, f"one of {', '.join(choices)}")
