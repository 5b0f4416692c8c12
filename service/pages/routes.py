"""The pages, rendered on the server from what the API answers."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from search.plan.fields import form_fields, spec_fields
from search.plan.form import FormGroup
from search.plan.spec import SearchSpec
from search.store import queries
from search.views import SearchView, TrialView, View
from search.vocabulary.errors import InvalidSpec
from search.vocabulary.states import Status, TrialState
from service import accounts, api, charts
from service.api import data_sets
from service.api import recipes as recipe_routes
from service.api import searches as search_routes
from service.api import trials as trial_routes
from service.api.figures import stage_of
from service.api.parameters import After, Filter, StageName, TrialNumber, Visible, visible
from service.database import Configured, Reading
from service.middleware.access import Known, administers, looks, require
from service.rendering import page
from service.response_cache import Keeping, Kept
from trainers.recipe import names

router = APIRouter(include_in_schema=False, dependencies=[looks], default_response_class=HTMLResponse)
EMPTY: dict[str, Any] = {"gm": [1, 2, 4, 8], "gc": [1, 2, 4]}  # what the form of a new search starts with
AUDIT_ROWS = 50  # of the newest, on the page of tokens
MAX_ROWS = 50  # candidates of a stage on the page of its search
SHOWN = {"recipe", "data", *(field.name for field in spec_fields() if field.form_field)}  # by the form


@router.get("/")
def searches(
    request: Request,
    store: Reading,
    caller: Known,
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
    found = search_routes.list_searches(store, caller, **filters, sort=sort, archived=archived, cursor=cursor, limit=25)
    filters |= {"sort": None if sort == "-created" else sort, "archived": "true" if archived else None}
    return page(
        request,
        "searches.html",
        searches=found.searches,
        next=found.next,
        filters=filters,
        filtered=any(filters.values()),
        first=cursor is None,
        recipes=names(),
    )


@router.get("/searches/{id}")
def search(
    request: Request,
    kept: Keeping,
    caller: Known,
    id: Visible,
    after: After = 0,
    stage: StageName | None = None,
    state: TrialState | None = None,
    sort: queries.Sort = "started",
) -> HTMLResponse:
    """Show one search."""
    found = summary(kept, id)
    shown = found.search
    trials = trial_routes.trials_page(kept.store, id, stage, state, after, 50, sort)
    waiting = queries.show_cluster(kept.store).waiting if shown.status == Status.QUEUED else ()
    return page(
        request,
        "search.html",
        shown=shown,
        counts=found.counts,
        page=trials,
        after=after,
        here={"stage": stage, "state": state, "sort": None if sort == "started" else sort},
        stages=[each.name for each in shown.stages] + ["test"],
        may_change=caller.changes(shown.owner),
        why=next((each.why for each in waiting if each.search == id), None),
    )


class Summary(View):
    """A search with the best candidates of each stage alone."""

    search: SearchView
    counts: dict[str, int]  #: how many candidates each stage has


def summary(kept: Kept, search_id: str) -> Summary:
    """Return what the page of a search shows."""

    def cut() -> Summary:
        shown = kept.search(search_id)
        stages = tuple(
            stage.model_copy(
                update={"candidates": tuple(charts.best_candidates(stage.candidates, shown.mode, MAX_ROWS))}
            )
            for stage in shown.stages
        )
        counts = {stage.name: len(stage.candidates) for stage in shown.stages}
        return Summary(search=shown.model_copy(update={"stages": stages}), counts=counts)

    return kept.part(Summary, search_id, cut)


@router.get("/searches/{id}/candidates/{stage}")
def candidates(request: Request, kept: Keeping, id: Visible, stage: StageName) -> HTMLResponse:
    """Show every candidate of a stage."""
    shown = kept.search(id)
    return page(request, "candidates.html", shown=shown, stage=stage_of(shown, stage))


@router.get("/searches/{id}/trials/{stage}/{number}")
def trial(
    request: Request, kept: Keeping, settings: Configured, id: Visible, stage: StageName, number: TrialNumber
) -> HTMLResponse:
    """Show one trial."""
    shown, found = summary(kept, id).search, queries.show_trial(kept.store, id, stage, number)
    log = trial_routes.show_log(settings, kept.store, id, stage, number)
    return page(request, "trial.html", shown=shown, trial=found, log=log, command=command_of(shown, found))


def command_of(shown: SearchView, trial: TrialView) -> str:
    """Write the command that trains what a trial trained."""
    spec = shown.spec
    words = ["python", "-m", "trainers", spec.recipe, "--gm", trial.gm, "--gc", trial.gc, "--seed", trial.seed]
    for name, value in overrides_of(shown, trial.variant).items():
        words += ["--set", f"{name}={value}"]
    words += ["--data", spec.data] if spec.data else []
    return shlex.join(map(str, words))


def overrides_of(shown: SearchView, variant: str) -> dict[str, object]:
    """Return what a variant changes of the recipe's numbers, from what is stored: the recipe need not be installed.

    The built-in variant ``none`` changes what the first one does, and what its resolved numbers say beyond that.
    """
    first = next(iter(shown.spec.variants))
    overrides: dict[str, object] = {
        **shown.spec.numbers,
        **shown.spec.variants.get(variant, shown.spec.variants[first]),
    }
    normalized, own = shown.numbers.get(first, {}), shown.numbers.get(variant, {})
    return overrides | {name: value for name, value in own.items() if variant == "none" and value != normalized[name]}


@router.get("/new", dependencies=[Depends(require("submit"))])
def new(
    request: Request,
    store: Reading,
    caller: Known,
    settings: Configured,
    recipe: Filter = None,
    parent: Annotated[str | None, Query(alias="from", max_length=64)] = None,
) -> HTMLResponse:
    """Show the form of a new search, filled in as another one was if there is one to copy."""
    known = names()
    fields = {**EMPTY, "recipe": recipe if recipe in known else "mnist-simplenet"}
    if parent is not None:
        fields = queries.show_search(store, visible(parent, store, caller)).spec.model_dump(mode="json")
    spec = SearchSpec(**fields)
    if spec.recipe not in known:
        raise InvalidSpec(
            f"a search is copied where its recipe is installed: got {spec.recipe}. Known: {', '.join(known)}."
        )
    return page(
        request,
        "new.html",
        recipes=known,
        recipe=recipe_routes.show_recipe(spec.recipe),
        form=form_fields(),
        groups=FormGroup,
        spec={**spec.model_dump(mode="json"), "data": data_sets.name_of(settings, spec.data)},
        kept=spec.model_dump(mode="json", exclude=SHOWN, exclude_defaults=True),
        parent=parent,
        data=data_sets.names(settings),
    )


@router.get("/compare")
def compare(
    request: Request,
    kept: Keeping,
    caller: Known,
    id: Annotated[list[str], Query()] = [],  # noqa: B006
) -> HTMLResponse:
    """Show several searches over one another."""
    found = search_routes.compare(kept, caller, id).searches if id else ()
    return page(request, "compare.html", searches=found)


@router.get("/cluster")
def cluster(request: Request, store: Reading, caller: Known) -> HTMLResponse:
    """Show what runs where, and why the waiting wait."""
    found = api.cluster.show_cluster(store, caller)
    return page(request, "cluster.html", workers=found.workers, running=found.running, waiting=found.waiting)


@router.get("/tokens", dependencies=[administers])
def tokens(request: Request, store: Reading) -> HTMLResponse:
    """Show tokens and the audit trail."""
    tokens, audit = accounts.list_tokens(store), accounts.newest_audit(store, AUDIT_ROWS)
    return page(request, "tokens.html", tokens=tokens, audit=audit)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Show the API's document."""
    return page(request, "docs.html")
