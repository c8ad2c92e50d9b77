# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""server and client: round trips over real sockets, whatever goes wrong on the way."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import msgpack_numpy
import numpy as np
import pytest
import zmq

from gr00t_rl_ext.serving import server as server_module
from gr00t_rl_ext.serving.client import PolicyClient, ServerError
from gr00t_rl_ext.serving.protocol import FORMS, N1_5, NESTED, Observation, PolicyKeys, Request
from gr00t_rl_ext.serving.server import PolicyServer
from gr00t_rl_ext.serving.wire import pack, unpack

KEYS = PolicyKeys(("front",), {"arm": 2}, {"arm": 2, "gripper": 1}, "annotation.task", 3)


def observation(batch: int = 2) -> Observation:
    video = {"front": np.full((batch, 4, 5, 3), 7, np.uint8)}
    state = {"arm": np.arange(2 * batch, dtype=np.float32).reshape(batch, 2)}
    return Observation(video, state, ("go",) * batch)


def double(request: Request) -> dict[str, np.ndarray]:
    """A policy: twice the state in each step, and how many letters the instruction has."""
    arm = 2 * request.observation.state["arm"][:, None].repeat(3, axis=1)
    letters = np.array([len(text) for text in request.observation.instructions], np.float32)
    return {"arm": arm, "gripper": letters[:, None, None].repeat(3, axis=1)}


@contextmanager
def serving(act: Any = double, form: str = NESTED, keys: PolicyKeys = KEYS, **options: Any) -> Iterator[PolicyServer]:
    """A server in a thread of its own."""
    stop = threading.Event()
    with PolicyServer(act, keys, host="127.0.0.1", port=options.pop("port", 0), form=form, **options) as server:
        thread = threading.Thread(target=server.run, args=(stop.is_set,))
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            thread.join()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def raw(address: str) -> Iterator[zmq.Socket[bytes]]:
    """A socket of a client of whoever."""
    context = zmq.Context()
    with context.socket(zmq.REQ) as asking:
        asking.setsockopt(zmq.LINGER, 0)
        asking.setsockopt(zmq.RCVTIMEO, 5000)
        asking.connect(f"tcp://{address}")
        yield asking
    context.term()


@pytest.mark.parametrize("form", [N1_5, NESTED])
def test_a_round_trip(form: str) -> None:
    with serving(form=form) as server, PolicyClient(server.address, timeout_s=5) as client:
        assert client.call("ping") == {"status": "ok", "message": "Server is running"}
        assert client.call("reset", {"options": None}) == {}
        keys = client.keys()
        assert (keys.video, list(keys.state), list(keys.action)) == (("front",), ["arm"], ["arm", "gripper"])
        for batch in (1, 3):
            answer = client.act(observation(batch))
            assert np.array_equal(answer["arm"][:, 2], 2 * observation(batch).state["arm"])
            assert answer["gripper"].shape == (batch, 3, 1)
            assert (answer["gripper"] == 2).all()


@pytest.mark.parametrize("understood", FORMS)
@pytest.mark.parametrize("envelope", ["npy", "msgpack_numpy"])
def test_the_client_finds_out_what_a_server_reads(understood: str, envelope: str) -> None:
    """As N1.7's server answers what its arrays do not come in, and one with --use-sim-policy-wrapper."""
    asked = []

    def act(request: Request) -> Any:
        asked.append(request.form)
        if request.form != understood:
            raise ValueError("Observation must contain a 'video' key")
        return double(request)

    def unpack_one(data: bytes) -> Any:
        message, found = unpack(data)
        if found is not None and found != envelope:
            raise server_module.WireError("Video key 'front' must be a numpy array. Got dict")
        return message, found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "unpack", unpack_one)
        with (
            serving(act, N1_5 if understood == N1_5 else NESTED) as server,
            PolicyClient(server.address, timeout_s=5) as client,
        ):
            for _ in range(2):
                assert client.act(observation())["arm"].shape == (2, 3, 2)
            tried = server.answered
            client.act(observation())
            assert server.answered == tried + 1, "it asks as was understood before"
    assert asked[-1] == understood


