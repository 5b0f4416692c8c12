"""An address is found to be that of a Ray cluster, or not, by asking on loopback what is there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from search.engine import cluster_address
from search.engine.cluster_address import check_settings, not_joined, parse_address, require_ray
from search.settings import Settings, read_settings
from search.vocabulary.errors import RayUnavailable

SETTINGS_FRAME = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
UNSET = "; or unset SEQNORM_RAY_ADDRESS to train on this machine alone."


@pytest.fixture(autouse=True)
def no_address_of_a_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USE_TLS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextmanager
def answering(*pieces: bytes, close: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """Answer the first connection with some bytes; yield the address, and what is received."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                received.append(connection.recv(65536))
                for piece in pieces:
                    connection.sendall(piece)
                if not close:
                    done.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}", received
        finally:
            done.set()
            thread.join(10)


def reply(status: int, more: bytes = b"") -> bytes:
    """Return the frame in which a gRPC server tells the status of a call."""
    block = more + b"\x40\x0bgrpc-status" + bytes([len(str(status))]) + str(status).encode()
    return len(block).to_bytes(3) + bytes((1, 5, 0, 0, 0, 1)) + block


def said(address: str) -> str:
    with pytest.raises(RayUnavailable) as refused:
        require_ray(Settings(ray_address=address))
    return str(refused.value)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://10.0.0.1:8265", "an address with http://, which is for dashboards"),
        ("https://head", "an address with https://, which is for dashboards"),
        ("ray://10.0.0.1:10001", "an address with ray://, which is for Ray's client"),
        ("redis://10.0.0.1:6379", "an address with redis://, which is for something else"),
        ("10.0.0.1", "no port"),
        ("head", "no port"),
        ("10.0.0.1:", "the port ''"),
        ("head:ray", "the port 'ray'"),
        ("head:0", "the port '0'"),
        ("head:70000", "the port '70000'"),
        ("head:６３７９", "the port '６３７９'"),
        (":6379", "no host"),
        ("[]:6379", "no host"),
        ("10.0.0.1 :6379", "no host"),
        ("me@head:6379", "no host"),
        ("::1", "no port"),
        ("fe80::1:6379", "an IPv6 address without brackets or without a port"),
        ("[::1]", "no port"),
    ],
)
def test_what_is_no_address_of_a_head_is_refused_before_anybody_is_asked(address: str, why: str) -> None:
    with pytest.raises(RayUnavailable) as refused:
        check_settings(Settings(ray_address=address))
    assert str(refused.value) == (
        f"the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got {address} ({why}). "
        f"Give HOST:PORT of its head, e.g. SEQNORM_RAY_ADDRESS=10.0.0.1:6379{UNSET}"
    )


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.1:6379", "10.0.0.1", 6379), ("ray-head:1", "ray-head", 1), ("[::1]:6379", "::1", 6379)],
)
def test_an_address_has_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert (address.host, address.port) == (host, port)


def test_a_sentence_names_the_variable_that_gave_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    with pytest.raises(RayUnavailable, match=r"^the Ray cluster in RAY_ADDRESS must .*; or unset RAY_ADDRESS to train"):
        require_ray(read_settings())
    monkeypatch.setenv("SEQNORM_RAY_ADDRESS", "head")
    with pytest.raises(RayUnavailable, match=r"in SEQNORM_RAY_ADDRESS must answer: got head \(no port\)"):
        require_ray(read_settings())


def test_a_closed_port_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    assert said(address) == (
        f"the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got {address} (Connection refused). "
        f"Start it, e.g. with ray start --head, or set SEQNORM_RAY_ADDRESS to HOST:PORT of its head{UNSET}"
    )


def test_a_host_that_nobody_knows_is_said() -> None:
    assert "got nowhere.invalid:6379 (" in said("nowhere.invalid:6379")


def test_a_port_that_accepts_and_stays_silent_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_address, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert f"got {address} (it accepts connections and says nothing for 0.2 s). Start it" in said(address)


