"""What is logged: objects for programs, lines for people, and secrets for nobody."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest

from search.engine import logs
from search.engine.logs import known_secrets, last_message
from search.settings import Settings
from search.vocabulary.secret import redact
from service.middleware.gate import COOKIE

SECRET = "Zq7_h4nYkR-2vW8xLm0aTzB5cD9eF3gHiJ1kN6oPqRs"  # 43 characters, as tokens, codes and cookies have


@pytest.fixture
def logging_set_up() -> Iterator[None]:
    """Leave logging as it was found."""
    import threading

    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    root.handlers[:], root.level, sys.excepthook, threading.excepthook = before  # type: ignore[assignment]
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"got seqnorm_0123456789ab_{SECRET}.", "got seqnorm_0123456789ab_[redacted]."),
        (f"cut seqnorm_0123456789ab_{SECRET[:9]}…", "cut seqnorm_0123456789ab_[redacted]…"),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer [redacted]"),
        (f"[(b'authorization', b'bearer {SECRET}')]", "[(b'authorization', b'bearer [redacted]')]"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [redacted]"),
        (f"GET /login?code={SECRET}&next=/ HTTP/1.1", "GET /login?code=[redacted]&next=/ HTTP/1.1"),
        (f"/login?next=%2Flogin%3Fcode%3D{SECRET}%26a", "/login?next=%2Flogin%3Fcode%3D[redacted]%26a"),
        (f"POST /login token={SECRET}&next=/", "POST /login token=[redacted]&next=/"),
        ('{"password": "hunter 2, and; more"}', '{"password": "[redacted]"}'),
        ("('password', 'hunter 2')", "('password', '[redacted]')"),
        ("{'password': b'hunter 2'}", "{'password': b'[redacted]'}"),
        ("RAY_AUTH_TOKEN: 'abc'", "RAY_AUTH_TOKEN: '[redacted]'"),
        ("password = hunter2", "password = [redacted]"),
        (f"X-Api-Key: {SECRET}", "X-Api-Key: [redacted]"),
        (f"seqnorm --token {SECRET} list", "seqnorm --token [redacted] list"),
        ("host=db user=ada password=hunter2 port=1", "host=db user=ada password=[redacted] port=1"),
        ("SEQNORM_WEBHOOK_SECRET='abc'", "SEQNORM_WEBHOOK_SECRET='[redacted]'"),
        ("postgresql+psycopg://ada:hunter2@db:5432/x", "postgresql+psycopg://ada:[redacted]@db:5432/x"),
        ("postgresql://ada:p@ss/w:rd@db/x is no URL", "postgresql://ada:[redacted]@db/x is no URL"),
        (f"Cookie: {COOKIE}={SECRET}", "Cookie: [redacted]"),
        (f"Set-Cookie: other=1; {COOKIE}={SECRET}; Path=/\nnext", "Set-Cookie: [redacted]\nnext"),
        (f"{{'{COOKIE}': 1}} {COOKIE}={SECRET}; Path=/", f"{{'{COOKIE}': 1}} {COOKIE}=[redacted]; Path=/"),
        ("signed with whsec_MfKQ9r8GKYqrTwjU", "signed with whsec_[redacted]"),
    ],
)
def test_what_looks_like_a_secret_is_left_out(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "a service that other machines reach must have a token: got none, for 0.0.0.0.",
        "Send Authorization: Bearer TOKEN; create one with: seqnorm token create NAME --owner OWNER",
        "the driver ended with exit code=5",
        "serving on http://127.0.0.1:8000",
        "sqlite:////srv/seqnorm/seqnorm.db has schema 0005",
        "postgresql://ada@db:5432/x",
        "GET /api/searches/{id} 200",
        'File "seqnorm_0/app.py", line 3, in seqnorm_session',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("word", ["token", "secret", "a", "a.", "token ", "://a:", "%3D"])
def test_a_word_as_long_as_a_recipe_may_print_is_looked_through(word: str) -> None:
    said = word * (200_000 // len(word))  # hours, where repeats in a pattern are not bounded
    assert redact(said) == said


def test_what_the_settings_hold_is_left_out_wherever_it_stands() -> None:
    settings = Settings(
        db="postgresql://ada:hunter%402@db/seqnorm?password=in+the+query",
        token="plain-token",
        webhooks="https://bob:swordfish@a.example/short?key=opensesame,https://b.example/services/T00/B00/XXXXXXXXXX",
        webhook_secret="whsec_MfKQ9r8GKYqrTwjU",
    )
    known = known_secrets(settings, {"PGPASSWORD": "of-libpq", "RAY_AUTH_TOKEN": "of-the-cluster", "HOME": "/home/ada"})
    for secret in (
        *("in the query", "of-libpq", "of-the-cluster"),
        *("hunter%402", "hunter@2", "plain-token", "swordfish", "key=opensesame"),
        *("services/T00/B00/XXXXXXXXXX", "MfKQ9r8GKYqrTwjU"),
    ):
        assert redact(f"got {secret}.", known) == "got [redacted].", secret
    assert redact("a short walk of ada in seqnorm", known) == "a short walk of ada in seqnorm"


@pytest.mark.parametrize("password", ["hunter[2", "hunter＠2", "hunter#2", "hunter?x=2", "hunter/2", "hunter\n2"])
def test_a_password_that_no_url_should_have_is_a_secret_all_the_same(password: str) -> None:
    known = known_secrets(Settings(db=f"postgresql://u:{password}@db:$PORT/x"))
    assert redact(f"got {password}.", known) == "got [redacted]."


def test_a_password_that_is_a_name_too_takes_no_word_out_of_sentences() -> None:
    known = known_secrets(Settings(db="postgresql://seqnorm:seqnorm@db/seqnorm"))
    assert redact("seqnorm token create", known) == "seqnorm token create"


def objects(printed: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_an_object_has_time_level_logger_message_and_fields(
    logging_set_up: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings(log_format="json"), search="abc")
    logging.getLogger("search.engine.worker").info(
        "two\nlines of %s", "ä", extra={"status": 200, "ms": 1.5, "unknown": 1}
    )
    logging.getLogger("asyncio").warning("slow")
    logging.getLogger("httpx2").info("GET https://a.example/?key=1")
    first, second = objects(capsys.readouterr().err)
    assert str(first.pop("time")).endswith("+00:00")
    assert first == {
        **{"level": "info", "logger": "search.engine.worker", "message": "two\nlines of ä"},
        **{"search": "abc", "status": 200, "ms": 1.5},
    }
    assert (second["level"], second["message"]) == ("warning", "slow")


def test_lines_for_people_say_the_message_and_how_bad_it_is(
    logging_set_up: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings())
    logging.getLogger("search.engine.worker").info("running %s", "abc")
    logging.getLogger("search.engine.worker").warning("it waits")
    logs.log_error("got postgresql://ada:hunter2@db")
    assert capsys.readouterr().err == "running abc\nwarning: it waits\nerror: got postgresql://ada:[redacted]@db\n"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_terminal_obeys_nothing_that_is_logged(
    logging_set_up: None, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(Settings(log_format=log_format))
    hostile = "a\x1b[2J\x1b]0;title\x07\x9b31m\r\x08%s"
    logging.getLogger("search.engine.worker").warning("trial 3 failed: %s", hostile)
    logging.getLogger("search.engine.worker").info("to search: %s", "x", extra={"search": hostile})
    try:
        raise ValueError(hostile)
    except ValueError:
        logging.getLogger("search.engine.worker").exception(hostile, "in the format")
    logs.log_error(f"no recipe is named {hostile}")
    printed = capsys.readouterr().err
    assert not [character for character in printed if character != "\n" and not character.isprintable()]
    assert printed.count("title") >= 4


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_in_arguments_fields_tracebacks_and_warnings_are_left_out(
    log_format: str, logging_set_up: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings(log_format=log_format, token="a plain secret"))
    token = f"seqnorm_0123456789ab_{SECRET}"
    log = logging.getLogger("service")
    log.info("got %s", token)
    log.info("got %r", {"Authorization": f"Bearer {token}"}, extra={"target": f"https://a:{SECRET}@b"})
    try:
        raise ValueError(f"a plain secret beside {token}")
    except ValueError:
        log.exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(Settings(log_format=log_format, token="a plain secret"))
        warnings.warn(f"{token} is old", UserWarning, stacklevel=1)
    printed = capsys.readouterr().err
    assert printed.count("[redacted]") >= 5
    assert "ValueError" in printed
    assert "is old" in printed
    assert SECRET not in printed
    assert "a plain secret" not in printed
    if log_format == "json":
        assert len(objects(printed)) == 4


@pytest.mark.parametrize("where", ["process", "thread"])
def test_what_ends_a_process_or_a_thread_is_an_object_too(where: str) -> None:
    program = f"""
