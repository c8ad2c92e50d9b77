# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A client of policy servers that speak GR00T's protocol, ours or NVIDIA's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import zmq

from gr00t_rl_ext.serving.protocol import (
    DEFAULT_PORT,
    FLAT,
    N1_5,
    NESTED,
    Observation,
    PolicyKeys,
    RequestError,
    read_answer,
    write_request,
)
from gr00t_rl_ext.serving.wire import ENVELOPES, NPY, WireError, pack, unpack


class ServerError(ValueError):
    """A policy server does not answer, or not what was asked."""


class PolicyClient:
    """Asks a policy server.

    Args:
        address: ``HOST:PORT``, or ``HOST`` for GR00T's usual port.
        api_token: What the server wants to be told. None: nothing.
        timeout_s: How long an answer may take. The first decision of a large model takes longest.

    Raises:
        ServerError: The address is none.
    """

    def __init__(self, address: str, *, api_token: str | None = None, timeout_s: float = 60.0) -> None:
        host, _, port = address.rpartition(":") if ":" in address else (address, "", str(DEFAULT_PORT))
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ServerError(f"the server's address is {address!r}; expected HOST:PORT, such as localhost:5555")
        self.address = f"{host}:{port}"
        self._token, self._timeout_s = api_token, timeout_s
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._keys: PolicyKeys | None = None
        self._forms: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._disconnect()
        self._context.term()

    def call(self, endpoint: str, data: Any = None, envelope: str = NPY) -> Any:
        """The answer of an endpoint.

        Raises:
            ServerError: There is none in time, it cannot be read, or it is an error. The next call may succeed.
        """
        message: dict[str, Any] = {"endpoint": endpoint}
        if data is not None:
            message["data"] = data
        if self._token is not None:
            message["api_token"] = self._token
        socket = self._connected()
        socket.send(pack(message, envelope))
        if not socket.poll(int(1000 * self._timeout_s)):
            # a socket that asked waits for its answer forever: only a new one may ask again
            self._disconnect()
            raise ServerError(
                f"the policy server at {self.address} did not answer {endpoint} within {self._timeout_s:g} s. Is it"
                " running there, and does it listen to this machine? Its own start may take minutes"
            )
        try:
            answer, _ = unpack(socket.recv())
        except WireError as error:
            raise ServerError(f"the policy server at {self.address} cannot be understood: {error}") from error
        if isinstance(answer, Mapping) and "error" in answer:
            raise ServerError(f"the policy server at {self.address} refused {endpoint}: {answer['error']}")
        return answer

    def keys(self) -> PolicyKeys:
        """What the policy reads and gives; asked once.

        Raises:
            ServerError: It does not tell, or reads what cannot be given.
        """
        if self._keys is None:
            try:
                self._keys, is_old = PolicyKeys.read(self.call("get_modality_config"))
            except RequestError as error:
                raise ServerError(f"the policy server at {self.address} cannot be used: {error}") from error
            forms = (N1_5,) if is_old else (NESTED, FLAT)
            self._forms = [(form, envelope) for form in forms for envelope in ENVELOPES]
        return self._keys

    def act(self, observation: Observation, options: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Actions (B, H, D) by key, float32, in the checkpoint's units.

        Which form of requests and which envelope of arrays the server reads, its first answers tell.

        Args:
            observation: In the checkpoint's keys and units.
            options: Of the server, such as ``seed`` of ours; N1.5's protocol has no place for them.

        Raises:
            ServerError: There is no answer, or of another robot.
        """
        keys, refusals = self.keys(), []
        while True:
            form, envelope = self._forms[0]
            data = write_request(observation, keys, form, options or {})
            try:
                answer = read_answer(self.call("get_action", data, envelope), keys, len(observation.instructions))
            except RequestError as error:
                raise ServerError(f"the policy server at {self.address}: {error}") from error
            except ServerError as error:
                if " refused " not in str(error) or len(self._forms) == 1:
                    raise ServerError("\n".join([*refusals, str(error)])) from error
                refusals.append(f"{error} (asked in the form {form}, with arrays as {envelope})")
                self._forms.pop(0)
            else:
                del self._forms[1:]
                return answer

    def _connected(self) -> zmq.Socket[bytes]:
        if self._socket is None:
            self._socket = self._context.socket(zmq.REQ)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._socket.connect(f"tcp://{self.address}")
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
