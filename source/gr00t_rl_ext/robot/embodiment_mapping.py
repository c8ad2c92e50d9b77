# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The file that says how a task's observations and actions correspond to a checkpoint's keys, and in which units.

Without one, both are matched by position: the task's terms must have the checkpoint's order, widths and units. The
file is YAML with four sections, each of which may be left out, which means "by position"::

    state:   # key of the checkpoint: what fills it, from the task's observation terms
      joint_position: {term: joint_position, slice: [0, 7], from: rad, to: deg}
      eef_position: {term: eef_pose, slice: [0, 3]}
    video:   # camera of the checkpoint: the task's
      image: table_cam
    action:  # action term of the task: what fills it, from the checkpoint's keys
      arm_action: {key: joint_position, from: deg, to: rad, scale: 0.5, offset: [0.0, -0.19, 0.3]}
      gripper_action: gripper_position
    unused:  # what is left out on purpose
      state: [object_pose]

A whole term or key is just its name, several parts are a list. ``scale`` and ``offset`` belong to the task's numbers,
as in Isaac Lab's action terms: quantity = number x scale + offset, in the task's unit.

A rotation is converted between any two of its representations, which are units as well::

      eef_rotation: {term: eef_pose, slice: [3, 7], from: xyzw, to: rotation_6d}
      roll: {term: eef_pose, slice: [3, 7], from: xyzw, to: axis_angle, take: [0, 1]}
:mod:`~gr00t_rl_ext.robot.bound_mapping` checks the file against a task and a checkpoint.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from gr00t_rl_ext.gr00t import Embodiment
from gr00t_rl_ext.gr00t.rotations import ROTATIONS

ROTATION = "rotation"
"""Kind of the units that are representations of a rotation."""

REPRESENTATIONS: dict[str, str] = {
    "wxyz": "quaternion_wxyz",
    "xyzw": "quaternion_xyzw",
    **{name: name for name in ROTATIONS if not name.startswith("quaternion")},
}
"""Unit -> entry of ``rotations.ROTATIONS``. Isaac Lab 3.0 writes quaternions as xyzw."""

UNITS: dict[str, tuple[str, float]] = {
    "rad": ("angle", 1.0),
    "deg": ("angle", math.pi / 180),
    "m": ("length", 1.0),
    "cm": ("length", 0.01),
    "mm": ("length", 0.001),
    "fraction": ("ratio", 1.0),
    "percent": ("ratio", 0.01),
    **dict.fromkeys(REPRESENTATIONS, (ROTATION, 1.0)),
}
"""Unit -> its kind, and its size in the first unit of that kind."""


class EmbodimentMappingError(ValueError):
    """A mapping cannot be used; the message names the file, the field, what is available and how to fix it."""


def describe_units() -> str:
    kinds: dict[str, list[str]] = {}
    for name, (kind, _) in UNITS.items():
        kinds.setdefault(kind, []).append(name)
    return "; ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items())


def _known_unit(name: str) -> str:
    if name not in UNITS:
        raise ValueError(f"unknown unit {name!r}; units are {describe_units()}")
    return name


def _ordered(bounds: tuple[int, int]) -> tuple[int, int]:
    if not 0 <= bounds[0] < bounds[1]:
        raise ValueError(f"{list(bounds)} is no slice; expected [start, stop] with 0 <= start < stop")
    return bounds