import threading
from search.engine import logs
from search.settings import Settings
logs.configure(Settings(log_format="json"))
def fail(): raise RuntimeError("postgresql://ada:{SECRET}@db")
if {where!r} == "thread":
    thread = threading.Thread(target=fail); thread.start(); thread.join()
else:
    fail()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    (said,) = objects(done.stderr)
    assert done.returncode == (where == "process")
    assert said["message"] == "RuntimeError: postgresql://ada:[redacted]@db"
    assert "in fail" in str(said["exception"])
    assert SECRET not in done.stderr


FAULT = """Traceback (most recent call last):
  File "/src/store.py", line 3, in write
    cursor.execute(statement)
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked
[SQL: UPDATE tokens
SET hash=?]
[parameters: ('hunter2',)]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
"""


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", ""),
        ("earlier\nValueError: no room\n", "ValueError: no room"),
        ('earlier\n{"level": "error", "message": "no room"}', "no room"),
        (
            json.dumps({"message": FAULT}),
            "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked",
        ),
        (FAULT, "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked"),
        (FAULT + "then it went on", "then it went on"),
        (
            '  File "a.py", line 3, in f\nOperationalError: refused\n\tIs the server running?',
            "OperationalError: refused",
        ),
        *((line, line) for line in ('{"message"', "[1]", "3", '{"other": 1}')),
    ],
)
def test_what_a_log_says_last_is_found_in_either_format(printed: str, said: str) -> None:
    assert last_message(printed) == said


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_of_a_database_error_the_log_has_no_statement_no_value_and_no_link(log_format: str) -> None:
    program = f"""
from search.engine import logs
from search.settings import Settings
logs.configure(Settings(log_format={log_format!r}))
import sqlalchemy
with sqlalchemy.create_engine("sqlite://").connect() as connection:
    connection.execute(sqlalchemy.text("SELECT :one FROM nowhere"), {{"one": "hunter2"}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert last_message(done.stderr).endswith("OperationalError) no such table: nowhere")
    assert not any(word in done.stderr for word in ("hunter2", "Background", "[SQL", "[parameters"))
    assert "in <module>" in done.stderr, "the traceback is there"
