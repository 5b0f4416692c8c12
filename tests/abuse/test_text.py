"""What somebody wrote is shown as it was written, on every page, in every figure and in every file (A9, A11, A26)."""

from __future__ import annotations

import csv
import io
import json
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from sqlalchemy import delete, update

from search.actions.export import FORMULA_PREFIXES
from search.actions.webhooks import render_body
from search.plan.selection import Point
from search.plan.stages import Replicate
from search.store import leases, searches, tables, transitions, workers
from search.store.deliveries import PendingEvent
from search.vocabulary.outcome import Outcome
from search.vocabulary.states import Cause, Status
from tests.abuse.client import with_query
from tests.abuse.payloads import PAYLOADS
from tests.abuse.target import Target
from tests.search.stored import open_recorder, submit
from tests.service.charts.test_texts import OWN_MARKUP, texts

PLAIN = "harmless"
AT_ONCE = 4  # texts with all payloads: one for each took a minute
PAGES = (
    *("/?owner=zoe", "/searches/{id}", "/searches/{id}/candidates/gm", "/searches/{id}/trials/gm/0"),
    *("/compare?id={id}", "/cluster", "/tokens", "/new?from={id}"),
)
FIGURES = ("figures/gm", "figures/gm/curves", "figures/test", "timeline", "parallel", "trials/gm/0/figure")


class Structure(HTMLParser):
    """Elements and attributes of a page, the texts in it, and the values of attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note an element with the names of its attributes."""
        self.elements.append((tag, *sorted(name for name, _ in attributes)))
        self.texts += [value for _, value in attributes if value]

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """Note a comment, of which a page has none."""
        self.elements.append(("a comment",))


class Written:
    """A search of zoe's, a token and a worker, whose every text can be set."""

    def __init__(self, target: Target) -> None:
        self._engine = target.engine
        url = target.settings.database_url
        self.id = submit(url, owner="zoe", gm=[1, 8], gc=[4], seeds=1, test_seeds=1)
        recorder = open_recorder(url, self.id)
        recorder.open(recorder._plan.build_stage("gm", []))
        failed = Replicate("gm", Point("main", 1, 0), 0)
        self._trial = recorder.start(failed)
        recorder.report(self._trial, {1: {"validation_accuracy": 0.5}})
        recorder.finish(self._trial, Outcome(cause=Cause.RAISED, detail=PLAIN))
        recorder.finish(recorder.start(Replicate("gm", Point("main", 8, 0), 0)), Outcome(value=0.5))
        with recorder.engine.begin() as connection:
            transitions.set_status(connection, self.id, Status.PAUSED, PLAIN)
            leases.release(connection, leases.Lease(self.id, 1))
            self._spec = searches.get(connection, self.id).spec.model_dump(mode="json")
        recorder.close()
        self._log = target.settings.trial_log(self.id, failed.key)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._token = target.token("read", owner="zoe").split("_")[1]

    def write(self, words: str) -> None:
        """Write words wherever somebody can: as a person, as a recipe, as a host."""
        self._log.write_text(words)
        of_search, of_trial = tables.searches.c.id == self.id, tables.trial_user_attributes.c.trial_id == self._trial
        spec = {**self._spec, "name": words[:200], "note": words}
        changes = (
            update(tables.searches).where(of_search).values(reason=words, metric=words[:100], spec=spec),
            update(tables.tokens).where(tables.tokens.c.id == self._token).values(name=words),
            update(tables.trial_user_attributes)
            .where(of_trial, tables.trial_user_attributes.c.key == "detail")
            .values(value_json=json.dumps(words)),
            update(tables.metrics)
            .where(tables.metrics.c.trial_id == self._trial)
            .values(figures={words: 0.5, f"loss {words}": 0.5}),
            delete(tables.workers),
        )
        with self._engine.begin() as connection:
            for change in changes:
                connection.execute(change)
            worker = workers.register(connection)
            connection.execute(update(tables.workers).where(tables.workers.c.id == worker).values(host=words))
            searches.describe(connection, self.id, name=words, note=words)  # last: its event makes caches read again


@pytest.fixture(scope="session")
def written(target: Target) -> Written:
    """The search whose texts are set."""
    return Written(target)


def pages(target: Target, written: Written) -> dict[str, Structure]:
    """Read every page that shows a search."""
    found = {}
    for path in PAGES:
        answer = target.ask("admin", "GET", path.format(id=written.id), headers={"Accept": "text/html"})
        assert answer.status == 200, (path, answer.text)
        found[path] = Structure(answer.text)
    return found


