# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The mapping's file: what it may say, and one clear message for everything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gr00t_rl_ext.robot.embodiment_mapping import ROTATION, UNITS, EmbodimentMapping, EmbodimentMappingError

UNIT_LIST = "units are rad, deg (angle); m, cm, mm (length); fraction, percent (ratio); wxyz, xyzw, axis_angle"
STATE_FIELDS = "slice, from, to, scale, offset, take, term"


def load(tmp_path: Path, text: str) -> EmbodimentMapping:
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    return EmbodimentMapping.load(str(file))


def test_short_forms_are_spelled_out(tmp_path: Path) -> None:
    mapping = load(
        tmp_path,
        """
        state:
          whole: joints
          part: {term: joints, slice: [0, 7], from: rad, to: deg, scale: -1, offset: 1e-3}
          several: [joints, {term: pose, slice: [3, 7], from: xyzw, to: wxyz}]
        video: {image: table_cam}
        action:
          arm: {key: joints, scale: [0.5, 0.25], offset: [1, 2]}
        unused: {state: [objects]}
        """,
    )
    (whole,), (part,), several = (mapping.state[key] for key in ("whole", "part", "several"))
    assert (whole.term, whole.slice, whole.from_, whole.scale, whole.offset) == ("joints", None, None, (1.0,), (0.0,))
    assert (part.slice, part.from_, part.to, part.scale, part.offset) == ((0, 7), "rad", "deg", (-1.0,), (0.001,))
    assert [part.term for part in several] == ["joints", "pose"]
    assert mapping.video == {"image": "table_cam"}
    assert mapping.action["arm"][0].scale == (0.5, 0.25)
    assert mapping.unused.state == ("objects",)


def test_no_file_is_no_mapping() -> None:
    assert EmbodimentMapping.load("") == EmbodimentMapping()


def test_a_mapping_cannot_be_changed(tmp_path: Path) -> None:
    mapping = load(tmp_path, "state: {a: b}")
    with pytest.raises(ValidationError, match="frozen"):
        mapping.state = {}  # type: ignore[misc]


def test_the_digest_is_that_of_what_the_file_says(tmp_path: Path) -> None:
    first = load(tmp_path, "state: {a: b}").digest()
    assert load(tmp_path, "# a comment\nstate:\n  a: [{term: b, scale: 1}]").digest() == first
    assert load(tmp_path, "state: {a: c}").digest() != first


@pytest.mark.parametrize(
    ("source", "target", "factor"), [("rad", "deg", 57.29577951308232), ("percent", "fraction", 0.01)]
)
def test_factors(tmp_path: Path, source: str, target: str, factor: float) -> None:
    (part,) = load(tmp_path, f"state: {{a: {{term: b, from: {source}, to: {target}}}}}").state["a"]
    assert part.factor() == pytest.approx(factor, rel=1e-15)


def test_every_unit_and_its_inverse() -> None:
    """In the first unit of its kind: 1 m = 100 cm, and so on."""
    measures = {name: 1 / size for name, (kind, size) in UNITS.items() if kind != ROTATION or name in ("wxyz", "xyzw")}
    assert measures == pytest.approx(
        {"rad": 1, "deg": 57.29577951308232, "m": 1, "cm": 100, "mm": 1000}
        | {"fraction": 1, "percent": 100, "wxyz": 1, "xyzw": 1}
    )


def test_a_file_of_a_package() -> None:
    mapping = EmbodimentMapping.load("gr00t_rl_ext.tasks.stack.config.franka:mapping_degrees.yaml")
    assert set(mapping.action) == {"arm_action", "gripper_action"}


