"""The pages of the dashboard: one function a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from search.actions.by_hand import write_line
from search.actions.submit import find_missing_data
from search.plan.fields import form_fields, spec_fields
from search.plan.form import FormGroup
from search.plan.naming import NONE, split_name
from search.plan.spec import SearchSpec
from search.plan.stages import TEST
from search.store import queries
from search.views import SearchView, TrialView, View
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Status, TrialState
from service import accounts, api, charts
from service.api import data_sets, stored_files
from service.api import recipes as recipe_routes
from service.api import searches as search_routes
from service.api import trials as trial_routes
from service.api.figures import find_stage
from service.api.parameters import After, Filter, StageName, TrialNumber, VisibleId, require_visible
from service.database import AppSettings, ReadConnection
from service.middleware.access import CurrentCaller, can_read, is_admin, require_scope
from service.rendering import render_page
from service.response_cache import CachedReader, CachedReads
from service.route import OneVisitRoute
from trainers.commands.command import Command
from trainers.commands.listing import list_recipes
from trainers.recipe import names

router = APIRouter(
    include_in_schema=False, dependencies=[can_read], default_response_class=HTMLResponse, route_class=OneVisitRoute
)
INITIAL_GROUPS: dict[str, Any] = {"gm": [1, 2, 4, 8], "gc": [1, 2, 4]}  # of the form for a new search
AUDIT_ROWS = 50  # newest entries on the tokens page
MAX_ROWS = 50  # candidates of a stage on a search's page
FORM_FIELDS = {"recipe", "data", "test_numbers", *(field.name for field in spec_fields() if field.form_field)}


@router.get("/")
def searches(
    request: Request,
    connection: ReadConnection,
    caller: CurrentCaller,
    settings: AppSettings,
    status: Status | None = None,
    recipe: Filter = None,
    name: Filter = None,
    owner: Filter = None,
    tag: Filter = None,
    sort: queries.SearchSort = "-created",
    archived: bool = False,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> HTMLResponse:
    """List searches."""
    filters: dict[str, Any] = {"status": status, "recipe": recipe, "name": name, "owner": owner, "tag": tag}
    found = search_routes.list_searches(
        connection, caller, **filters, sort=sort, archived=archived, cursor=cursor, limit=25
    )
    filters |= {"sort": None if sort == "-created" else sort, "archived": "true" if archived else None}
    return render_page(
        request,
        "searches.html",
        searches=found.searches,
        next=found.next,
        filters=filters,
        filtered=any(filters.values()),
        first=cursor is None,
        recipes=names(settings.home),
    )


@router.get("/searches/{id}")
def search(
    request: Request,
    cached: CachedReads,
    caller: CurrentCaller,
    id: VisibleId,
    after: After = 0,
    stage: StageName | None = None,
    state: TrialState | None = None,
    sort: queries.Sort = "started",
) -> HTMLResponse:
    """Show one search."""
    summary = get_summary(cached, id)
    shown = summary.search
    trials = trial_routes.list_trials_page(cached.connection, id, stage, state, after, 50, sort)
    waiting = queries.show_cluster(cached.connection).waiting if shown.status == Status.QUEUED else ()
    return render_page(
        request,
        "search.html",
        shown=shown,
        candidate_counts=summary.candidate_counts,
        stage_variants=summary.stage_variants,
        page=trials,
        after=after,
        filters={"stage": stage, "state": state, "sort": None if sort == "started" else sort},
        stages=[each.name for each in shown.stages] + ["test"],
        can_change=caller.can_change(shown.owner),
        waiting_reason=next((each.why for each in waiting if each.search == id), None),
    )


class SearchSummary(View):
    """A search with only the best candidates of each stage."""

    search: SearchView
    candidate_counts: dict[str, int]  #: of all candidates, by stage
    stage_variants: dict[str, tuple[str, ...]]  #: of all candidates, by stage


def get_summary(cached: CachedReader, search_id: str) -> SearchSummary:
    """Return a search as its page shows it."""

    def compute() -> SearchSummary:
        shown = cached.search(search_id)
        stages = tuple(
            stage.model_copy(
                update={"candidates": tuple(charts.best_candidates(stage.candidates, shown.mode, MAX_ROWS))}
            )
            for stage in shown.stages
        )
        counts = {stage.name: len(stage.candidates) for stage in shown.stages}
        variants = {each.name: tuple(dict.fromkeys(row.variant for row in each.candidates)) for each in shown.stages}
        return SearchSummary(
            search=shown.model_copy(update={"stages": stages}), candidate_counts=counts, stage_variants=variants
        )

    return cached.view(SearchSummary, search_id, compute)


@router.get("/searches/{id}/candidates/{stage}")
def candidates(request: Request, cached: CachedReads, id: VisibleId, stage: StageName) -> HTMLResponse:
    """Show all candidates of a stage."""
    shown = cached.search(id)
    return render_page(request, "candidates.html", shown=shown, stage=find_stage(shown, stage))


@router.get("/searches/{id}/trials/{stage}/{number}")
def trial(
    request: Request, cached: CachedReads, settings: AppSettings, id: VisibleId, stage: StageName, number: TrialNumber
) -> HTMLResponse:
    """Show one trial."""
    shown, found = get_summary(cached, id).search, queries.show_trial(cached.connection, id, stage, number)
    log = stored_files.read_log_tail(settings, id, found)
    planned_epochs = shown.numbers_of(found.variant, found.stage).get("epochs", 0)
    command = build_command(shown, found)
    return render_page(
        request, "trial.html", shown=shown, trial=found, planned_epochs=planned_epochs, log=log, command=command
    )


def build_command(shown: SearchView, trial: TrialView) -> str:
    """Build the command that repeats a trial's training by hand."""
    spec = shown.spec
    if shown.command and shown.is_bound:
        return write_line(
            Command(words=shown.command.words, folder=shown.command.folder),
            trial.point,
            shown.numbers_of(trial.variant, trial.stage),
            trial.seed,
            here=Path("/"),
            measure="test" if trial.stage == TEST else "validation",
            named=("gm", "gc", "seed", "split"),
        )
    words = ["python", "-m", "trainers", spec.recipe, "--gm", trial.gm, "--gc", trial.gc, "--seed", trial.seed]
    of_test = spec.test_numbers if trial.stage == TEST else {}
    for name, value in (resolve_overrides(shown, trial.variant) | of_test).items():
        words += ["--set", f"{name}={value}"]
    words += ["--data", spec.data] if spec.data else []
    return shlex.join(map(str, words))


