"""Webhooks: notify the configured URLs when a search is done, failed, cancelled or paused.

Signed as Standard Webhooks (standardwebhooks.com). A delivery is stored in SQL before it is sent, so it is delivered at
least once, even after a crash; receivers recognize duplicates by their ``webhook-id``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx2

from search.engine.logs import known_secrets
from search.settings import Settings
from search.store import deliveries, searches
from search.store.database import Connection, DatabaseError, Engine, open_engine
from search.store.deliveries import Delivery, PendingEvent
from search.store.faults import own_sentence
from search.views import WebhookView
from search.vocabulary.secret import Secret, redact

TIMEOUT_SECONDS = 10.0
CLAIM_SECONDS = 60.0  # an attempt is over by then, unless the target answers very slowly
POLL_SECONDS = 1.0
REGISTER_SECONDS = 60.0  # between heartbeats of a sender
RETRY_SECONDS = 5.0
FIRST_WAIT = 5.0  # after the first failed attempt; doubles each time
MAX_ATTEMPTS = 15  # the last one nearly 23 hours after the first
STOP_SECONDS = 1.0  # for requests in flight when the worker stops; unfinished ones are sent again

log = logging.getLogger(__name__)


class Senders:
    """Runs one thread per target, so that a slow target delays no other."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._stopping = threading.Event()
        self._reading = open_engine(settings.database_url, read_only=True)
        senders = [Sender(settings, url, engine, self._reading) for url in settings.webhook_urls]
        self._threads = [threading.Thread(target=each.run, args=(self._stopping,), daemon=True) for each in senders]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop all threads; wait for them at most ``STOP_SECONDS``."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._reading.dispose()


class Sender:
    """Sends deliveries to one target."""

    def __init__(self, settings: Settings, url: Secret, engine: Engine, reading: Engine) -> None:
        self._url = url
        self._host = urlsplit(url.reveal()).hostname or ""  # the rest of a URL may be secret
        self._target = hashlib.sha256(url.reveal().encode()).hexdigest()  # the URL itself is not stored
        self._secret = settings.webhook_secret
        self._known = known_secrets(settings)
        self._engine = engine
        self._reading = reading
        self._register_at = 0.0  # of the monotonic clock
        self._http = httpx2.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False)

    def run(self, stopping: threading.Event) -> None:
        """Send deliveries until ``stopping`` is set."""
        while not stopping.is_set():
            try:
                sent = self.send_one()
                stopping.wait(0 if sent else POLL_SECONDS)
            except DatabaseError as fault:
                log.warning("webhooks wait for the database: %s", own_sentence(fault))
                stopping.wait(RETRY_SECONDS)
            except Exception:  # keep the thread alive
                log.exception("webhooks to %s had to stop for a moment", self._host)
                stopping.wait(RETRY_SECONDS)
        self._http.close()

    def send_one(self) -> bool:
        """Store new deliveries and send the oldest due one; return whether one was due."""
        self._collect_events()
        with self._reading.connect() as connection:  # reading takes no lock, claiming does
            if not deliveries.is_due(connection, self._target):
                return False
        with self._engine.begin() as connection:
            delivery = deliveries.claim(connection, self._target, CLAIM_SECONDS)
        if delivery is not None:
            self._send(delivery)
        return True

    def _collect_events(self) -> None:
        if time.monotonic() >= self._register_at:
            with self._engine.begin() as connection:
                deliveries.register_target(connection, self._target)
            self._register_at = time.monotonic() + REGISTER_SECONDS
        with self._reading.connect() as connection:
            found = [
                (item, render_body(connection, item)) for item in deliveries.find_pending(connection, self._target)
            ]
        if found:
            with self._engine.begin() as connection:
                deliveries.add_pending(connection, self._target, found)

    def _send(self, delivery: Delivery) -> None:
        result, delivered = self._post(delivery)
        fields = {"search": delivery.search_id, "delivery": delivery.id, "target": self._host}
        if delivered:
            with self._engine.begin() as connection:
                deliveries.mark_delivered(connection, delivery, result)
            log.info("webhook %s was taken by %s", delivery.id, self._host, extra=fields)
            return
        wait = None if delivery.attempts >= MAX_ATTEMPTS else FIRST_WAIT * 2 ** (delivery.attempts - 1)
        with self._engine.begin() as connection:
            deliveries.mark_failed(connection, delivery, result, wait)
        then = "it is given up" if wait is None else f"it is sent again in {wait:g} s"
        level = logging.ERROR if wait is None else logging.WARNING
        log.log(level, "webhook %s was not taken by %s: %s; %s", delivery.id, self._host, result, then, extra=fields)

    def _post(self, delivery: Delivery) -> tuple[str, bool]:
        """Send a delivery; return its result and whether it was accepted. The response body is not read."""
        timestamp = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "seqnorm",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret.reveal(), delivery.id, timestamp, delivery.body),
        }
        try:
            url, body = self._url.reveal(), delivery.body.encode()
            with self._http.stream("POST", url, content=body, headers=headers) as answer:
                return f"HTTP {answer.status_code}", answer.is_success
        except (httpx2.RequestError, httpx2.InvalidURL, ValueError) as error:  # some host names cannot be encoded
            return redact(f"{type(error).__name__} {error}".strip(), self._known), False


def render_body(connection: Connection, item: PendingEvent) -> str:
    """Return the message for a status event; the search may have another status by now."""
    search = searches.get(connection, item.search_id)
    points = [choice.point for choice in searches.choices(connection, item.search_id).values() if choice.point]
    return WebhookView(
        id=f"{item.search_id}-{item.event_id}-{round(item.at * 1000):x}",  # a restored database reuses event ids
        type=f"search.{item.status}",
        created_at=datetime.fromtimestamp(item.at, UTC).isoformat(timespec="milliseconds"),
        search=search.id,
        name=search.name,
        status=item.status,
        reason=item.reason,
        chosen=points[-1] if points else None,
        owner=search.owner,
    ).model_dump_json()


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Sign a message as Standard Webhooks does."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return f"v1,{base64.b64encode(hmac.digest(key, f'{message_id}.{timestamp}.{body}'.encode(), 'sha256')).decode()}"