@pytest.fixture(scope="session")
def plain(target: Target, written: Written) -> dict[str, list[tuple[str, ...]]]:
    """What pages are made of if nobody tries anything."""
    written.write(PLAIN)
    return {path: page.elements for path, page in pages(target, written).items()}


@pytest.mark.parametrize("words", [" ".join(PAYLOADS[first::AT_ONCE]) for first in range(AT_ONCE)], ids=range(AT_ONCE))
def test_what_somebody_wrote_is_text_wherever_it_is_shown(
    target: Target, written: Written, plain: dict[str, list[tuple[str, ...]]], words: str
) -> None:
    written.write(words)
    for path, page in pages(target, written).items():
        assert page.elements == plain[path], path
        assert any(words in text for text in page.texts), f"{path} shows it as it was written"
    api = f"/api/searches/{written.id}"
    drawn = [target.ask("admin", "GET", f"{api}/{figure}").json() for figure in FIGURES]
    drawn.append(target.ask("admin", "GET", f"/api/compare/candidates?id={written.id}").json())
    for text in (text for figure in drawn for text in texts(figure)):
        assert not set("<>") & set(OWN_MARKUP.sub("", text)), text
    with_metric = [any(words[:100] in unescape(text) for text in texts(figure)) for figure in drawn]
    assert with_metric == [figure != "timeline" for figure in FIGURES] + [True], "as long as a metric may be"
    shown = target.ask("admin", "GET", api).json()
    assert (shown["name"], shown["note"], shown["reason"]) == (words,) * 3
    rows = list(csv.DictReader(io.StringIO(target.ask("admin", "GET", f"{api}/export?format=csv").text)))
    assert rows[0]["detail"] == (f"'{words}" if words.startswith(FORMULA_PREFIXES) else words)
    assert target.ask("admin", "GET", f"{api}/export?format=json").json()[0]["detail"] == words
    assert target.ask("admin", "GET", f"{api}/trials/gm/0/log").text == words
    with target.engine.connect() as connection:
        event = PendingEvent(event_id=1, search_id=written.id, at=1.0, status=Status.PAUSED, reason=words)
        message = json.loads(render_body(connection, event))
    assert (message["name"], message["reason"]) == (words, words)


@pytest.mark.parametrize("wild", ["%", "_", "*", "h%s", "\\"])
def test_a_filter_knows_no_wild_cards(target: Target, written: Written, wild: str) -> None:
    written.write(PLAIN)
    assert target.ask("admin", "GET", with_query("/api/searches", name=wild, owner="zoe")).json()["searches"] == []


@pytest.mark.parametrize("words", PAYLOADS, ids=range(len(PAYLOADS)))
def test_where_words_are_taken_they_are_kept_and_elsewhere_refused(
    target: Target, written: Written, words: str
) -> None:
    kept = target.ask("admin", "PATCH", f"/api/searches/{written.id}", json={"name": words, "note": words})
    assert (kept.status, kept.json()["name"], kept.json()["note"]) == (200, words, words)
    found = target.ask("admin", "GET", with_query("/api/searches", name=words, owner="zoe")).json()["searches"]
    assert [row["search"] for row in found] == [written.id], "a filter takes it literally"
    search = {"recipe": "planted", "gm": [1], "gc": [1]}
    bodies: list[dict[str, Any]] = [
        {"tags": [words]},
        {"variants": {words: {}}},
        {"numbers": {words: 1}},
        {"numbers": {"noise": words}},
        {"recipe": words},
        {"strategy": words},
        {"gm_rule": words},
        {"data": words},
        {words: 1},
    ]
    for number, body in enumerate(bodies):
        path = ("/api/searches", "/api/searches/plan")[number % 2]
        refused = target.ask("admin", "POST", path, json=search | body)
        assert refused.status == 422, (body, refused.text)
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.text.isascii()
    refused = target.ask("admin", "GET", with_query("/", sort=words), {"Accept": "text/html"})
    assert refused.status == 422
    plain = target.ask("admin", "GET", "/?sort=harmless", {"Accept": "text/html"})
    assert Structure(refused.text).elements == Structure(plain.text).elements
    owner = target.ask("admin", "POST", "/api/tokens", json={"name": "a", "owner": words, "scopes": ["read"]})
    assert owner.status == 422
