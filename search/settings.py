"""Settings: one frozen record, read once. A flag overrides the environment, which overrides the default."""

from __future__ import annotations

import base64
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from platformdirs import user_data_path

from search.vocabulary.errors import InvalidSpec
from search.vocabulary.secret import Secret, SecretUrl

ENV_PREFIX = "SEQNORM_"
FILE_SUFFIX = "_FILE"  # suffix of a variable that names a file with the value, e.g. a container secret
PRIVATE_RAY = "local"  # Ray's own word for it
_RELATIVE_PATH = re.compile(  # where one begins in the URL of a database
    r"^sqlite(?:\+\w+)?:///(?=[^/?])(?!:memory:|file:)"
    r"|^postgresql.*[?&](?:sslrootcert|sslcert|sslkey|sslcrl|passfile|servicefile)=(?=[^/&])(?!%2[Ff]|system(?:&|$))",
)
_KINDS = {int: "whole number", float: "number", str: "text"}


def _setting(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is not part of a search. Each field is set by ``SEQNORM_`` plus its name in capitals."""

    home: Path = field(
        default_factory=lambda: user_data_path("seqnorm"),
        metadata={"help": "folder of the default database, checkpoints, logs and data sets"},
    )
    db: SecretUrl = field(
        default=SecretUrl(), metadata={"help": "SQLAlchemy URL of the database; default: SQLite in the home folder"}
    )
    ray_address: str = _setting(
        "HOST:PORT of a Ray cluster, auto, or local for a private Ray; default: Ray's own RAY_ADDRESS, else local", ""
    )
    searches_at_once: int = _setting(
        "searches that a worker runs side by side; each gets the slots of the whole cluster divided by this", 1
    )
    lease_seconds: float = _setting("how long a lease lasts unless its driver renews it", 15.0)
    renew_seconds: float = _setting("how often a driver renews its lease; at most a third of lease_seconds", 5.0)
    outage_seconds: float = _setting(
        "how long workers and drivers try to reach a database that does not answer, before they give up", 600.0
    )
    checkpoint_seconds: float = _setting("minimum time between checkpoints of a trial", 15.0)
    trial_environment: str = _setting(
        "variables, separated by commas, that trials get beside those in docs/operating.md: NAME or PREFIX_*", ""
    )
    host: str = _setting("address that the web service binds", "127.0.0.1")
    port: int = _setting("port that the web service binds", 8000)
    worker: int = _setting("1 to run a worker beside the web service, 0 where workers run elsewhere", 1)
    hosts: str = _setting(
        "host names, separated by commas, that the service answers to; default: any, on loopback its own", ""
    )
    requests_per_minute: int = _setting("requests that one token may make in a minute; 0 for no limit", 6000)
    guesses_per_minute: int = _setting("wrong tokens that one address may send in a minute; 0 for no limit", 60)
    connections_per_source: int = _setting(
        "connections that one address may have open at the service, e.g. that of a proxy; 0 for no limit", 1000
    )
    waiting_searches: int = _setting("queued and running searches of one owner; 0 for no limit", 1000)
    waiting_trials: int = _setting("trials of one owner's queued and running searches; 0 for no limit", 1_000_000)
    max_priority: int = _setting("highest priority that a token without the scope manage may give a search", 0)
    max_trials: int = _setting("trials of one search; 0 for no limit", 100_000)
    max_trial_epochs: int = _setting("epochs of all trials of one search together; 0 for no limit", 10_000_000)
    max_trial_seconds: float = _setting(
        "longest time that a trial may take, also without a trial_timeout of its own; 0 for no limit", 7 * 86_400.0
    )
    min_cpus: float = _setting("fewest CPUs that a trial may ask for", 0.1)
    max_cpus: float = _setting("most CPUs that a trial may ask for; 0 for no limit", 256.0)
    max_gpus: float = _setting("most GPUs that a trial may ask for; 0 for no limit", 16.0)
    max_memory_gb: float = _setting("most memory that a trial may ask for, in GB; 0 for no limit", 1024.0)
    max_upload_gb: float = _setting(
        "most GB of a data set that is uploaded, as a file and unpacked; 0 for no uploads", 2.0
    )
    max_node_processes: int = _setting(
        "training processes of one search on one node: its trials there times their real_devices; 0 for no limit", 256
    )
    log_format: str = _setting(
        "how serve, worker and drivers log: text, or json for one object per line and a line per request", "text"
    )
    webhooks: Secret = field(  # URLs of chat services contain a key
        default=Secret(),
        metadata={"help": "URLs, separated by commas, to notify when a search is done, failed, cancelled or paused"},
    )
    webhook_secret: Secret = field(
        default=Secret(),
        metadata={"help": "key that signs webhooks: whsec_ and 24 to 64 random bytes in base64"},
    )
    url: str = _setting("address of a service; commands then run there instead of locally", "")
    token: Secret = field(
        default=Secret(),
        metadata={"help": "token for that service; default: the one in the home folder, made by the first serve"},
    )

    def __post_init__(self) -> None:
        """Convert plain text to secrets, so that no instance can print one."""
        for setting in fields(self):
            if isinstance(setting.default, Secret):
                text = getattr(self, setting.name)
                object.__setattr__(self, setting.name, type(setting.default)(text))  # frozen

    @property
    def database_url(self) -> SecretUrl:
        """The URL of the database, with the default filled in."""
        return self.db or SecretUrl(f"sqlite:///{_quote(self.home / 'seqnorm.db')}")

    @property
    def has_own_database(self) -> bool:
        """Whether only this host uses the database, as SQLite serves no other."""
        return self.database_url.reveal().startswith("sqlite")

    @property
    def webhook_urls(self) -> list[Secret]:
        """The URLs of ``webhooks``, without duplicates."""
        given = self.webhooks.reveal().split(",")
        return [Secret(url) for url in dict.fromkeys(url.strip() for url in given) if url]

    @property
    def trial_variables(self) -> tuple[str, ...]:
        """The names and prefixes of ``trial_environment``."""
        return tuple(filter(None, (name.strip() for name in self.trial_environment.split(","))))

    @property
    def home_is_default(self) -> bool:
        """Whether nobody chose the home folder."""
        return self.home == user_data_path("seqnorm")

    @property
    def token_file(self) -> Path:
        """The file with the token that the first ``serve`` on loopback creates."""
        return self.home / "token"

    def token_for(self, url: str) -> Secret:
        """Return the token for a service: the configured one, else, for this machine, the one in the home folder."""
        local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        if self.token or not local or not self.token_file.is_file():
            return self.token
        return Secret(self.token_file.read_text().strip())

    def trial_seconds(self, asked: float | None) -> float | None:
        """Return how long a trial may take that asks for so many seconds; None for as long as it wants."""
        return min((seconds for seconds in (asked, self.max_trial_seconds) if seconds), default=None)

    def trials_on_node(self, processes: int) -> int | None:
        """Return how many trials with so many training processes may share a node; None for any number."""
        return max(1, self.max_node_processes // processes) if self.max_node_processes else None

    def search_folder(self, search_id: str) -> Path:
        """Return the folder with the checkpoints and logs of a search."""
        return self.home / "searches" / search_id

    def search_folders(self) -> list[Path]:
        """Return the folders of all searches that have one."""
        return list((self.home / "searches").glob("*/"))

    def driver_log(self, search_id: str) -> Path:
        """Return the log file of the drivers of a search."""
        return self.search_folder(search_id) / "driver.log"

    def trial_log(self, search_id: str, replicate: str) -> Path:
        """Return the log file of the attempts at a replicate, which is given by its key."""
        return self.search_folder(search_id) / "logs" / f"{replicate}.log"


def read_settings(environ: Mapping[str, str] = os.environ, **flags: Any) -> Settings:
    """Read the settings. ``flags`` that are not None override variables, and variables override ``_FILE`` variables.

    Raises:
        InvalidSpec: if a value has the wrong type, a file has no value, or ``renew_seconds`` is more than a third of
            ``lease_seconds``.
    """
    settings = Settings()
    values: dict[str, Any] = {}
    for setting in fields(Settings):
        given = flags.get(setting.name)
        if given is None:
            variable = ENV_PREFIX + setting.name.upper()
            given = environ.get(variable) or _read_from_file(variable + FILE_SUFFIX, environ)
        if given in (None, ""):
            continue
        kind = type(getattr(settings, setting.name))
        try:
            values[setting.name] = kind(Path(given).expanduser().absolute() if kind is type(settings.home) else given)
        except (ValueError, RuntimeError):  # RuntimeError: ~user of an unknown user
            raise InvalidSpec(
                f"{ENV_PREFIX}{setting.name.upper()} must be a {_KINDS.get(kind, 'folder')}: got {given!r}. "
                f"The default is {getattr(settings, setting.name)}."
            ) from None
    if not values.get("ray_address") and environ.get("RAY_ADDRESS"):
        values["ray_address"] = environ["RAY_ADDRESS"]
    if values.get("ray_address") == PRIVATE_RAY:
        values["ray_address"] = ""
    settings = replace(settings, **values)
    settings = replace(settings, db=_absolute_url(settings.db))
    if not settings.home.is_absolute():
        raise InvalidSpec(
            f"the home folder must be known: got {settings.home}, as this user has no home. "
            "Name a folder with --home DIR or SEQNORM_HOME."
        )
    if not 0 < settings.renew_seconds <= settings.lease_seconds / 3 < math.inf:
        raise InvalidSpec(
            "renew_seconds must be above 0 and at most a third of a finite lease_seconds: got "
            f"{settings.renew_seconds} and {settings.lease_seconds}. Renew more often or hold longer."
        )
    if settings.searches_at_once < 1:
        raise InvalidSpec(
            f"SEQNORM_SEARCHES_AT_ONCE must be at least 1: got {settings.searches_at_once}. Leave it out for 1."
        )
    _check_ceilings(settings)
    if settings.log_format not in ("text", "json"):
        raise InvalidSpec(
            f"SEQNORM_LOG_FORMAT must be text or json: got {settings.log_format!r}. Leave it out for text."
        )
    for name in settings.trial_variables:
        if not re.fullmatch(r"[A-Za-z_]\w*\*?", name, re.ASCII):
            raise InvalidSpec(
                "SEQNORM_TRIAL_ENVIRONMENT must be names of variables, separated by commas, each NAME or PREFIX_*: got "
                f"{name!r}. Leave it out if trials need no more."
            )
    _check_webhooks(settings)
    return settings


def _check_ceilings(settings: Settings) -> None:
    for setting in fields(Settings):
        value = getattr(settings, setting.name)
        if setting.name.startswith(("max_", "min_")) and not (setting.name == "max_priority" or 0 <= value < math.inf):
            raise InvalidSpec(
                f"{ENV_PREFIX}{setting.name.upper()} must be a finite number of 0 or more: got {value}. "
                f"The default is {setting.default}."
            )


def _check_webhooks(settings: Settings) -> None:
    """Check that webhooks can be sent and signed. Messages do not quote possible secrets."""
    for number, url in enumerate((each.reveal() for each in settings.webhook_urls), 1):
        try:
            usable = urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname and urlsplit(url).port != 0
        except ValueError:
            usable = None
        if not usable:
            raise InvalidSpec(
                f"SEQNORM_WEBHOOKS must be http or https URLs, separated by commas: got another at position {number}. "
                "Give e.g. https://chat.example/hooks/1."
            )
    if not settings.webhook_urls:
        return
    secret = settings.webhook_secret.reveal()
    prefix, _, key = secret.partition("_")
    try:
        size = len(base64.b64decode(key, validate=True)) if prefix == "whsec" else 0
    except ValueError:
        size = 0
    if not 24 <= size <= 64:
        raise InvalidSpec(
            "SEQNORM_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64, as SEQNORM_WEBHOOKS is set: got "
            f"{len(secret)} characters. Make one with: echo whsec_$(openssl rand -base64 32)"
        )


def _quote(path: Path) -> str:
    """Return a path as it stands in a URL: SQLAlchemy takes what follows a question mark for options of its driver."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def _absolute_url(url: SecretUrl) -> SecretUrl:
    """Return the URL of a database with absolute paths, of files and certificates: drivers run in other folders."""
    text = url.reveal()
    while found := _RELATIVE_PATH.search(text):
        here = quote(str(Path.cwd()), errors="surrogateescape")
        text = f"{text[: found.end()]}{here}/{text[found.end() :]}"
    return SecretUrl(text)


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the environment that gives a child process the same settings; ``_FILE`` variables are cleared."""
    given = {ENV_PREFIX + setting.name.upper(): getattr(settings, setting.name) for setting in fields(Settings)}
    given[f"{ENV_PREFIX}RAY_ADDRESS"] = settings.ray_address or PRIVATE_RAY  # else RAY_ADDRESS would be taken
    values = {name: value.reveal() if isinstance(value, Secret) else str(value) for name, value in given.items()}
    return values | {variable + FILE_SUFFIX: "" for variable in values}


def _read_from_file(variable: str, environ: Mapping[str, str]) -> str:
    """Return the value in the file that a variable names; empty if the variable is not set."""
    if not environ.get(variable):
        return ""
    file = Path(environ[variable])
    try:
        value, fault = file.read_text().strip(), "empty"
    except (OSError, UnicodeDecodeError) as error:
        value, fault = "", getattr(error, "strerror", None) or "not text"
    if not value:
        raise InvalidSpec(
            f"{variable} must name a file with a value in it: got {str(file)!r} ({fault}). "
            f"Write the value into it, or set {variable.removesuffix(FILE_SUFFIX)} itself."
        )
    return value
