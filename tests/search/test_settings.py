"""Settings: flag, then environment, then default."""

from pathlib import Path

import pytest

from search.settings import Settings, read_settings, to_environment
from search.store.database import open_engine, parse_url
from search.vocabulary.errors import InvalidSpec


def refused(environ: dict[str, str], **flags) -> str:
    with pytest.raises(InvalidSpec) as error:
        read_settings(environ, **flags)
    return str(error.value)


def test_an_empty_environment_gives_the_defaults():
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.lease_seconds, settings.renew_seconds) == (15.0, 5.0)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_a_flag_beats_the_environment_and_the_environment_beats_the_default():
    environ = {"SEQNORM_PORT": "9000", "SEQNORM_HOST": "::1"}
    assert read_settings(environ).port == 9000
    settings = read_settings(environ, port=7000)
    assert (settings.port, settings.host) == (7000, "::1")


def test_a_flag_that_was_not_given_or_an_empty_variable_changes_nothing():
    assert read_settings({"SEQNORM_PORT": "9000"}, port=None).port == 9000
    assert read_settings({"SEQNORM_PORT": "", "SEQNORM_HOME": ""}) == Settings()


def test_foreign_variables_are_ignored():
    assert read_settings({"PORT": "1", "HOME": "/elsewhere", "SEQNORM_NOTHING": "1"}) == Settings()


def test_the_database_lies_in_the_home_folder_unless_it_is_named():
    settings = read_settings({"SEQNORM_HOME": "/srv/seqnorm"})
    assert settings.database_url.reveal() == "sqlite:////srv/seqnorm/seqnorm.db"
    assert settings.search_folder("ab12") == Path("/srv/seqnorm/searches/ab12")
    assert read_settings({"SEQNORM_DB": "postgresql://db/seqnorm"}).database_url.reveal() == "postgresql://db/seqnorm"


