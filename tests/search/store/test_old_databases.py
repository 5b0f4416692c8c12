"""Databases of older versions open, show what they showed, and their searches go on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from search.settings import Settings
from search.store import queries
from search.store.database import open_engine
from search.store.opening import open_store
from service import accounts
from service.app import create_app
from tests.databases import restore
from tests.search.program import seqnorm, seqnorm_json
from tests.search.stored import open_recorder
from trainers import recipe as recipes

REPLICATES = {"gm": 4 * 2, "gc": 3 * 2, "test": 4 * 2}  # of the two searches that did not end


@dataclass(frozen=True)
class Old:
    """A database as an older version left it."""

    home: Path
    url: str
    shown: dict[str, Any]  #: what that version showed of each search, by its name

    def id(self, name: str) -> str:
        found: str = self.shown[name]["search"]
        return found

    @property
    def place(self) -> tuple[str, str]:
        """The flags that lead to it."""
        return "--db", self.url

    def read(self, statement: str) -> list[Any]:
        """Read rows as they are stored."""
        engine = open_engine(self.url, read_only=True)
        with engine.connect() as connection:
            return list(connection.execute(text(statement)).all())

    def trials(self, name: str) -> list[Sequence[Any]]:
        """Return stage, state, gm, gc, seed and cause of each trial of a search, as Optuna reads them."""
        rows: list[Sequence[Any]] = []
        storage = optuna.storages.RDBStorage(self.url)
        known = optuna.get_all_study_names(storage)
        for stage in REPLICATES:
            if (study := f"{self.id(name)}/{stage}") in known:
                for trial in optuna.load_study(study_name=study, storage=storage).trials:
                    params = (trial.params[key] for key in ("gm", "gc", "seed"))
                    rows.append((stage, trial.state.name, *params, trial.user_attrs.get("cause")))
        return rows

    @contextmanager
    def client(self) -> Iterator[TestClient]:
        """Open the service over it."""
        engine = open_store(self.url)
        with engine.begin() as connection:
            _, token = accounts.create_token(connection, name="a test", owner="bob", scopes=["admin"], lifetime=None)
        app = create_app(Settings(home=self.home, db=self.url, worker=0))
        headers = {"Authorization": f"Bearer {token}"}
        with TestClient(app, base_url="http://127.0.0.1", headers=headers) as client:
            yield client


@pytest.fixture(params=["0.1.0"])
def old(request: pytest.FixtureRequest, empty_database_url: str, tmp_path: Path) -> Old:
    return Old(tmp_path / "home", empty_database_url, restore(request.param, empty_database_url))


def differences(then: Any, now: Any, where: str = "") -> list[str]:
    """Name what is no longer as it was; what is new is none."""
    if isinstance(then, dict) and isinstance(now, dict):
        return [each for key in then for each in differences(then[key], now.get(key, "nothing"), f"{where}.{key}")]
    if isinstance(then, str) and " It beats " in then:  # a gain without its interval is no longer said
        then, now = (text.rpartition(" It ")[0] for text in (then, now))
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [
            each for i, pair in enumerate(zip(then, now, strict=True)) for each in differences(*pair, f"{where}[{i}]")
        ]
    return [] if then == now else [f"{where}: was {then!r}, is {now!r}"]


def test_every_search_of_an_old_database_is_shown_as_it_was(old: Old) -> None:
    listed = seqnorm_json(old.home, *old.place, "list")
    assert len(listed) == len(old.shown) == 5
    assert {row["name"] for row in listed} == {"finished", "grid", "interrupted", "killed"}
    finished = seqnorm_json(old.home, *old.place, "show", old.id("finished"))
    assert differences(old.shown["finished"], finished) == []
    with old.client() as client:
        for name, then in old.shown.items():
            now = client.get(f"/api/searches/{then['search']}").json()
            kept = {key: then[key] for key in ("search", "strategy", "chosen", "stages", "test")}
            assert differences(kept, now) == []
            if name != "killed":  # its trials and status were RUNNING when the database was kept
                assert differences({"status": then["status"], "trials": then["trials"]}, now) == []


def test_the_stages_of_an_old_search_know_what_they_tune_and_choose_by(old: Old) -> None:
    with old.client() as client:
        for name, then in old.shown.items():
            now = client.get(f"/api/searches/{then['search']}").json()
            tuned = [["gm", "gc"]] if then["strategy"] == "grid" else [["gm"], ["gc"]]
            assert [stage["axes"] for stage in now["stages"]] == tuned, name
            assert [stage["rule"] for stage in now["stages"]] == [stage["rule"] for stage in then["stages"]]


def test_what_people_wrote_and_whose_it_is_stays(old: Old) -> None:
    with old.client() as client:
        finished, grid, child = (client.get(f"/api/searches/{old.id(n)}").json() for n in ("finished", "grid", "child"))
        (token,) = [token for token in client.get("/api/tokens").json() if token["name"] == "ada's own"]
        assert [row["name"] for row in client.get("/api/searches?tag=first").json()["searches"]] == ["finished"]
    assert (finished["name"], finished["tags"]) == ("finished", ["old", "first"])
    assert finished["note"] == "two lines,\nof which this is the last"
    assert finished["owner"] == "local"
    assert finished["spec"]["variants"] == {"main": {}, "noisy": {"noise": 0.004}}
    assert (finished["metric"], finished["mode"]) == ("accuracy", "max")
    assert (grid["metric"], grid["mode"]) == ("loss", "min")
    assert (grid["children"], child["parent"]) == ([child["search"]], grid["search"])
    assert (token["owner"], token["active"]) == ("ada", True)


def test_every_page_of_an_old_database_is_rendered(old: Old) -> None:
    with old.client() as client:
        for name in old.shown:
            search = f"/searches/{old.id(name)}"
            page = client.get(search)
            assert page.status_code == 200
            for stage in old.shown[name]["stages"]:
                assert (stage["sentence"] or "").partition(" It beats ")[0] in page.text
                assert client.get(f"{search}/candidates/{stage['name']}").status_code == 200
        both = f"id={old.id('finished')}&id={old.id('grid')}"
        for path in ("/", "/cluster", "/tokens", f"/new?from={old.id('finished')}", f"/compare?{both}"):
            assert client.get(path).status_code == 200, path


def test_events_trials_and_curves_of_an_old_database_are_read(old: Old) -> None:
    events = Counter(row[0] for row in old.read("SELECT search_id FROM events"))
    curves = dict(old.read("SELECT trial_id, COUNT(*) FROM metrics GROUP BY trial_id"))
    with old.client() as client, open_engine(old.url, read_only=True).connect() as connection:
        for name in ("finished", "grid", "child", "interrupted"):
            search = f"/api/searches/{old.id(name)}"
            assert len(queries.list_events(connection, old.id(name), limit=1000)) == events[old.id(name)]
            trials = client.get(f"{search}/trials?limit=200").json()["trials"]
            assert len(trials) >= old.shown[name]["trials"]["run"]
            for trial in trials[:: len(trials) // 4]:
                where = f"trials/{trial['stage']}/{trial['number']}"
                assert len(client.get(f"{search}/{where}").json()["metrics"]) == curves.get(trial["trial_id"], 0), where
                page = client.get(f"/searches/{old.id(name)}/{where}")
                assert page.status_code == 200
            for stage in old.shown[name]["stages"]:
                drawn = client.get(f"{search}/figures/{stage['name']}/curves").json()
                assert len(drawn["data"]) >= len(stage["candidates"]), (name, stage["name"])
        raised = client.get(f"/api/searches/{old.id('finished')}/trials?limit=200&gm=2").json()["trials"]
    assert raised
    assert {(trial["state"], trial["cause"]) for trial in raised} == {("FAIL", "raised")}
    assert all("planted fault at gm=2" in trial["detail"] for trial in raised)


def test_stock_optuna_opens_an_old_database_after_it_was_brought_up_to_date(old: Old) -> None:
    open_store(old.url).dispose()
    study = optuna.load_study(study_name=f"{old.id('grid')}/grid", storage=old.url)
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    best = min(old.shown["grid"]["stages"][0]["candidates"], key=lambda candidate: candidate["mean"])
    values = [t.value for t in study.trials if (t.params["gm"], t.params["gc"]) == (best["gm"], best["gc"])]
    assert sum(values) / len(values) == pytest.approx(best["mean"])


# Drivers on Ray: each search on one kind of database, as no driver knows which it has; tests of the store use both.


@pytest.mark.parametrize("empty_database_url", ["sqlite"], indirect=True)
def test_an_interrupted_search_of_an_old_database_trains_what_is_missing_once_its_new_code_is_accepted(
    shared_ray: None, old: Old
) -> None:
    search_id, then = old.id("interrupted"), old.shown["interrupted"]
    trained = [trial for trial in old.trials("interrupted") if trial[1] == "COMPLETE"]
    left = seqnorm(old.home, *old.place, "resume", search_id, expect=3)
    assert "a search must be resumed with unchanged code and data: got another" in left.stderr
    advice = re.search(r"accept the change with: (.*)", left.stderr)
    assert advice is not None
    assert advice[1].endswith(f" resume {search_id} --accept-code-change")
    assert logs(old, "interrupted") == 0
    result = seqnorm_json(old.home, *old.place, "resume", search_id, "--accept-code-change")
    assert differences(then["stages"][0], result["stages"][0]) == []
    check_finished(old, "interrupted", result, len(trained))


@pytest.mark.parametrize("empty_database_url", ["postgresql"], indirect=True)
def test_a_search_of_an_old_database_whose_driver_was_killed_is_taken_over(shared_ray: None, old: Old) -> None:
    before = Counter(trial[1] for trial in old.trials("killed"))
    assert before["RUNNING"] > 0
    result = seqnorm_json(old.home, *old.place, "resume", old.id("killed"), "--accept-code-change")
    check_finished(old, "killed", result, before["COMPLETE"])
    assert Counter(trial[-1] for trial in old.trials("killed"))["lost"] == before["RUNNING"]


def check_finished(old: Old, name: str, result: dict[str, Any], before: int) -> None:
    """Check that every replicate has finished once, and that those that had before were not trained again."""
    assert (result["status"], result["trials"]["failed"]) == ("done", 0)
    assert result["chosen"] == {"variant": "main", "gm": 8, "gc": 4}
    complete = [trial for trial in old.trials(name) if trial[1] == "COMPLETE"]
    assert len(set(complete)) == len(complete)
    assert Counter(trial[0] for trial in complete) == REPLICATES
    assert 0 < before < len(complete)
    assert logs(old, name) == len(complete) - before


def logs(old: Old, name: str) -> int:
    """Count the replicates that were trained here: each has a log, and the home was empty."""
    return len(list(old.home.glob(f"searches/{old.id(name)}/logs/*.log")))


def test_without_its_recipe_an_old_search_keeps_the_mode_of_its_studies(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, "installed", tuple)
    engine = open_store(old.url)
    with engine.connect() as connection:
        grid = queries.show_search(connection, old.id("grid"))
        finished = queries.show_search(connection, old.id("finished"))
    assert (grid.metric, grid.mode, grid.numbers) == ("metric", "min", {})
    assert (finished.metric, finished.mode) == ("metric", "max")
    assert grid.model_dump(mode="json")["chosen"] == old.shown["grid"]["chosen"]


def test_what_an_old_search_measures_is_written_where_its_recipe_is_when_it_goes_on(old: Old) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "installed", tuple)
        open_store(old.url)
    search_id = old.id("killed")
    open_recorder(old.url, search_id).close()
    with open_engine(old.url, read_only=True).connect() as connection:
        shown = queries.show_search(connection, search_id)
    assert (shown.metric, shown.mode) == ("accuracy", "max")
    assert {"main", "none"} <= set(shown.numbers)
