"""Checks that a Ray can be used before Ray is asked, which tries for 14 minutes, and then says half a sentence.

The head of a cluster is asked over gRPC, which is HTTP/2, whether it is one. Ray's own client for that has no deadline,
and loading it takes longer than the answer.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from search.engine import ray_folder
from search.settings import Settings
from search.vocabulary.errors import RayUnavailable
from search.vocabulary.secret import redact

ANSWER_SECONDS = 5.0  # for a cluster to answer
MESSAGE_LENGTH = 500  # of what Ray says, at most
DISCOVERED = "auto"  # Ray's own word for the cluster that was started last on this host
HEAD_PORT = 6379  # of a cluster's head, unless it was told another

_START = "Start it, e.g. with ray start --head"
_HEAD_FLAG = "--gcs-address="  # of each of Ray's processes
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and empty SETTINGS
_DATA, _HEADERS, _RESET, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7  # types of frames
_END_STREAM, _END_HEADERS = 1, 4  # flags of frames
_METHOD = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_STATUS = re.compile(rb"grpc-status.(\d+)", re.DOTALL)  # gRPC writes it in plain text, after its length
_UNIMPLEMENTED, _UNAUTHENTICATED = 12, 16


@dataclass(frozen=True, kw_only=True)
class ClusterAddress:
    """The address of a Ray cluster's head."""

    text: str  #: as it was given
    host: str
    port: int
    source: str  #: the variable that gave it

    def unusable(self, why: str, remedy: str = "") -> RayUnavailable:
        """Return an error that says what to do."""
        remedy = remedy or f"{_START}, or set {self.source} to HOST:PORT of its head"
        return _unusable(self.text, self.source, why, remedy)


def check_settings(settings: Settings) -> None:
    """Check that the settings name a cluster that may answer some time, or that a private Ray can be started.

    Raises:
        RayUnavailable: saying why not and what to do.
    """
    if not settings.ray_address:
        ray_folder.find_parent()
    elif settings.ray_address != DISCOVERED:
        parse_address(settings.ray_address)


def require_ray(settings: Settings) -> None:
    """Check that the cluster that the settings name answers, or that a private Ray can be started.

    Raises:
        RayUnavailable: saying why not and what to do. It takes ``ANSWER_SECONDS`` at most for each address of the host.
    """
    check_settings(settings)
    if settings.ray_address == DISCOVERED:
        _require_head(_discover(), _own_token(discovered=True))
    elif settings.ray_address:
        _require_head(parse_address(settings.ray_address), _own_token())


def parse_address(text: str) -> ClusterAddress:
    """Parse ``HOST:PORT``.

    Raises:
        RayUnavailable: if it is malformed.
    """
    source = source_of(text)
    scheme, separator, _ = text.partition("://")
    if separator:
        use = {"ray": "Ray's client", "http": "dashboards", "https": "dashboards"}.get(scheme, "something else")
        raise _malformed(text, source, f"an address with {scheme}://, which is for {use}")
    host, colon, port = text.rpartition(":")
    if not colon or host.endswith(":") or ("[" in port):
        raise _malformed(text, source, "no port")
    if ":" in host and not re.fullmatch(r"\[[^\[\]]+\]", host):
        raise _malformed(text, source, "an IPv6 address without brackets or without a port")
    if not host.strip("[]") or re.search(r"[\s/@]", host):
        raise _malformed(text, source, "no host")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise _malformed(text, source, f"the port {port!r}")
    return ClusterAddress(text=text, host=host.strip("[]"), port=int(port), source=source)


