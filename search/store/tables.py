"""Our tables, and the columns that we read from Optuna's (schema version 12). Times are seconds since 1970, UTC."""

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

from search.plan.naming import MAX_VARIANT
from search.plan.stages import MAX_STAGE_NAME

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
    Column("sweeps", JSON, nullable=False),  # of the tuning stages, as the strategy made them: axes and rules
    Column("metric", String(100), nullable=False),  # compared between candidates
    Column("mode", String(3), nullable=False),  # max or min: which metric is better
    Column("numbers", JSON(none_as_null=True)),  # resolved numbers of the recipe by variant; null if unknown
    Column("provenance", JSON(none_as_null=True)),  # versions; null for searches of version 0.1.0
    Column("command", JSON(none_as_null=True)),  # the program, of a search made from a script or a command line
    Column("bound", JSON(none_as_null=True)),  # the host and the user that alone run it; null for recipes
    Column("digest", JSON, nullable=False),  # of recipe module, numbers, data and seqnorm version
    Column("planned", Integer, nullable=False),  # maximum number of trials
    Column("samples", JSON(none_as_null=True)),  # that accuracies are measured on, by split; null if unknown
    Column("slots", Integer),  # number of parallel trials, set by the driver
    Column("status", String(20), nullable=False),
    Column("reason", Text, nullable=False),  # of the status, for users
    Column("requested_status", String(20)),  # requested by a user, not reached yet
    Column("priority", Integer, nullable=False),
    Column("retried_upto", Integer, nullable=False),  # failed trials up to this trial_id run again
    Column("parent", String(32)),  # the search whose finished trials this one reuses
    Column("running", JSON(none_as_null=True)),  # how far the running trials are; a projection, see progress.py
    Column("cluster", JSON(none_as_null=True)),  # nodes and their resources, as last seen by the driver
    # The lease: whoever increased `epoch` last is the driver; see leases.py
    Column("epoch", Integer, nullable=False),
    Column("holder", JSON(none_as_null=True)),
    Column("lease_until", Double),
    Index("ix_searches_status", "status", "priority", "created_at"),
)

stages = Table(
    "stages",
    metadata,
    Column("search_id", ForeignKey("searches.id"), primary_key=True),
    Column("name", String(MAX_STAGE_NAME), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("choice", JSON(none_as_null=True)),
    Column("decided_at", Double),
)

# Metrics by epoch, by Optuna's trial_id.
metrics = Table(
    "metrics",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("figures", JSON, nullable=False),
)

# A projection of Optuna's trials for pages, updated on write; `rebuild` in candidates.py recreates it.
candidates = Table(
    "candidates",
    metadata,
    Column("search_id", ForeignKey("searches.id"), primary_key=True),
    Column("stage", String(MAX_STAGE_NAME), primary_key=True),
    Column("variant", String(MAX_VARIANT), primary_key=True),
    Column("gm", Integer, primary_key=True),
    Column("gc", Integer, primary_key=True),
    Column("mean", Double),
    Column("std", Double),
    Column("n", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("finished", JSON(none_as_null=True)),  # trial_id, seed and value of each trial that counts
    Column("quartiles", JSON(none_as_null=True)),  # minimum, three quartiles and maximum of their values
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

# Targets of webhooks; a target is the SHA-256 of its URL, which may contain secrets.
webhooks = Table(
    "webhooks",
    metadata,
    Column("target", String(64), primary_key=True),
    Column("since", Double, nullable=False),
    Column("seen_at", Double, nullable=False),  # last heartbeat of its sender
)

deliveries = Table(
    "deliveries",
    metadata,
    Column(
        "event_id", Integer, primary_key=True, autoincrement=False
    ),  # no foreign key: a delivery may outlive its event
    Column("target", String(64), primary_key=True),
    Column("search_id", String(32), nullable=False),
    Column("body", Text, nullable=False),  # the same for every attempt
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),  # when it is due; later while a sender has claimed it
    Column("state", String(10), nullable=False),
    Column("said", Text, nullable=False),  # result of the last attempt
    Index("ix_deliveries_due", "state", "target", "next_at"),
)

# Workers; a row without recent heartbeat belongs to a dead worker.
workers = Table(
    "workers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("search_id", String(32)),  # the search that it runs; null while idle
)

# API tokens. Only the SHA-256 of a secret is stored, which is safe because secrets are random.
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

# Responses to repeatable requests, by their Idempotency-Key.
replies = Table(
    "replies",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request's body
    Column("status", Integer),  # HTTP status; null while the request is in progress
    Column("answer", JSON(none_as_null=True)),
    Column("at", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("token_id", String(12)),  # no foreign key: the audit log outlives tokens
    Column("owner", String(64), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(64), nullable=False),  # a search or a token
    Column("detail", JSON, nullable=False),
    Index("ix_audit_subject", "subject", "id"),
)

# Optuna's tables, written only in search/store/trials.py, through Optuna or its models.
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
