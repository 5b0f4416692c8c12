"""One service for the suite on each kind of database, in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from search.settings import Settings
from tests.abuse.target import Target, attacked
from tests.templates import create, drop

PASSWORD, KEY, PATH, SECRET = "canary-of-a-password", "canary-of-a-key", "canary/of/a/long/webhook/path", "Y2FuYXJ5" * 5
CANARIES = (PASSWORD, KEY, PATH, SECRET)


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A service that everybody may attack, with secrets in its settings."""
    home, url = tmp_path_factory.mktemp("abuse"), ""
    if request.param == "postgresql":
        server = make_url(request.getfixturevalue("postgres_server"))
        url = server.set(database="abuse", password=PASSWORD).render_as_string(hide_password=False)
        create(url)
    settings = Settings(
        home=home,
        db=url,
        worker=0,
        log_format="json",
        requests_per_minute=0,
        guesses_per_minute=0,
        webhooks=f"https://hooks.example/{PATH}?key={KEY}",
        webhook_secret=f"whsec_{SECRET}",
    )
    with attacked(settings) as target:
        yield target
    if url:
        drop(url)
