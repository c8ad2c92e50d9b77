# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A policy server in GR00T's own protocol."""

from __future__ import annotations

import hmac
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import zmq

from gr00t_rl_ext.serving.protocol import PolicyKeys, Request, RequestError, read_request, write_answer
from gr00t_rl_ext.serving.wire import NPY, WireError, pack, unpack

MAX_MESSAGE = 512 * 2**20
"""Bytes of the largest message that is read. The connection of whoever sends a larger one is closed."""

POLL_MS = 200
"""How long the server waits before it looks whether it shall stop."""


class PolicyServer:
    """Answers requests one after the other.

    Whatever is wrong with a request is answered as ``{"error": text}``, and the server goes on. ``kill``, by which
    anybody could stop NVIDIA's servers, is refused.

    Args:
        act: Request -> actions (B, H, D) by key.
        keys: What the policy reads and gives.
        host: Address to listen at.
        port: Its port; 0 for any that is free.
        form: Form of the answer to ``get_modality_config``. That to ``get_action`` has the request's.
        api_token: What requests must name. None: nothing.

    Raises:
        OSError: Nothing can listen there.
    """

    def __init__(
        self,
        act: Callable[[Request], Mapping[str, np.ndarray]],
        keys: PolicyKeys,
        *,
        host: str,
        port: int,
        form: str,
        api_token: str | None = None,
    ) -> None:
        self._act, self._keys, self._form, self._token = act, keys, form, api_token
        self.answered = self.failed = 0
        """Requests so far, and those of them that were answered with an error."""

        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        if ":" in host:
            self._socket.setsockopt(zmq.IPV6, 1)
            host = f"[{host.strip('[]')}]"
        try:
            self._socket.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            self.close()
            raise OSError(
                f"nothing can listen at {host}, port {port}: {error.strerror}. Choose another --port, or the --host of"
                " a network interface of this machine (127.0.0.1 for this machine alone, 0.0.0.0 for all)."
            ) from error
        self.address: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT).removeprefix("tcp://")
        """Where it listens, host:port."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._context.term()

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Answer requests until told to stop."""
        while not is_stopped():
            if self._socket.poll(POLL_MS):
                self._socket.send(self._answer(self._socket.recv()))

    def _answer(self, data: bytes) -> bytes:
        self.answered += 1
        envelope = NPY
        try:
            message, found = unpack(data)
            envelope = found or NPY
            return pack(self._handle(message), envelope)
        except (WireError, RequestError) as error:
            text = str(error)
        except Exception as error:  # whatever the policy raises: the server must not end for it
            traceback.print_exc()
            text = f"the policy failed: {type(error).__name__}: {error}"
        self.failed += 1
        print(f"request {self.answered} refused: {text}", flush=True)
        return pack({"error": text}, envelope)

    def _handle(self, message: Any) -> Any:
        if not isinstance(message, Mapping):
            raise RequestError(f"the message is a {type(message).__name__}; expected a map with `endpoint` and `data`")
        token = message.get("api_token")
        if self._token is not None and not (
            isinstance(token, str) and hmac.compare_digest(token.encode(), self._token.encode())
        ):
            raise RequestError("unauthorized: `api_token` is missing or wrong")
        endpoints = {
            "get_action": self._get_action,
            "get_modality_config": lambda _: self._keys.modality_configs(self._form),
            "ping": lambda _: {"status": "ok", "message": "Server is running"},
            # the policies have no memory
            "reset": lambda _: {},
        }
        name = message.get("endpoint", "get_action")
        if name == "kill":
            raise RequestError("`kill` is refused: whoever started this server stops it, with Ctrl+C")
        if name not in endpoints:
            raise RequestError(f"there is no endpoint {name!r}; available are {', '.join(endpoints)}")
        return endpoints[name](message.get("data"))

    def _get_action(self, data: Any) -> Any:
        request = read_request(data, self._keys)
        return write_answer(self._act(request), request)
