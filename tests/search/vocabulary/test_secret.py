"""Secrets are used and never shown: not by what holds them, nor by a command, an error or a log."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from search.cli import root
from search.cli.backends import LocalBackend
from search.settings import Settings, read_settings, to_environment
from search.store.backup import back_up
from search.store.database import open_engine
from search.store.opening import open_store
from search.vocabulary.errors import SearchError
from search.vocabulary.secret import HIDDEN, Secret, SecretUrl, reveal
from tests.search.program import run
from tests.search.stored import finished_search

PASSWORD = "hunter2-of-ada"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DATABASE = f"postgresql://ada:{PASSWORD}@127.0.0.1:9/none"
SETTINGS = Settings(db=DATABASE, token=PASSWORD, webhooks=f"https://chat.example/{PASSWORD}", webhook_secret=KEY)

SHOWINGS: dict[str, Callable[[object], str]] = {
    "str": str,
    "repr": repr,
    "f-string": lambda value: f"{value} {value!r}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031
    "in a list": lambda value: str([value]),
    "in JSON": lambda value: json.dumps({"value": value}, default=str),
    "in an error": lambda value: "".join(traceback.format_exception(ValueError(value))),
    "in a record": lambda value: logging.LogRecord("search", 20, "", 0, "got %s", (value,), None).getMessage(),
    "copied": lambda value: f"{copy.copy(value)} {copy.deepcopy(value)!r}",
}


@pytest.mark.parametrize("show", SHOWINGS)
@pytest.mark.parametrize(
    "secret",
    [
        Secret(PASSWORD),
        SecretUrl(DATABASE),
        SecretUrl(f"postgresql://db/x?user=ada&password={PASSWORD}%20&sslpassword={PASSWORD} and more"),
        SecretUrl(f"postgresql://ada:a space, @ and {PASSWORD}@db/x"),
        SecretUrl(f"a pasted {PASSWORD}"),
        SETTINGS,
    ],
    ids=["text", "URL", "query", "strange password", "no URL", "settings"],
)
def test_a_secret_is_shown_in_no_way(secret: object, show: str) -> None:
    shown = SHOWINGS[show](secret)
    assert PASSWORD not in shown
    assert "and more" not in shown
    assert "a space" not in shown
    assert KEY not in shown
    assert HIDDEN in shown or "text that is not a URL" in shown


def test_the_rest_of_a_url_is_shown() -> None:
    assert str(SecretUrl(DATABASE)) == f"postgresql://ada:{HIDDEN}@127.0.0.1:9/none"
    assert str(SecretUrl("postgresql://ada@db:5432/x")) == "postgresql://ada@db:5432/x"
    assert str(SecretUrl("sqlite:////srv/a:b@c/seqnorm.db")) == "sqlite:////srv/a:b@c/seqnorm.db"
    assert str(SecretUrl(f"postgresql://db/x?password={PASSWORD}&port=1")) == (
        f"postgresql://db/x?password={HIDDEN}&port=1"
    )


def test_a_secret_is_text_to_who_asks_for_it() -> None:
    assert Secret(PASSWORD).reveal() == reveal(PASSWORD) == reveal(SecretUrl(PASSWORD)) == PASSWORD
    assert Secret(Secret(PASSWORD)) == Secret(PASSWORD) != Secret("other")
    assert len({Secret(PASSWORD), Secret(PASSWORD)}) == 1
    assert (bool(Secret(PASSWORD)), bool(Secret())) == (True, False)
    assert Secret(PASSWORD) != PASSWORD
    assert f"{Secret(PASSWORD):>12}" == f"  {HIDDEN}"


def test_a_secret_goes_into_no_json_and_no_pickle() -> None:
    for refused in (json.dumps, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            refused({"token": Secret(PASSWORD)})
        assert PASSWORD not in str(caught.value)


def test_settings_hold_secrets_however_they_are_made() -> None:
    read = read_settings({"SEQNORM_DB": DATABASE, "SEQNORM_TOKEN": PASSWORD})
    for settings in (SETTINGS, read, read_settings({}, db=DATABASE, token=PASSWORD), replace(read, host="::1")):
        assert PASSWORD not in f"{settings} {asdict(settings)}"
        assert settings.token == Secret(PASSWORD)
        assert settings.database_url == SecretUrl(DATABASE)


def test_a_child_process_is_told_the_secrets_themselves() -> None:
    environ = to_environment(SETTINGS)
    assert (environ["SEQNORM_DB"], environ["SEQNORM_TOKEN"]) == (DATABASE, PASSWORD)
    assert read_settings(environ) == SETTINGS


def test_a_token_in_the_home_folder_is_a_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.token_file.write_text(f"{PASSWORD}\n")
    assert settings.token_for("http://localhost:8000") == Secret(PASSWORD)


@pytest.mark.parametrize(
    "url",
    [
        DATABASE,
        f"nosuch://ada:{PASSWORD}@db/x",
        f"postgresql+{PASSWORD}",
        f"postgresql://ada:before@{PASSWORD}:{PASSWORD}@db/x",  # SQLAlchemy takes what follows the colon for a port
        f"postgresql://ada@127.0.0.1:9/x?password={PASSWORD}",
    ],
)
def test_an_error_about_a_database_does_not_quote_its_password(url: str) -> None:
    for given in (url, SecretUrl(url)):
        with pytest.raises(SearchError) as caught:
            open_store(given)
        assert PASSWORD not in "".join(traceback.format_exception(caught.value, chain=False))
        assert str(caught.value).startswith("the database must be")


def test_the_advice_to_use_another_tool_does_not_quote_the_password(tmp_path: Path) -> None:
    for url in (DATABASE, f"postgresql://ada@127.0.0.1:9/none?password={PASSWORD}"):
        with pytest.raises(SearchError) as caught:
            back_up(SecretUrl(url), tmp_path / "copy.db")
        assert str(caught.value).endswith("postgresql://ada@127.0.0.1:9/none")


def test_advice_names_the_database_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root._global_options, "db", DATABASE)
    monkeypatch.setattr(root._global_options, "url", f"http://ada:{PASSWORD}@127.0.0.1:9")
    said = root.program()
    assert PASSWORD not in said
    assert f"--db 'postgresql://ada:{HIDDEN}@127.0.0.1:9/none'" in said


def with_password(server: str) -> str:
    """Return a URL with a password in it, which a server that trusts everybody does not ask for."""
    return open_engine(server).url.set(password=PASSWORD).render_as_string(hide_password=False)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_command_prints_the_password_of_its_database(database_url: str, tmp_path: Path) -> None:
    search_id = finished_search(database_url, gm=[1], gc=[1], seeds=1)
    url = with_password(database_url)
    for words in (["show", search_id], ["db", "upgrade"], ["list"]):
        done = run(*words, SEQNORM_DB=url, SEQNORM_HOME=str(tmp_path))
        assert PASSWORD not in done.stdout + done.stderr, words
        assert done.returncode == 0, done.stderr
        assert words == ["list"] or f":{HIDDEN}@" in done.stdout
    assert PASSWORD not in LocalBackend(Settings(db=url)).address
