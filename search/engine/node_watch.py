"""Watches a Ray cluster from a thread, so that nobody else waits for Ray, which may take a minute to answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from search.store.processes import ProcessIdentity

ASK_SECONDS = 1.0  # between questions
SERVERS = ("raylet", "gcs_server")  # the processes of a private Ray that it cannot do without

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """What Ray answered about its cluster."""

    nodes: Sequence[Mapping[str, Any]]  #: as ``ray.nodes()`` returns them
    free: Mapping[str, float]  #: resources that no one holds

    @property
    def capacities(self) -> list[Mapping[str, float]]:
        """The resources of each node that is alive."""
        return [node["Resources"] for node in self.nodes if node["Alive"]]


class NodeWatch:
    """Asks for the state of a cluster about once a second, and keeps the last answer.

    Args:
        ask: returns the state of the cluster; may block for ever or raise.
        own_node: the id of the node that this process is attached to.
        servers: processes without which the cluster is dead, if they are this process's own.
    """

    def __init__(
        self, ask: Callable[[], ClusterState], own_node: str, servers: Collection[ProcessIdentity] = ()
    ) -> None:
        self._ask = ask
        self._own_node = own_node
        self._servers = servers
        self._answer: ClusterState | None = None
        self._answered_at = time.monotonic()
        self._closed = threading.Event()
        self._answered = threading.Event()  # for the first time
        self._thread = threading.Thread(target=self._watch, daemon=True, name="node watch")
        self._thread.start()

    @property
    def state(self) -> ClusterState | None:
        """The last answer; None before the first."""
        return self._answer

    def wait_for_state(self, seconds: float) -> ClusterState | None:
        """Return the last answer; wait for the first one, but not longer than this."""
        self._answered.wait(seconds)
        return self._answer

    def silent_seconds(self) -> float:
        """Return the time since Ray last answered."""
        return time.monotonic() - self._answered_at

    def own_node_alive(self) -> bool:
        """Return False if the node that this process is attached to is dead, or one of ``servers`` has ended."""
        if any(server.has_exited for server in self._servers):
            return False
        nodes = self._answer.nodes if self._answer else ()
        return not any(node["NodeID"] == self._own_node and not node["Alive"] for node in nodes)

    def close(self) -> None:
        """Stop asking; wait for the answer to a question that is still open."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        complained = False
        while not self._closed.is_set():
            try:
                self._answer = self._ask()
                self._answered_at = time.monotonic()
                self._answered.set()
                complained = False
            except Exception as error:  # Ray has many; what counts is that it did not answer
                if not complained:
                    log.warning("Ray does not answer: %s", error)
                complained = True
            self._closed.wait(ASK_SECONDS)


def find_servers() -> dict[str, ProcessIdentity]:
    """Return the servers of a private Ray, which are children of this process, by name."""
    return {
        child.name(): ProcessIdentity.of(child.pid) for child in psutil.Process().children() if child.name() in SERVERS
    }