@pytest.mark.parametrize(
    "path", ["nowhere.yaml", "gr00t_rl_ext:nowhere.yaml", "no_such_package:file.yaml", "a:b:c", ":x"]
)
def test_a_file_that_does_not_exist(path: str) -> None:
    with pytest.raises(
        EmbodimentMappingError, match=rf"there is no mapping '{path}'; expected a YAML file, .* package:f"
    ):
        EmbodimentMapping.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # YAML
        ("state: [", "line 1, column 9: not valid YAML: expected the node content"),
        ("state:\n  a: b: c", "line 2, column 7: not valid YAML: mapping values are not allowed here"),
        ("state:\n  a: b\n  c: d\n  a: e", "line 4, column 3: not valid YAML: 'a' stands twice"),
        ("state: {a: *pose}", "line 1, column 12: not valid YAML: found undefined alias 'pose'"),
        ("", "holds nothing; expected the sections state, video, action, unused"),
        ("- state", "holds a list; expected the sections state, video, action, unused"),
        # fields
        ("sate: {}", "sate: there is no such field; the fields are state, video, action, unused"),
        ("unused: {states: [a]}", "unused.states: there is no such field; the fields are state, video, action"),
        ("state: {a: {term: b, trem: c}}", f"state.a.trem: there is no such field; the fields are {STATE_FIELDS}"),
        ("state: {a: {term: b, key: b}}", f"state.a.key: there is no such field; the fields are {STATE_FIELDS}"),
        ("action: {a: {scale: 2}}", "action.a.key: this field is missing"),
        ("state: {a: [b, {slice: [0, 1]}]}", "state.a[1].term: this field is missing"),
        ("state:", "state: expected names and what belongs to them, got None"),
        ("state: {a: 3}", "state.a: expected a name, the fields of a part, or a list of these, got 3"),
        ("state: {a: []}", "state.a: expected at least one entry"),
        ("state: {1: b}", "state.1: input should be a valid string, got 1"),
        ("video: {a: [b, c]}", "video.a: input should be a valid string, got ['b', 'c']"),
        # slices
        (
            "state: {a: {term: b, slice: [3, 3]}}",
            "state.a.slice: [3, 3] is no slice; expected [start, stop] with 0 <= start",
        ),
        ("state: {a: {term: b, slice: [-1, 3]}}", "state.a.slice: [-1, 3] is no slice"),
        ("state: {a: {term: b, slice: 3}}", "state.a.slice: expected a list, got 3"),
        ("state: {a: {term: b, slice: [0, 1, 2]}}", "state.a.slice: too many entries, got [0, 1, 2]"),
        ("state: {a: {term: b, slice: [0]}}", "state.a.slice[1]: this field is missing"),
        ("state: {a: {term: b, slice: [0, x]}}", "state.a.slice[1]: input should be a valid integer, unable to parse"),
        # units
        ("state: {a: {term: b, from: degree, to: rad}}", f"state.a.from: unknown unit 'degree'; {UNIT_LIST}"),
        (
            "state: {a: {term: b, from: rad}}",
            "state.a: `from` is given without `to`; give both, or none for equal units",
        ),
        ("action: {a: {key: b, to: rad}}", "action.a: `to` is given without `from`"),
        (
            "state: {a: {term: b, from: rad, to: cm}}",
            f"state.a: 'rad' (angle) cannot become 'cm' (length); {UNIT_LIST}",
        ),
        # numbers
        ("state: {a: {term: b, scale: 0}}", "state.a.scale: [0.0] contains 0; a scale must have an inverse"),
        ("state: {a: {term: b, scale: [1, x]}}", "state.a.scale[1]: input should be a valid number, unable to parse"),
        ("state: {a: {term: b, offset: .nan}}", "state.a.offset: input should be a finite number, got nan"),
        ("state: {a: {term: b, offset: []}}", "state.a.offset: expected at least one entry"),
        (
            "state: {a: {term: b, from: xyzw, to: wxyz, scale: 2}}",
            "state.a: a rotation as xyzw has neither `scale` nor `offset`",
        ),
        (
            "action: {a: {key: b, from: axis_angle, to: rotation_6d, scale: 2}}",
            "action.a: a rotation as rotation_6d has neither `scale` nor `offset`",
        ),
        (
            "state: {a: {term: b, from: xyzw, to: axis_angle, take: [2, 4]}}",
            "state.a: `take` is [2, 4], but a rotation as axis_angle has 3 numbers",
        ),
        (
            "action: {a: {key: b, from: wxyz, to: axis_angle, take: [0, 1]}}",
            "action.a: `take` chooses among the numbers of a rotation of the state; give `from` and `to`",
        ),
        (
            "state: {a: {term: b, take: [0, 1]}}",
            "state.a: `take` chooses among the numbers of a rotation of the state; give `from` and `to`",
        ),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EmbodimentMappingError) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"mapping {str(tmp_path / 'mapping.yaml')!r}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).count("mapping '") == 1, "one mistake is one message"


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(
        EmbodimentMappingError, match=r"state.a.from: unknown unit 'grad'.*; mapping .*state.c.trem: there"
    ):
        load(tmp_path, "state: {a: {term: b, from: grad, to: rad}, c: {term: d, trem: e}}")


def test_merge_keys_and_anchors(tmp_path: Path) -> None:
    mapping = load(
        tmp_path, "state:\n  a: &angle {term: q, from: rad, to: deg, slice: [0, 1]}\n  b: {<<: *angle, slice: [1, 2]}"
    )
    assert (mapping.state["b"][0].to, mapping.state["b"][0].slice) == ("deg", (1, 2))


def test_the_file_is_not_executed(tmp_path: Path) -> None:
    with pytest.raises(EmbodimentMappingError, match=re.escape("could not determine a constructor for the tag")):
        load(tmp_path, "state: !!python/object/apply:os.getcwd []")