def source_of(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the variable that gave an address."""
    return "RAY_ADDRESS" if environ.get("RAY_ADDRESS") == text else "SEQNORM_RAY_ADDRESS"


def not_joined(text: str, error: Exception) -> RayUnavailable:
    """Return an error for a cluster that answers, but could not be joined."""
    why = " ".join(str(error.__cause__ or error).split())[:MESSAGE_LENGTH]
    remedy = f"Make this host a node of it, with its versions of Ray and Python: ray start --address={text}"
    return _unusable(text, source_of(text), f"it could not be joined: {why}", remedy)


def _discover() -> ClusterAddress:
    """Find the cluster that Ray would join: of the processes on this host, else the one that was started last."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            found |= {word.removeprefix(_HEAD_FLAG) for word in process.cmdline() if word.startswith(_HEAD_FLAG)}
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    with suppress(OSError):
        if len(found) != 1 and (started := (folder / "ray" / "ray_current_cluster").read_text().strip()):
            found = {started}
    if not found:
        raise _unusable(DISCOVERED, source_of(DISCOVERED), "no cluster runs on this host", _START)
    return replace(parse_address(sorted(found)[0]), source=source_of(DISCOVERED))


def _malformed(text: str, source: str, why: str) -> RayUnavailable:
    return _unusable(text, source, why, f"Give HOST:PORT of its head, e.g. {source}=10.0.0.1:{HEAD_PORT}")


def _unusable(text: str, source: str, why: str, remedy: str) -> RayUnavailable:
    return RayUnavailable(
        f"the Ray cluster in {source} must answer: got {redact(text)} ({why}). "
        f"{remedy}; or unset {source} to train on this machine alone."
    )


def _require_head(address: ClusterAddress, token: str) -> None:
    """Check that the head of a cluster answers at an address, and takes our token."""
    try:
        status = _ask(address, token)
    except _AnotherService as found:
        raise address.unusable(f"{found} answers there") from None
    except OSError as error:
        raise address.unusable(error.strerror or str(error)) from None
    if status == _UNIMPLEMENTED:
        raise address.unusable("another gRPC service answers there, e.g. that of Ray's client")
    if status == _UNAUTHENTICATED:
        raise _unusable(
            address.text,
            address.source,
            f"it asks for a token, and {'refuses ours' if token else 'we have none'}",
            "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to its head's token or RAY_AUTH_TOKEN_PATH to a file with it; "
            "the head has it in ~/.ray/auth_token",
        )


class _AnotherService(Exception):
    """What answers is not the head of a cluster; the message says what it seems to be."""


def _ask(address: ClusterAddress, token: str) -> int | None:
    """Ask a head whether it lives; return the status of the call, None if it gave none.

    Raises:
        OSError: if nothing answers in time.
        _AnotherService: if something else does.
    """
    with socket.create_connection((address.host, address.port), ANSWER_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") in ("1", "true"):  # Ray has the certificates
            return None
        connection.sendall(_HELLO + _call(address, token))
        deadline = time.monotonic() + ANSWER_SECONDS
        answered = False
        while True:
            head = _read(connection, 9, deadline)
            size, kind, stream = int.from_bytes(head[:3]), head[3], int.from_bytes(head[5:])
            if not answered and (kind != _SETTINGS or stream):
                raise _AnotherService("a web server" if head.startswith(b"HTTP/") else "another service")
            answered = True
            payload = _read(connection, size, deadline)
            if kind == _HEADERS and (found := _STATUS.search(payload)):
                return int(found[1])
            if kind in (_RESET, _GOAWAY):
                return None


def _call(address: ClusterAddress, token: str) -> bytes:
    """Return the frames of a call without arguments."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": _METHOD,
        ":authority": f"{address.host}:{address.port}",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    if token:
        fields["authorization"] = f"Bearer {token}"
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return _frame(_HEADERS, _END_HEADERS, block) + _frame(_DATA, _END_STREAM, bytes(5))


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, 1) + payload


def _text(text: str) -> bytes:
    """Return a text as headers have it: its length, 7 bits at a time, and its bytes."""
    content = text.encode()
    if len(content) < 127:
        return bytes([len(content)]) + content
    length, rest = bytearray([127]), len(content) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + content


def _read(connection: socket.socket, size: int, deadline: float) -> bytes:
    received = b""
    while len(received) < size:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            piece = connection.recv(size - len(received))
        except TimeoutError:
            raise TimeoutError(f"it accepts connections and says nothing for {ANSWER_SECONDS:g} s") from None
        if not piece:
            raise _AnotherService("something that ends the connection")
        received += piece
    return received


def _own_token(environ: Mapping[str, str] = os.environ, discovered: bool = False) -> str:
    """Return the token that Ray will send; empty if it sends none. To a cluster of this host it sends one unasked."""
    if environ.get("RAY_AUTH_MODE", "token" if discovered else "").lower() != "token":
        return ""
    if token := environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    try:
        return Path(environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token").read_text().strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""