def test_a_head_that_greets_and_then_stays_silent_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_address, "ANSWER_SECONDS", 0.2)
    with answering(SETTINGS_FRAME, close=False) as (address, _):
        assert "(it accepts connections and says nothing for 0.2 s)" in said(address)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "a web server answers there"),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], "another service answers there"),
        ([b"-ERR unknown command 'PRI'\r\n"], "another service answers there"),
        ([b"\x15\x03\x01\x00\x02\x02\x46", bytes(9)], "another service answers there"),
        ([], "something that ends the connection answers there"),
        ([b"E"], "something that ends the connection answers there"),
    ],
)
def test_another_service_is_told_from_a_cluster(pieces: list[bytes], why: str) -> None:
    with answering(*pieces) as (address, _):
        assert f"got {address} ({why}). Start it" in said(address)


def test_a_head_that_answers_is_taken_whatever_else_it_sends() -> None:
    window = bytes((0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 255, 255))
    with answering(SETTINGS_FRAME, window, reply(0, more=b"\x88")) as (address, received):
        require_ray(Settings(ray_address=address))
    assert b"/ray.rpc.NodeInfoGcsService/CheckAlive" in received[0]
    assert b"authorization" not in received[0]


def test_another_grpc_service_is_told_from_a_head() -> None:
    with answering(SETTINGS_FRAME, reply(12)) as (address, _):
        assert "(another gRPC service answers there, e.g. that of Ray's client)" in said(address)


def test_a_cluster_that_asks_for_a_token_is_said_with_the_settings_that_give_it() -> None:
    with answering(SETTINGS_FRAME, reply(16)) as (address, _):
        assert said(address) == (
            f"the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got {address} (it asks for a token, and we have "
            "none). Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to its head's token or RAY_AUTH_TOKEN_PATH to a file "
            f"with it; the head has it in ~/.ray/auth_token{UNSET}"
        )


@pytest.mark.parametrize("given", ["variable", "file", "Ray's own file"])
def test_the_token_that_ray_will_send_is_sent_and_a_refusal_said_without_it(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = "ab12" * 50  # longer than the shortest form of a length
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    file = tmp_path / "token" if given == "file" else tmp_path / ".ray" / "auth_token"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{token}\n")
    if given == "variable":
        file.unlink()
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    elif given == "file":
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    with answering(SETTINGS_FRAME, reply(16)) as (address, received):
        sentence = said(address)
    assert f"Bearer {token}".encode() in received[0]
    assert "(it asks for a token, and refuses ours)" in sentence
    assert token not in sentence


def test_a_token_is_not_sent_unless_ray_would() -> None:
    file = Path.home() / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("secret")
    with answering(SETTINGS_FRAME, reply(0)) as (address, received):
        require_ray(Settings(ray_address=address))
    assert b"secret" not in received[0]


def test_a_head_with_certificates_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        require_ray(Settings(ray_address=f"127.0.0.1:{silent.getsockname()[1]}"))


def test_the_cluster_of_this_host_is_found_as_ray_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(()))
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert said("auto").startswith(
        "the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got auto (no cluster runs on this host). Start it"
    )
    with answering(SETTINGS_FRAME, reply(0)) as (address, _):
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(address)
        require_ray(Settings(ray_address="auto"))
    assert f"got {address} (Connection refused)" in said("auto")  # the file of a cluster that is gone


def test_what_ray_says_when_a_cluster_cannot_be_joined_is_said_whole() -> None:
    words = "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.11.1\nThis process"
    error = ConnectionError("Failed to connect to Ray cluster at head:6379")
    error.__cause__ = RuntimeError(words)
    why = "Version mismatch: The cluster was started with: Ray: 2.60.0 Python: 3.11.1 This process"
    assert str(not_joined("head:6379", error)).startswith(
        f"the Ray cluster in SEQNORM_RAY_ADDRESS must answer: got head:6379 (it could not be joined: {why}). "
        "Make this host a node of it, with its versions of Ray and Python: ray start --address=head:6379; or unset"
    )


def test_a_cluster_of_the_real_ray_answers_and_asks_for_its_token(
    shared_ray: None, ray_cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(ray_address=ray_cluster["RAY_ADDRESS"])
    assert "we have none" in said(settings.ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    assert "refuses ours" in said(settings.ray_address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", ray_cluster["RAY_AUTH_TOKEN"])
    require_ray(settings)
