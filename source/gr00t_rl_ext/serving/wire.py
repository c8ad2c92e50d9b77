# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Messages as bytes: msgpack with arrays in either of the two envelopes that are in use, and no pickles."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np

NPY = "npy"
"""Envelope of an array: a map with the bytes of :func:`numpy.save`. GR00T N1.5, N1.6, and N1.7 of spring 2026."""

MSGPACK_NUMPY = "msgpack_numpy"
"""Envelope of an array: the package's of that name. GR00T N1.7 since."""

ENVELOPES = (NPY, MSGPACK_NUMPY)

_MODALITY = ("__ModalityConfig_class__", "__ModalityConfig__")
"""Marks of a modality config: of N1.5, N1.6 and N1.7 of spring 2026, and of N1.7 since. No client minds the other."""


class WireError(ValueError):
    """A message cannot be read."""


@dataclass(frozen=True)
class ModalityConfig:
    """What of a modality a policy reads or gives."""

    modality_keys: tuple[str, ...]
    """Keys in order."""

    delta_indices: tuple[int, ...]
    """Time steps, 0 being the observation's own."""

    as_text: bool = False
    """Whether it travels as JSON text, as in N1.5, instead of as a map."""


def pack(message: Any, envelope: str = NPY) -> bytes:
    """A message as bytes.

    Args:
        message: Maps, lists, texts, numbers, arrays and :class:`ModalityConfig`.
        envelope: Of arrays, an entry of :data:`ENVELOPES`.
    """

    def encode(value: Any) -> Any:
        if isinstance(value, ModalityConfig):
            fields = {"delta_indices": list(value.delta_indices), "modality_keys": list(value.modality_keys)}
            return dict.fromkeys(_MODALITY, True) | {"as_json": json.dumps(fields) if value.as_text else fields}
        if isinstance(value, np.ndarray) and envelope == NPY:
            buffer = io.BytesIO()
            np.save(buffer, value, allow_pickle=False)
            return {"__ndarray_class__": True, "as_npy": buffer.getvalue()}
        return msgpack_numpy.encode(value)

    return bytes(msgpack.packb(message, default=encode) or b"")


def unpack(data: bytes) -> tuple[Any, str | None]:
    """The message of some bytes, and the envelope of its arrays; None where it has none.

    Raises:
        WireError: They are no message, or hold Python objects.
    """
    found: list[str] = []

    def decode(value: dict[Any, Any]) -> Any:
        if "__ndarray_class__" in value:
            found.append(NPY)
            return _from_npy(value.get("as_npy"))
        if b"nd" in value:
            found.append(MSGPACK_NUMPY)
            return _from_msgpack_numpy(value)
        if any(mark in value for mark in _MODALITY):
            return _modality(value.get("as_json"))
        return value

    try:
        message = msgpack.unpackb(data, object_hook=decode)
    except WireError:
        raise
    except Exception as error:  # of msgpack, which raises many kinds
        raise WireError(
            f"the message is no msgpack ({type(error).__name__}: {error}); expected that of a GR00T policy server or"
            " client"
        ) from error
    return message, found[0] if found else None


def _from_npy(data: Any) -> np.ndarray:
    if not isinstance(data, bytes):
        raise WireError("an array has no bytes `as_npy`")
    try:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        _check_dtype(dtype)
        # before the memory is taken that the header asks for
        if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
            raise WireError(f"an array of shape {shape} and type {dtype} has {len(data) - stream.tell()} bytes")
        return np.load(io.BytesIO(data), allow_pickle=False)
    except WireError:
        raise
    except Exception as error:  # of numpy, whose header is a Python literal
        raise WireError(f"an array cannot be read ({type(error).__name__}: {error})") from error


def _from_msgpack_numpy(value: dict[Any, Any]) -> Any:
    # its decode() unpickles arrays of objects
    if value.get(b"kind") not in (b"", None) or not isinstance(value.get(b"type"), str):
        raise WireError("an array holds Python objects or records, which are not read; send numbers or texts")
    try:
        _check_dtype(np.dtype(value[b"type"]))
        return np.array(msgpack_numpy.decode(value))
    except WireError:
        raise
    except Exception as error:  # of numpy and the package
        raise WireError(f"an array cannot be read ({type(error).__name__}: {error})") from error


def _check_dtype(dtype: np.dtype) -> None:
    if dtype.hasobject or dtype.names is not None:
        raise WireError("an array holds Python objects or records, which are not read; send numbers or texts")


def _modality(fields: Any) -> ModalityConfig:
    as_text = isinstance(fields, str)
    try:
        fields = json.loads(fields) if as_text else fields
        keys, steps = fields["modality_keys"], fields["delta_indices"]
        return ModalityConfig(tuple(map(str, keys)), tuple(map(int, steps)), as_text)
    except (TypeError, KeyError, ValueError) as error:
        raise WireError(f"a modality config cannot be read ({type(error).__name__}: {error})") from error