def test_clients_of_nvidia_s_are_answered_in_their_envelope() -> None:
    request = {"endpoint": "get_action", "data": {"state.arm": np.zeros((1, 2)), "video.front": None, "task": "go"}}
    request["data"]["video.front"] = np.zeros((1, 4, 5, 3), np.uint8)
    with serving() as server, raw(server.address) as asking:
        asking.send(msgpack.packb(request, default=msgpack_numpy.encode))
        answer = msgpack.unpackb(asking.recv())
        assert sorted(answer) == ["action.arm", "action.gripper"]
        assert answer["action.arm"][b"nd"] is True
        assert msgpack_numpy.decode(answer["action.arm"]).shape == (3, 2)
        asking.send(pack(request))
        assert sorted(msgpack.unpackb(asking.recv())["action.arm"]) == ["__ndarray_class__", "as_npy"]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"hello", "the message is no msgpack"),
        (msgpack.packb([1, 2]), "the message is a list; expected a map with `endpoint` and `data`"),
        (
            msgpack.packb({"endpoint": "fly"}),
            "there is no endpoint 'fly'; available are get_action, get_modality_config, ping, reset",
        ),
        (msgpack.packb({"endpoint": "kill"}), "`kill` is refused: whoever started this server stops it"),
        (msgpack.packb({"endpoint": "get_action"}), "`data` is NoneType None; expected a map with the observation"),
        (msgpack.packb({"endpoint": "get_action", "data": {"state.arm": 1}}), "the observation lacks video.front"),
    ],
)
def test_whatever_is_wrong_is_answered_and_the_server_goes_on(message: bytes, error: str) -> None:
    with serving() as server, raw(server.address) as asking:
        for _ in range(2):
            asking.send(message)
            assert error in msgpack.unpackb(asking.recv())["error"]
        asking.send(msgpack.packb({"endpoint": "ping"}))
        assert msgpack.unpackb(asking.recv())["status"] == "ok"
        assert (server.answered, server.failed) == (3, 2)


def test_a_policy_that_fails_does_not_end_the_server() -> None:
    def act(request: Request) -> Any:
        raise RuntimeError("CUDA out of memory")

    with serving(act) as server, PolicyClient(server.address, timeout_s=5) as client:
        with pytest.raises(ServerError, match="the policy failed: RuntimeError: CUDA out of memory"):
            client.act(observation())
        assert client.call("ping")["status"] == "ok"


def test_a_token_is_asked_for() -> None:
    with serving(api_token="secret") as server:
        for token in (None, "wrong", "sécret"):
            with (
                PolicyClient(server.address, api_token=token, timeout_s=5) as client,
                pytest.raises(ServerError, match="unauthorized: `api_token` is missing or wrong"),
            ):
                client.call("ping")
        with PolicyClient(server.address, api_token="secret", timeout_s=5) as client:
            assert client.act(observation())["arm"].shape == (2, 3, 2)


def test_nobody_there_is_a_time_out_and_the_next_call_asks_anew() -> None:
    port = free_port()
    with PolicyClient(f"127.0.0.1:{port}", timeout_s=0.3) as client:
        with pytest.raises(ServerError, match=r"did not answer ping within 0.3 s. Is it running there"):
            client.call("ping")
        with serving(port=port):
            client._timeout_s = 5
            assert client.call("ping")["status"] == "ok"


def test_a_server_that_goes_away_and_comes_back() -> None:
    port = free_port()
    with PolicyClient(f"127.0.0.1:{port}", timeout_s=5) as client:
        with serving(port=port):
            client.act(observation())
        client._timeout_s = 0.3
        with pytest.raises(ServerError, match="did not answer get_action within 0.3 s"):
            client.act(observation())
        with serving(port=port):
            client._timeout_s = 5
            assert client.act(observation())["arm"].shape == (2, 3, 2)


def test_a_client_that_goes_away_does_not_stop_the_server() -> None:
    with serving() as server:
        with raw(server.address) as asking:
            asking.send(pack({"endpoint": "ping"}))
        with socket.create_connection(server.address.rsplit(":", 1)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with PolicyClient(server.address, timeout_s=5) as client:
            assert client.call("ping")["status"] == "ok"


def test_too_large_a_message_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_MESSAGE", 2000)
    with serving() as server, PolicyClient(server.address, timeout_s=1) as client:
        assert client.act(observation())["arm"].shape == (2, 3, 2)
        large = Observation({"front": np.zeros((2, 64, 64, 3), np.uint8)}, observation().state, ("go", "go"))
        with pytest.raises(ServerError, match="did not answer get_action within 1 s"):
            client.act(large)
        assert client.act(observation())["arm"].shape == (2, 3, 2)


def test_a_port_in_use_is_told() -> None:
    with serving() as server:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(OSError, match=rf"nothing can listen at 127.0.0.1, port {port}: .*Choose another --port"):
            PolicyServer(double, KEYS, host="127.0.0.1", port=port, form=NESTED)


@pytest.mark.parametrize("address", ["", ":5555", "host:", "host:x", "host:0", "host:70000"])
def test_addresses(address: str) -> None:
    with pytest.raises(ServerError, match="expected HOST:PORT, such as localhost:5555"):
        PolicyClient(address)


def test_a_host_alone_means_gr00t_s_port() -> None:
    with PolicyClient("robot") as client:
        assert client.address == "robot:5555"


def test_a_server_that_answers_another_embodiment() -> None:
    def act(request: Request) -> Any:
        return {"leg": np.zeros((2, 3, 2), np.float32)}

    with (
        serving(act) as server,
        PolicyClient(server.address, timeout_s=5) as client,
        pytest.raises(ServerError, match="answered the actions leg, but its modality config names arm, gripper"),
    ):
        client.act(observation())
