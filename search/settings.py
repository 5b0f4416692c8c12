"""Settings: one frozen record, read once from the environment. Flag, then environment, then default."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from platformdirs import user_data_path

from search.vocabulary.errors import InvalidSpec
from search.vocabulary.secret import Secret, SecretUrl

ENV_PREFIX = "SEQNORM_"
FILE_SUFFIX = "_FILE"  # ends a variable that names the file with a setting's value, as secrets are handed to containers
_KINDS = {int: "whole number", float: "number", str: "text"}


def _setting(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that is not part of a search. The variable of a field is ``SEQNORM_`` and its name in capitals."""

    home: Path = field(
        default_factory=lambda: user_data_path("seqnorm"),
        metadata={"help": "folder of the default database, checkpoints, logs and data sets"},
    )
    db: SecretUrl = field(
        default=SecretUrl(), metadata={"help": "SQLAlchemy URL of the database; default: SQLite in the home folder"}
    )
    ray_address: str = _setting(
        "address of a Ray cluster; default: Ray's own RAY_ADDRESS, else a private local Ray", ""
    )
    lease_seconds: float = _setting("how long a driver holds a search without renewing", 15.0)
    renew_seconds: float = _setting("how often a driver renews its lease; at most a third of lease_seconds", 5.0)
    checkpoint_seconds: float = _setting("how often a trial keeps a checkpoint, at the most", 15.0)
    host: str = _setting("address that the web service binds", "127.0.0.1")
    port: int = _setting("port that the web service binds", 8000)
    worker: int = _setting("1 to run a worker beside the web service, 0 where workers run elsewhere", 1)
    hosts: str = _setting("names, with commas, under which the service answers; default: any, on loopback its own", "")
    requests_per_minute: int = _setting("requests that one token may make; 0 for any number", 6000)
    waiting_searches: int = _setting("searches of one owner that may wait or run; 0 for any number", 1000)
    waiting_trials: int = _setting("trials of one owner's searches that wait or run; 0 for any number", 1_000_000)
    max_priority: int = _setting("highest priority that a token without the scope manage may give a search", 0)
    log_format: str = _setting(
        "how serve, worker and drivers log: text, or json for an object a line and a line for each request", "text"
    )
    webhooks: Secret = field(  # those of chats have a key in their path
        default=Secret(),
        metadata={"help": "URLs, with commas, that are told when a search is done, failed, cancelled or paused"},
    )
    webhook_secret: Secret = field(
        default=Secret(),
        metadata={"help": "what webhooks are signed with: whsec_ and 24 to 64 random bytes in base64"},
    )
    url: str = _setting("address of a service; commands then work there instead of here", "")
    token: Secret = field(
        default=Secret(),
        metadata={"help": "token for that service; default: the one in the home folder, made by the first serve"},
    )

    def __post_init__(self) -> None:
        """Make secrets of plain text, so that no way of making settings leaves one that can be printed."""
        for setting in fields(self):
            if isinstance(setting.default, Secret):
                text = getattr(self, setting.name)
                object.__setattr__(self, setting.name, type(setting.default)(text))  # frozen

    @property
    def database_url(self) -> SecretUrl:
        """The database to use, the default one spelled out."""
        return self.db or SecretUrl(f"sqlite:///{self.home / 'seqnorm.db'}")

    @property
    def webhook_urls(self) -> list[Secret]:
        """The URLs of ``webhooks``, each once."""
        given = self.webhooks.reveal().split(",")
        return [Secret(url) for url in dict.fromkeys(url.strip() for url in given) if url]

    @property
    def token_file(self) -> Path:
        """The file with the token that the first ``serve`` on loopback makes."""
        return self.home / "token"

    def token_for(self, url: str) -> Secret:
        """Return the token for a service: the one that is set, else on this machine that of the home folder."""
        local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        if self.token or not local or not self.token_file.is_file():
            return self.token
        return Secret(self.token_file.read_text().strip())

    def search_folder(self, search_id: str) -> Path:
        """Return where a search keeps its checkpoints and logs."""
        return self.home / "searches" / search_id

    def driver_log(self, search_id: str) -> Path:
        """Return the file that takes what the drivers of a search print."""
        return self.search_folder(search_id) / "driver.log"

    def trial_log(self, search_id: str, replicate: str) -> Path:
        """Return the file that takes what the attempts at a replicate print; it is named by its key."""
        return self.search_folder(search_id) / "logs" / f"{replicate}.log"


def read_settings(environ: Mapping[str, str] = os.environ, **flags: Any) -> Settings:
    """Read the settings: ``flags`` that are not None win over the environment, a variable over the file it may lie in.

    Raises:
        InvalidSpec: for a variable that is not of its kind, a file without a value, or a renewal longer than a third
            of the lease.
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
        except (ValueError, RuntimeError):  # the latter for the home folder of somebody unknown
            raise InvalidSpec(
                f"{ENV_PREFIX}{setting.name.upper()} must be a {_KINDS.get(kind, 'folder')}: got {given!r}. "
                f"The default is {getattr(settings, setting.name)}."
            ) from None
    if not values.get("ray_address") and environ.get("RAY_ADDRESS"):
        values["ray_address"] = environ["RAY_ADDRESS"]
    settings = replace(settings, **values)
    if not 0 < settings.renew_seconds <= settings.lease_seconds / 3 < math.inf:
        raise InvalidSpec(
            "renew_seconds must be above 0 and at most a third of a finite lease_seconds: got "
            f"{settings.renew_seconds} and {settings.lease_seconds}. Renew more often or hold longer."
        )
    if settings.log_format not in ("text", "json"):
        raise InvalidSpec(
            f"SEQNORM_LOG_FORMAT must be text or json: got {settings.log_format!r}. Leave it out for text."
        )
    _check_webhooks(settings)
    return settings


def _check_webhooks(settings: Settings) -> None:
    """Refuse webhooks that cannot be sent or signed. What may be secret is not quoted."""
    for number, url in enumerate((each.reveal() for each in settings.webhook_urls), 1):
        try:
            usable = urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname and urlsplit(url).port != 0
        except ValueError:
            usable = None
        if not usable:
            raise InvalidSpec(
                f"SEQNORM_WEBHOOKS must be URLs of http or https, with commas: got something else in place {number}. "
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


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that make a child process read the same settings, and no file instead of them."""
    given = {ENV_PREFIX + setting.name.upper(): getattr(settings, setting.name) for setting in fields(Settings)}
    values = {name: value.reveal() if isinstance(value, Secret) else str(value) for name, value in given.items()}
    return values | {variable + FILE_SUFFIX: "" for variable in values}


def _read_from_file(variable: str, environ: Mapping[str, str]) -> str:
    """Return the value in the file that a variable names; nothing where it names none."""
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