def _nonzero(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if 0.0 in numbers:
        raise ValueError(f"{list(numbers)} contains 0; a scale must have an inverse")
    return numbers


def _not_empty[T](items: tuple[T, ...]) -> tuple[T, ...]:
    if not items:
        raise ValueError("expected at least one entry")
    return items


def _one_or_many(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


_Unit = Annotated[str, AfterValidator(_known_unit)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Numbers = Annotated[tuple[_Number, ...], AfterValidator(_not_empty), BeforeValidator(_one_or_many)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Section):
    """Adjacent numbers, with their conversion."""

    slice: Annotated[tuple[int, int], AfterValidator(_ordered)] | None = None
    """First and one past the last number that are taken from the source; None: all."""

    from_: _Unit | None = Field(None, alias="from")
    """Unit of the source: of the term in ``state``, of the key in ``action``."""

    to: _Unit | None = None
    """Unit of the target: of the key in ``state``, of the term in ``action``."""

    scale: Annotated[_Numbers, AfterValidator(_nonzero)] = (1.0,)
    """Of the task's numbers: quantity = number x scale + offset. One for all, or one each."""

    offset: _Numbers = (0.0,)
    """Likewise, in the task's unit."""

    take: Annotated[tuple[int, int], AfterValidator(_ordered)] | None = None
    """First and one past the last number that is taken of a converted rotation, where its numbers are keys of their
    own; of the parts of ``state`` only. None: all."""

    kind: ClassVar[str]
    """Name of the field with the source."""

    @property
    def source(self) -> str:
        """Name of the term or key that the numbers are taken from."""
        return getattr(self, self.kind)

    @property
    def rotation(self) -> tuple[str, str] | None:
        """Representations of a rotation that is converted, entries of ``rotations.ROTATIONS``; None: it is none."""
        if self.from_ is None or self.to is None or UNITS[self.from_][0] != ROTATION:
            return None
        return REPRESENTATIONS[self.from_], REPRESENTATIONS[self.to]

    def factor(self) -> float:
        """What the source's quantity is multiplied with to be in the target's unit."""
        return 1.0 if self.from_ is None or self.to is None else UNITS[self.from_][1] / UNITS[self.to][1]

    @model_validator(mode="after")
    def _check_units(self) -> Part:
        if (self.from_ is None) != (self.to is None):
            given, missing = ("from", "to") if self.to is None else ("to", "from")
            raise ValueError(f"`{given}` is given without `{missing}`; give both, or none for equal units")
        if self.from_ is not None and self.to is not None:
            kinds = UNITS[self.from_][0], UNITS[self.to][0]
            if kinds[0] != kinds[1]:
                raise ValueError(
                    f"{self.from_!r} ({kinds[0]}) cannot become {self.to!r} ({kinds[1]}); units are {describe_units()}"
                )
        # of the task's side, which they belong to
        ours = self.from_ if self.kind == "term" else self.to
        is_fixed = self.rotation is not None and ours is not None and not ours.startswith(("axis_angle", "euler"))
        if is_fixed and (self.scale, self.offset) != ((1.0,), (0.0,)):
            raise ValueError(f"a rotation as {ours} has neither `scale` nor `offset`")
        if self.take is not None and (self.rotation is None or self.kind != "term"):
            raise ValueError("`take` chooses among the numbers of a rotation of the state; give `from` and `to`")
        if self.take is not None and self.rotation is not None:
            width = ROTATIONS[self.rotation[1]]
            if self.take[1] > width:
                raise ValueError(f"`take` is {list(self.take)}, but a rotation as {self.to} has {width} numbers")
        return self


class StatePart(Part):
    """Part of a state key of the checkpoint."""

    kind = "term"

    term: str
    """Observation term of the task."""


class ActionPart(Part):
    """Part of an action term of the task."""

    kind = "key"

    key: str
    """Action key of the checkpoint."""


def _parts(name: str) -> BeforeValidator:
    """A string or a mapping stands for a list of one; a string for a whole term or key."""

    def spell_out(value: Any) -> Any:
        return [{name: item} if isinstance(item, str) else item for item in _one_or_many(value)]

    return BeforeValidator(spell_out)


class Unused(_Section):
    """What the mapping leaves out on purpose. Whatever is neither used nor named here is an error."""

    state: tuple[str, ...] = ()
    """Observation terms of the task that the checkpoint does not know."""

    video: tuple[str, ...] = ()
    """Cameras of the task that the checkpoint does not know."""

    action: tuple[str, ...] = ()
    """Action keys of the checkpoint that the task does not have."""


class EmbodimentMapping(_Section):
    """What the file says."""

    state: dict[str, Annotated[tuple[StatePart, ...], AfterValidator(_not_empty), _parts("term")]] = {}
    """State key of the checkpoint -> its parts in order. Empty: by position."""

    video: dict[str, str] = {}
    """Video key of the checkpoint -> camera of the task. Empty: by position."""

    action: dict[str, Annotated[tuple[ActionPart, ...], AfterValidator(_not_empty), _parts("key")]] = {}
    """Action term of the task -> its parts in order. Empty: by position."""

    unused: Unused = Unused()

    _file: str = PrivateAttr("")

    @classmethod
    def load(cls, path: str) -> EmbodimentMapping:
        """Read a mapping.

        Args:
            path: A YAML file, or ``module:file`` for one in an installed package. Empty: everything by position.

        Raises:
            EmbodimentMappingError: There is no such file, or it is not a mapping.
        """
        if not path:
            return cls()
        content = _read_yaml(mapping_file(path), path)
        try:
            mapping = cls.model_validate(content)
        except ValidationError as error:
            raise EmbodimentMappingError(
                "; ".join(f"mapping {path!r}, {_explain(problem, content)}" for problem in error.errors())
            ) from error
        mapping._file = path
        return mapping

    def digest(self) -> str:
        """Hash that is equal for equal mappings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def error(self, place: str, text: str) -> EmbodimentMappingError:
        """An error at a place such as ``state.joint_position``."""
        return EmbodimentMappingError(f"mapping {self._file!r}, {place}: {text}")

    def check_checkpoint(self, embodiment: Embodiment) -> None:
        """Check that the keys are the checkpoint's, as far as that needs no task.

        Raises:
            EmbodimentMappingError: A key is unknown, or one is missing.
        """
        state, action = ({spec.key: spec.dim for spec in v.specs} for v in (embodiment.state, embodiment.action))
        self.check_keys(
            f"the checkpoint's embodiment {embodiment.tag!r}", state, dict.fromkeys(embodiment.video_keys), action
        )

    def check_keys(
        self,
        owner: str,
        state: Mapping[str, int | None],
        video: Mapping[str, int | None],
        action: Mapping[str, int | None],
    ) -> None:
        """:meth:`check_checkpoint` for keys that are somebody's, with their widths where these are known."""
        for section, keys, used, unused in (
            ("state", state, list(self.state), ()),
            ("video", video, list(self.video), ()),
            ("action", action, [part.key for parts in self.action.values() for part in parts], self.unused.action),
        ):
            # a checkpoint may not name its cameras; then the order of the file counts
            if not used or not keys:
                continue
            what = f"{owner} has no {section} key"
            self._check_known(section, used, what, keys)
            self._check_known(f"unused.{section}", unused, what, keys)
            if both := [key for key in unused if key in used]:
                raise self.error(f"unused.{section}", f"{', '.join(both)} is used in `{section}`")
            if missing := [key for key in keys if key not in used and key not in unused]:
                raise self.error(
                    section,
                    f"nothing is said of {', '.join(missing)}, which {owner} has; its {section} keys are "
                    f"{describe(keys)}. Add what corresponds to them"
                    + (", or name them in `unused.action`" if section == "action" else ""),
                )

    def check_task(
        self, state_terms: Mapping[str, int | None], cameras: Collection[str], action_terms: Mapping[str, int | None]
    ) -> None:
        """Check that the names are the task's.

        Args:
            state_terms: Terms of the actor's observation groups, with their widths where these are known.
            cameras: Names of the cameras.
            action_terms: Terms of the action, likewise.

        Raises:
            EmbodimentMappingError: A name is unknown, or an action term is missing.
        """
        views = dict.fromkeys(cameras)
        for key, parts in self.state.items():
            names = [part.term for part in parts]
            self._check_known(f"state.{key}", names, "the actor's observations have no term", state_terms)
        for key, camera in self.video.items():
            self._check_known(f"video.{key}", [camera], "the actor's observations have no camera", views)
        self._check_known("unused.state", self.unused.state, "the actor's observations have no term", state_terms)
        self._check_known("unused.video", self.unused.video, "the actor's observations have no camera", views)
        self._check_known("action", list(self.action), "the task has no action term", action_terms)
        if self.action and (missing := [term for term in action_terms if term not in self.action]):
            raise self.error(
                "action",
                f"nothing is said of the task's {', '.join(missing)}; its action terms are {describe(action_terms)}. "
                "Add the checkpoint's keys for them",
            )
        for section, names in self.unused:
            if names and not getattr(self, section):
                raise self.error(
                    f"unused.{section}", f"the section `{section}` is missing, so everything is used by position"
                )

    def _check_known(self, place: str, names: Collection[str], what: str, available: Mapping[str, int | None]) -> None:
        for name in names:
            if name not in available:
                raise self.error(place, f"{what} {name!r}; available are {describe(available)}")


def describe(widths: Mapping[str, int | None]) -> str:
    """Names with their widths, for messages."""
    return ", ".join(name if width is None else f"{name} ({width})" for name, width in widths.items()) or "none"


def mapping_file(path: str) -> Path:
    """The file that ``agent.actor.gr00t.mapping`` means.

    Raises:
        EmbodimentMappingError: There is none.
    """
    file = Path(path).expanduser()
    if file.is_file():
        return file
    module, _, name = path.partition(":")
    if module and name:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        for location in (spec.submodule_search_locations or ()) if spec else ():
            if (Path(location) / name).is_file():
                return Path(location) / name
    raise EmbodimentMappingError(
        f"there is no mapping {path!r}; expected a YAML file, for a relative path below the working directory, or "
        "package:file for one in an installed package"
    )


class _Loader(yaml.SafeLoader):
    """YAML in which a repeated key is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode):
                if key_node.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"{key_node.value!r} stands twice", problem_mark=key_node.start_mark
                    )
                seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def _read_yaml(file: Path, path: str) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise EmbodimentMappingError(f"mapping {path!r}, {place}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmbodimentMappingError(f"mapping {path!r}: not valid YAML: {error}") from error
    if not isinstance(content, dict) or not content:
        kind = "nothing" if not content else f"a {type(content).__name__}"
        raise EmbodimentMappingError(
            f"mapping {path!r} holds {kind}; expected the sections {', '.join(EmbodimentMapping.model_fields)}"
        )
    return content


_FIELDS: dict[str, type[BaseModel]] = {"state": StatePart, "action": ActionPart, "unused": Unused}


def _explain(problem: Any, content: Any) -> str:
    """One of pydantic's errors as "place: text"."""
    place, node = "", content
    for step in problem["loc"]:
        if isinstance(node, list) and isinstance(step, int):
            place, node = f"{place}[{step}]", node[step] if step < len(node) else None
        elif isinstance(node, dict) and step in node:
            place, node = f"{place}.{step}".lstrip("."), node[step]
        elif isinstance(step, str) and step != "[key]":
            place, node = f"{place}.{step}".lstrip("."), None
        # else a single part, which stands without a list
    if problem["type"] == "extra_forbidden":
        section = problem["loc"][0] if len(problem["loc"]) > 1 else None
        model = EmbodimentMapping if section is None else _FIELDS[str(section)]
        names = ", ".join(field.alias or name for name, field in model.model_fields.items())
        return f"{place}: there is no such field; the fields are {names}"
    text = _TEXTS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    if problem["type"] not in ("value_error", "missing"):
        text = f"{text[0].lower()}{text[1:]}, got {problem['input']!r}"
    return f"{place}: {text}"


_TEXTS = {
    "missing": "this field is missing",
    "model_type": "expected a name, the fields of a part, or a list of these",
    "dict_type": "expected names and what belongs to them",
    "tuple_type": "expected a list",
    "too_long": "too many entries",
}
"""Pydantic's kinds of error -> our words, where its own are about Python."""
