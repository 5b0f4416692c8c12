"""Load on a service from one process: clients that ask as fast as they are answered, or at a fixed rate."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CONNECT_SECONDS = 30.0


@dataclass
class Answers:
    """What came back."""

    seconds: list[float] = field(default_factory=list)  #: of each successful answer, from when it was to be asked for
    statuses: Counter[int] = field(default_factory=Counter)  #: 0: the connection broke
    lasted: float = 0.0
    wanted: Container[int] = range(200, 400)  #: statuses of successful answers

    def add(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        if status in self.wanted:
            self.seconds.append(seconds)

    @property
    def successes(self) -> int:
        """The number of successful answers."""
        return len(self.seconds)

    @property
    def errors(self) -> int:
        """The number of answers that a service must not give, however busy it is."""
        return sum(count for status, count in self.statuses.items() if status == 0 or (status >= 500 and status != 503))

    @property
    def refused(self) -> int:
        """The number of answers that were refused for now."""
        return 0 if 503 in self.wanted else self.statuses[503]

    @property
    def rate(self) -> float:
        """Successful answers a second."""
        return self.successes / self.lasted

    def percentile(self, share: float) -> float:
        """Return the seconds within which a share of the successful answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("inf")


class Connection:
    """A connection that is kept between requests, and made anew after one breaks."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._port = port
        self._source = source
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Send a request and read the whole response; return its status, 0 if the connection broke.

        The service closes a connection that waits for long, perhaps as it is used again; then it is asked anew.
        """
        kept = self._streams is not None
        return await self._ask_once(request) or (await self._ask_once(request) if kept else 0)

    async def _ask_once(self, request: bytes) -> int:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._source, 0))
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head.split(b" ", 2)[1])
            if b"transfer-encoding: chunked" in head:
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            elif status not in (204, 304):
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r", 1)[0]))
            if b"connection: close" in head:
                self.close()
            return status
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return 0

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()
        self._streams = None


def build_request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Build the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept-Encoding: gzip"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def crowd(
    port: int, request: bytes, clients: int, seconds: float, wanted: Container[int] = range(200, 400)
) -> Answers:
    """Have clients ask the same, each again as soon as it is answered, also after a refusal."""
    answers, end = Answers(wanted=wanted), time.perf_counter() + seconds

    async def keep_asking() -> None:
        connection = Connection(port)
        while (asked := time.perf_counter()) < end:
            status = await connection.ask(request)
            answers.add(status, time.perf_counter() - asked)
        connection.close()

    start = time.perf_counter()
    await asyncio.gather(*(keep_asking() for _ in range(clients)))
    answers.lasted = time.perf_counter() - start
    return answers


async def open_loop(port: int, next_request: Callable[[], bytes], per_second: float, seconds: float) -> Answers:
    """Ask at a fixed rate, however late the answers are; their seconds count from when each was to be asked."""
    answers, free, asking = Answers(), list[Connection](), set[asyncio.Task[None]]()

    async def ask(due: float, request: bytes) -> None:
        connection = free.pop() if free else Connection(port)
        status = await connection.ask(request)
        free.append(connection)
        answers.add(status, time.perf_counter() - due)

    start = time.perf_counter()
    for number in range(int(per_second * seconds)):
        due = start + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(ask(due, next_request()))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    answers.lasted = time.perf_counter() - start
    for connection in free:
        connection.close()
    return answers


@asynccontextmanager
async def beside(port: int, request: bytes, per_second: float = 20.0) -> AsyncIterator[Answers]:
    """Ask regularly while something else goes on; the answers are whole at the end."""
    answers, connection, done = Answers(), Connection(port), asyncio.Event()

    async def keep_asking() -> None:
        while not done.is_set():
            asked = time.perf_counter()
            status = await connection.ask(request)
            answers.add(status, time.perf_counter() - asked)
            await asyncio.sleep(max(0.0, asked + 1 / per_second - time.perf_counter()))

    asking = asyncio.create_task(keep_asking())
    yield answers
    done.set()
    await asking
    connection.close()