def test_a_home_folder_is_made_absolute_and_a_tilde_spelled_out(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ada")
    assert read_settings({"SEQNORM_HOME": "here"}).home == tmp_path / "here"
    assert read_settings({}, home=Path("~/there")).home == Path("/home/ada/there")


def test_rays_own_address_is_taken_where_ours_is_not_given():
    assert read_settings({"RAY_ADDRESS": "ray:6379"}).ray_address == "ray:6379"
    assert read_settings({"RAY_ADDRESS": "ray:6379", "SEQNORM_RAY_ADDRESS": "own:6379"}).ray_address == "own:6379"


def test_local_is_a_private_ray_also_where_rays_own_address_names_a_cluster():
    environ = {"RAY_ADDRESS": "ray:6379", "SEQNORM_RAY_ADDRESS": "local"}
    assert read_settings(environ).ray_address == ""
    assert read_settings(environ | to_environment(read_settings(environ))).ray_address == ""
    assert read_settings({"RAY_ADDRESS": "local"}).ray_address == ""


@pytest.mark.parametrize("name", ["a?x=1", "a#b", "50%", "a%3Fb", "two words", "one\nline", "größe", "a&b", "a@b:c"])
def test_the_default_database_is_in_the_home_folder_whatever_its_name(name, tmp_path):
    home = tmp_path / name
    url = read_settings({}, home=home).database_url
    assert parse_url(url).database == str(home / "seqnorm.db")
    assert parse_url(url).query == {}
    home.mkdir()
    with open_engine(url, create=True).connect():
        assert (home / "seqnorm.db").is_file()


@pytest.mark.parametrize(
    ("given", "absolute"),
    [
        ("sqlite:///mine.db", "sqlite:///{here}/mine.db"),
        ("sqlite:///sub/mine.db?timeout=3", "sqlite:///{here}/sub/mine.db?timeout=3"),
        ("sqlite+pysqlite:///../mine.db", "sqlite+pysqlite:///{here}/../mine.db"),
        ("sqlite:////srv/mine.db", "sqlite:////srv/mine.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        (
            "postgresql://db/x?sslrootcert=ca.pem&sslcert=/srv/a.pem&sslkey=key.pem",
            "postgresql://db/x?sslrootcert={here}/ca.pem&sslcert=/srv/a.pem&sslkey={here}/key.pem",
        ),
        (
            "postgresql://db/x?sslrootcert=system&sslcert=%2Fsrv%2Fa",
            "postgresql://db/x?sslrootcert=system&sslcert=%2Fsrv%2Fa",
        ),
    ],
)
def test_paths_in_the_url_of_a_database_are_made_absolute(given, absolute, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read_settings({"SEQNORM_DB": given}).db.reveal() == absolute.format(here=tmp_path)


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch):
    monkeypatch.setattr(
        "search.settings.user_data_path", lambda _: Path("~/.local/share/seqnorm")
    )  # as it then answers
    assert refused({}) == (
        "the home folder must be known: got ~/.local/share/seqnorm, as this user has no home. "
        "Name a folder with --home DIR or SEQNORM_HOME."
    )
    assert read_settings({}, home=Path("/srv/x")).home == Path("/srv/x")


def test_a_value_may_lie_in_a_file_that_a_variable_names(tmp_path):
    secret = tmp_path / "database_url"
    secret.write_text("postgresql://me:secret@db/seqnorm\n")
    settings = read_settings({"SEQNORM_DB_FILE": str(secret), "SEQNORM_HOME": "/srv/seqnorm"})
    assert settings.db.reveal() == "postgresql://me:secret@db/seqnorm"
    secret.write_text("9000")
    assert read_settings({"SEQNORM_PORT_FILE": str(secret)}).port == 9000


def test_a_flag_and_a_variable_beat_the_file_which_is_then_not_read():
    environ = {"SEQNORM_PORT_FILE": "/nowhere", "SEQNORM_PORT": "9000"}
    assert read_settings(environ).port == 9000
    assert read_settings({"SEQNORM_PORT_FILE": "/nowhere"}, port=7000).port == 7000


@pytest.mark.parametrize(
    ("content", "fault"), [(None, "No such file or directory"), (b" \n", "empty"), (b"\xff\xfe", "not text")]
)
def test_a_file_without_a_value_is_refused(tmp_path, content, fault):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    assert refused({"SEQNORM_DB_FILE": str(file)}) == (
        f"SEQNORM_DB_FILE must name a file with a value in it: got '{file}' ({fault}). "
        "Write the value into it, or set SEQNORM_DB itself."
    )


def test_a_child_process_does_not_read_a_file_that_its_parent_did_not(tmp_path):
    (tmp_path / "url").write_text("http://elsewhere")
    environ = {"SEQNORM_URL_FILE": str(tmp_path / "url")}
    here = read_settings(environ, url="")  # as --home asks for
    assert read_settings(environ | to_environment(here)).url == ""


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"SEQNORM_PORT": "web"},
            "SEQNORM_PORT must be a whole number: got 'web'. The default is 8000.",
        ),
        (
            {"SEQNORM_PORT": "80.5"},
            "SEQNORM_PORT must be a whole number: got '80.5'. The default is 8000.",
        ),
        (
            {"SEQNORM_LEASE_SECONDS": "15 s"},
            "SEQNORM_LEASE_SECONDS must be a number: got '15 s'. The default is 15.0.",
        ),
        (
            {"SEQNORM_HOME": "~nobody-of-that-name/x"},
            f"SEQNORM_HOME must be a folder: got '~nobody-of-that-name/x'. The default is {Settings().home}.",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(environ, sentence):
    assert refused(environ) == sentence


def test_a_flag_of_the_wrong_kind_is_refused_like_its_variable():
    assert refused({}, port="web") == "SEQNORM_PORT must be a whole number: got 'web'. The default is 8000."


@pytest.mark.parametrize(
    ("lease", "renew"), [(15.0, 5.1), (15.0, 0.0), (15.0, -1.0), (3.0, 5.0), (float("nan"), 5.0), (float("inf"), 5.0)]
)
def test_a_renewal_longer_than_a_third_of_the_lease_is_refused(lease, renew):
    environ = {"SEQNORM_LEASE_SECONDS": str(lease), "SEQNORM_RENEW_SECONDS": str(renew)}
    assert refused(environ) == (
        "renew_seconds must be above 0 and at most a third of a finite lease_seconds: "
        f"got {renew} and {lease}. Renew more often or hold longer."
    )


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_webhooks_are_read_with_commas_each_once():
    environ = {
        "SEQNORM_WEBHOOKS": "https://a.example/x, http://b:80,https://a.example/x,",
        "SEQNORM_WEBHOOK_SECRET": SECRET,
    }
    assert [url.reveal() for url in read_settings(environ).webhook_urls] == ["https://a.example/x", "http://b:80"]
    assert read_settings({}).webhook_urls == []


@pytest.mark.parametrize("url", ["a.example", "ftp://a.example", "https://", "http://a.example:web", "http://[a"])
def test_a_webhook_that_cannot_be_reached_is_refused_without_quoting_it(url):
    environ = {"SEQNORM_WEBHOOKS": f"https://a.example,{url}", "SEQNORM_WEBHOOK_SECRET": SECRET}
    assert refused(environ) == (
        "SEQNORM_WEBHOOKS must be http or https URLs, separated by commas: got another at position 2. "
        "Give e.g. https://chat.example/hooks/1."
    )


@pytest.mark.parametrize("secret", ["", SECRET[6:], "whsec_c2hvcnQ=", "whsec_!", "whsec_" + "A" * 100])
def test_webhooks_without_a_good_secret_are_refused_without_quoting_it(secret):
    assert refused({"SEQNORM_WEBHOOKS": "https://a.example", "SEQNORM_WEBHOOK_SECRET": secret}) == (
        "SEQNORM_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64, as SEQNORM_WEBHOOKS is set: "
        f"got {len(secret)} characters. Make one with: echo whsec_$(openssl rand -base64 32)"
    )


def test_a_format_of_logs_is_one_of_two():
    assert read_settings({"SEQNORM_LOG_FORMAT": "json"}).log_format == "json"
    assert refused({"SEQNORM_LOG_FORMAT": "xml"}) == (
        "SEQNORM_LOG_FORMAT must be text or json: got 'xml'. Leave it out for text."
    )


def test_a_renewal_of_a_third_of_the_lease_is_allowed():
    settings = read_settings({"SEQNORM_LEASE_SECONDS": "3", "SEQNORM_RENEW_SECONDS": "1"})
    assert (settings.lease_seconds, settings.renew_seconds) == (3.0, 1.0)


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {
            "home": "/srv/seq norm",
            "db": "postgresql://db/seqnorm",
            "ray_address": "ray:6379",
            "lease_seconds": 0.7,
            "renew_seconds": 0.1,
            "host": "0.0.0.0",
            "port": 1,
        },
    ],
)
def test_a_child_process_reads_the_same_settings_from_the_environment_of_its_parent(flags):
    settings = read_settings({}, **flags)
    environ = to_environment(settings)
    assert read_settings(environ) == settings
    assert set(environ) >= {"SEQNORM_HOME", "SEQNORM_DB", "SEQNORM_RAY_ADDRESS", "SEQNORM_LEASE_SECONDS"}