def resolve_overrides(shown: SearchView, variant: str) -> dict[str, object]:
    """Return the recipe's numbers that a variant overrides. This reads the stored search; the recipe may be missing.

    The built-in variant ``none`` overrides what BatchNorm's does, and the numbers in which the two differ.
    """
    spec, own = shown.spec, shown.spec.own_variant
    chosen, values = split_name(variant)
    named = spec.variants.get(own if chosen == NONE else chosen, {})
    overrides: dict[str, object] = {**spec.numbers, **named, **values}
    of_own, of_variant = shown.numbers.get(own, {}), shown.numbers.get(variant, {})
    return overrides | {name: value for name, value in of_variant.items() if variant == NONE and value != of_own[name]}


@router.get("/new", dependencies=[Depends(require_scope("submit"))])
def new(
    request: Request,
    connection: ReadConnection,
    caller: CurrentCaller,
    settings: AppSettings,
    recipe: Filter = None,
    parent: Annotated[str | None, Query(alias="from", max_length=64)] = None,
) -> HTMLResponse:
    """Show the form for a new search; with ``from``, filled in like another search."""
    found, faults = list_recipes(settings.home)
    known = {each.name: each for each in found}
    fields = {**INITIAL_GROUPS, "recipe": recipe if recipe in known else "mnist-simplenet"}
    if parent is not None:
        fields = queries.show_search(connection, require_visible(parent, connection, caller)).spec.model_dump(
            mode="json"
        )
    spec = SearchSpec(**fields)
    if spec.recipe not in known:
        raise InvalidSpec(
            f"a search can be copied only if its recipe is here: got {spec.recipe}. Known: {', '.join(known)}."
        )
    return render_page(
        request,
        "new.html",
        recipes=[*known],
        faults=faults.values() if caller.token.allows("admin") else (),
        recipe=recipe_routes.view_recipe(request, known[spec.recipe]),
        form=form_fields(),
        groups=FormGroup,
        spec={**spec.model_dump(mode="json"), "data": data_sets.find_name(settings, spec.data)},
        hidden_fields=spec.model_dump(mode="json", exclude=FORM_FIELDS, exclude_defaults=True),
        parent=parent,
        data_sets=data_sets.list_data_sets(settings),
        missing_data=data_sets.without_paths(
            settings, find_missing_data(settings, spec.model_copy(update={"data": None}), known[spec.recipe]) or ""
        ),
        max_upload_bytes=int(settings.max_upload_gb * 1e9),
    )


@router.get("/compare")
def compare(
    request: Request,
    cached: CachedReads,
    caller: CurrentCaller,
    id: Annotated[list[str], Query()] = [],  # noqa: B006
) -> HTMLResponse:
    """Compare several searches."""
    found = [cached.search(each) for each in search_routes.find_compared(cached, caller, id)]
    return render_page(
        request,
        "compare.html",
        searches=found,
        gains=list(queries.compare_searches(found)),
        names={each.search: each.name or each.search for each in found},
    )


@router.get("/cluster")
def cluster(request: Request, connection: ReadConnection, caller: CurrentCaller) -> HTMLResponse:
    """Show workers, running searches and queued searches."""
    found = api.cluster.show_cluster(request, connection, caller)
    return render_page(request, "cluster.html", workers=found.workers, running=found.running, waiting=found.waiting)


@router.get("/tokens", dependencies=[is_admin])
def tokens(request: Request, connection: ReadConnection) -> HTMLResponse:
    """Show tokens and the audit trail."""
    tokens, audit = accounts.list_tokens(connection), accounts.list_newest_audit(connection, AUDIT_ROWS)
    return render_page(request, "tokens.html", tokens=tokens, audit=audit)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Show the API documentation."""
    return render_page(request, "docs.html")
