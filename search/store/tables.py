"""Our tables, and the columns we read of Optuna's (its schema version 12). Times are seconds since 1970, UTC."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    column,
    table,
    text,
)

metadata = MetaData()
IS_STATUS_EVENT = text("kind = 'status'")

searches = Table(
    "searches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("archived_at", Double),
    Column("owner", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("recipe", String(100), nullable=False),
    Column("strategy", String(20), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("sweeps", JSON, nullable=False),  # what its tuning stages try, as the strategy said: axes and rule of each
    Column("metric", String(100), nullable=False),  # what candidates are compared by
    Column("mode", String(3), nullable=False),  # max or min: whether a higher or a lower metric is better
    Column("numbers", JSON(none_as_null=True)),  # the recipe's, as each variant trains with them; none if unknown
    Column("provenance", JSON(none_as_null=True)),  # versions; none for searches of version 0.1.0
    Column("digest", JSON, nullable=False),  # of recipe module, numbers, data and seqnorm version
    Column("planned", Integer, nullable=False),  # trials, the most they can be
    Column("slots", Integer),  # how many trials run at once, as the driver found
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),  # why the status is what it is, for a person
    Column("requested_status", String(20)),  # what somebody asked for and the driver has yet to reach
    Column("priority", Integer, nullable=False),
    Column("retried_upto", Integer, nullable=False),  # trials that failed up to this trial_id run again
    Column("parent", String(32)),  # the search whose finished trials this one may link
    Column("cluster", JSON(none_as_null=True)),  # nodes and their resources, as the driver last saw them
    # The lease: whoever raised `epoch` last is the driver; see leases.py
    Column("epoch", Integer, nullable=False),
    Column("holder", JSON(none_as_null=True)),
    Column("lease_until", Double),
    Index("ix_searches_status", "status", "priority", "created_at"),
)

stages = Table(
    "stages",
    metadata,
    Column("search_id", ForeignKey("searches.id"), primary_key=True),
    Column("name", String(20), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("choice", JSON(none_as_null=True)),
    Column("decided_at", Double),
)

# Per-epoch figures, by Optuna's trial_id.
metrics = Table(
    "metrics",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("figures", JSON, nullable=False),
)

# A projection of Optuna's trials for the pages, kept on write; `rebuild` in candidates.py makes it anew.
candidates = Table(
    "candidates",
    metadata,
    Column("search_id", ForeignKey("searches.id"), primary_key=True),
    Column("stage", String(20), primary_key=True),
    Column("variant", String(64), primary_key=True),
    Column("gm", Integer, primary_key=True),
    Column("gc", Integer, primary_key=True),
    Column("mean", Double),
    Column("std", Double),
    Column("n", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("finished", JSON(none_as_null=True)),  # trial_id, seed and value of each trial that counts
    Column("quartiles", JSON(none_as_null=True)),  # of their values, from the lowest to the highest: five numbers
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("search_id", ForeignKey("searches.id"), nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("ix_events_search", "search_id", "id"),
    Index("ix_events_status", "at", sqlite_where=IS_STATUS_EVENT, postgresql_where=IS_STATUS_EVENT),
)

# Who is told of statuses by webhooks; a target is the SHA-256 of its URL, which may hold secrets.
webhooks = Table(
    "webhooks",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("since", Double, nullable=False),
    Column("seen_at", Double, nullable=False),  # when somebody sent to it last, or would have
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("event_id", Integer, primary_key=True, autoincrement=False),  # no foreign key: it may outlive the event
    Column("target", String(64), primary_key=True),
    Column("search_id", String(32), nullable=False),
    Column("body", Text, nullable=False),  # the same at every attempt
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),  # when it may be sent; later while somebody sends it
    Column("state", String(10), nullable=False),
    Column("said", Text, nullable=False),  # what came of the last attempt
    Index("ix_deliveries_due", "state", "target", "next_at"),
)

# Who is there to run searches; a row that is not renewed is of a worker that died.
workers = Table(
    "workers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("search_id", String(32)),  # what it runs; none while it waits
)

# Who may use the service. Secrets are kept as SHA-256 only: they are random, so nobody can guess them from it.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("kind", String(10), nullable=False),  # session: a cookie; link: a code that logs in once
    Column("token_id", ForeignKey("tokens.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

# Answers to requests that a client may repeat, by its Idempotency-Key.
replies = Table(
    "replies",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request's body
    Column("status", Integer),  # of HTTP; none while the request is in progress
    Column("answer", JSON(none_as_null=True)),
    Column("at", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("token_id", String(12)),  # no foreign key: the history outlives what it tells of
    Column("owner", String(64), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(64), nullable=False),  # a search or a token
    Column("detail", JSON, nullable=False),
    Index("ix_audit_subject", "subject", "id"),
)

# Optuna's tables, written by search/store/trials.py through Optuna alone.
studies = table("studies", column("study_id", Integer), column("study_name", String))
trials = table(
    "trials",
    column("trial_id", Integer),
    column("number", Integer),
    column("study_id", Integer),
    column("state", String),
    column("datetime_start"),
    column("datetime_complete"),
)
trial_params = table(
    "trial_params", column("trial_id", Integer), column("param_name", String), column("param_value", Double)
)
trial_values = table("trial_values", column("trial_id", Integer), column("value", Double))
trial_user_attributes = table(
    "trial_user_attributes", column("trial_id", Integer), column("key", String), column("value_json", Text)
)
trial_intermediate_values = table(
    "trial_intermediate_values",
    column("trial_id", Integer),
    column("step", Integer),
    column("intermediate_value", Double),
    column("intermediate_value_type", String),
)