@pytest.mark.parametrize("given", ["0", "-1"])
def test_a_cluster_is_shared_by_one_search_or_more(given):
    assert read_settings({}).searches_at_once == 1
    assert read_settings({"SEQNORM_SEARCHES_AT_ONCE": "3"}).searches_at_once == 3
    assert refused({"SEQNORM_SEARCHES_AT_ONCE": given}) == (
        f"SEQNORM_SEARCHES_AT_ONCE must be at least 1: got {given}. Leave it out for 1."
    )


def test_names_of_variables_for_trials_are_checked():
    given = read_settings({"SEQNORM_TRIAL_ENVIRONMENT": "AWS_PROFILE, MY_*,"})
    assert given.trial_variables == ("AWS_PROFILE", "MY_*")
    for name in ("*", "A B", "A=1", "-x", "A*B"):
        said = refused({"SEQNORM_TRIAL_ENVIRONMENT": f"PATH,{name}"})
        assert said.startswith("SEQNORM_TRIAL_ENVIRONMENT must be names of variables, separated by commas, each ")
        assert f"NAME or PREFIX_*: got {name!r}. Leave it out if trials need no more." in said


def test_a_home_folder_is_the_default_until_somebody_names_another(tmp_path):
    assert read_settings({}).home_is_default
    assert not read_settings({"SEQNORM_HOME": str(tmp_path)}).home_is_default
