# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""wire: both envelopes of arrays, byte by byte as their packages write them, and nothing that executes."""

from __future__ import annotations

import io
import json
import pickle
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pytest

from gr00t_rl_ext.serving.wire import ENVELOPES, MSGPACK_NUMPY, NPY, ModalityConfig, WireError, pack, unpack

ARRAYS = {
    "image": np.arange(24, dtype=np.uint8).reshape(1, 2, 4, 3),
    "state": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "one": np.float32(1.5),
    "empty": np.zeros((0, 3), np.float64),
    "texts": np.array(["pick", "place"]),
}


def as_numpy_saves(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_arrays_come_back_and_the_envelope_is_told(envelope: str) -> None:
    message, found = unpack(pack({"endpoint": "get_action", "data": ARRAYS, "list": [1, "a", None]}, envelope))
    assert found == envelope
    assert message["list"] == [1, "a", None]
    for name, array in ARRAYS.items():
        assert message["data"][name].dtype == array.dtype, name
        assert np.array_equal(message["data"][name], array), name


def test_messages_without_arrays_have_no_envelope() -> None:
    assert unpack(pack({"endpoint": "ping"})) == ({"endpoint": "ping"}, None)


def test_the_envelopes_are_those_of_the_packages() -> None:
    array = ARRAYS["state"]
    assert msgpack.unpackb(pack(array, NPY)) == {"__ndarray_class__": True, "as_npy": as_numpy_saves(array)}
    assert pack(array, MSGPACK_NUMPY) == msgpack.packb(array, default=msgpack_numpy.encode)
    assert np.array_equal(unpack(msgpack.packb(array, default=msgpack_numpy.encode))[0], array)


@pytest.mark.parametrize("as_text", [True, False])
def test_modality_configs_travel_as_text_or_as_a_map(as_text: bool) -> None:
    config = ModalityConfig(("video.front",), (0,), as_text)
    on_the_wire = msgpack.unpackb(pack(config))
    # of N1.5 to N1.7, and of N1.7 since it has msgpack-numpy
    assert on_the_wire["__ModalityConfig_class__"] is True
    assert on_the_wire["__ModalityConfig__"] is True
    fields = on_the_wire["as_json"]
    assert isinstance(fields, str) == as_text
    assert (json.loads(fields) if as_text else fields) == {"delta_indices": [0], "modality_keys": ["video.front"]}
    assert unpack(pack(config))[0] == config


@pytest.mark.parametrize("mark", ["__ModalityConfig_class__", "__ModalityConfig__"])
def test_fields_of_later_versions_are_passed_over(mark: str) -> None:
    fields = {"delta_indices": [0], "modality_keys": ["a"], "action_configs": None, "sin_cos_embedding_keys": ["a"]}
    assert unpack(msgpack.packb({mark: True, "as_json": fields}))[0] == ModalityConfig(("a",), (0,))


class Executes:
    """What a pickle of it does: it shows that it was loaded."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return pytest.fail, ("a pickle was loaded",)


def test_nothing_is_unpickled() -> None:
    objects = np.array([Executes()], dtype=object)
    evil = {
        b"nd": True,
        b"type": "|O",
        b"kind": b"O",
        b"shape": (1,),
        b"data": pickle.dumps(Executes()),
    }
    for value in (evil, evil | {b"kind": b""}, {"__ndarray_class__": True, "as_npy": as_numpy_saves(objects)}):
        with pytest.raises(WireError, match="Python objects or records, which are not read; send numbers or texts"):
            unpack(msgpack.packb({"data": value}))


def test_records_are_refused() -> None:
    records = np.zeros(2, dtype=[("a", "f4")])
    for value in (records, {"__ndarray_class__": True, "as_npy": as_numpy_saves(records)}):
        with pytest.raises(WireError, match="Python objects or records"):
            unpack(msgpack.packb(value, default=msgpack_numpy.encode))


def test_a_header_that_asks_for_more_than_there_is_takes_no_memory() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with pytest.raises(WireError, match=r"an array of shape \(1000000000000,\) and type float64 has 0 bytes"):
        unpack(msgpack.packb({"__ndarray_class__": True, "as_npy": header.getvalue()}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the message is no msgpack"),
        (b"GET / HTTP/1.1", "the message is no msgpack"),
        (pickle.dumps({"endpoint": "ping"}), "the message is no msgpack"),
        (msgpack.packb({"__ndarray_class__": True}), "an array has no bytes `as_npy`"),
        (msgpack.packb({"__ndarray_class__": True, "as_npy": b"abc"}), "an array cannot be read"),
        (
            msgpack.packb({b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [9], b"data": b"12"}),
            "an array cannot be read",
        ),
        (msgpack.packb({"__ModalityConfig_class__": True, "as_json": "{"}), "a modality config cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_error(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        unpack(data)
