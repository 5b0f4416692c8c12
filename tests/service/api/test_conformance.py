"""The API keeps to its own document, whatever it is asked: nothing fails, and strangers get nothing."""

from __future__ import annotations

from pathlib import Path

import httpx2
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from search.settings import Settings
from service.middleware.gate import is_public
from tests.search.stored import finished_search, submit
from tests.service.conftest import free_port, serving

EXAMPLES = 12  # for each operation
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    ignored_auth,  # asks again without the token, and with a wrong one
)


def test_every_answer_is_one_of_the_document(database_url: str, tmp_path: Path) -> None:
    service = Settings(
        home=tmp_path, db=database_url, port=free_port(), worker=0, requests_per_minute=0, guesses_per_minute=0
    )
    done = finished_search(database_url, name="done")
    grid = finished_search(database_url, strategy="grid", gm=[4, 8], gc=[0, 2], seeds=2)
    queued = submit(database_url)
    with serving(service) as printed:
        url = f"http://127.0.0.1:{service.port}"
        token = {"Authorization": f"Bearer {service.token_file.read_text().strip()}"}
        document = httpx2.get(f"{url}/api/openapi.json", headers=token, timeout=60).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=url)
        ids = st.sampled_from([done, grid, queued])
        seen, succeeded = 0, set[str]()
        for operation in (each.ok() for each in schema.get_all_operations()):
            if operation.path.endswith("/events") or operation.path == "/readyz":
                continue  # the one does not end, the other misses its worker

            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), search_id=ids, real=st.booleans())
            def ask(case: schemathesis.Case, search_id: str, real: bool) -> None:
                if real and case.path_parameters and "id" in case.path_parameters:
                    case.path_parameters["id"] = search_id
                if case.path.startswith("/api/tokens") and case.method == "DELETE":
                    case.path_parameters["id"] = "0123456789ab"  # not our own
                answer = case.call_and_validate(headers=token, checks=CHECKS, timeout=60)
                assert answer.status_code != 401
                if answer.status_code < 300:
                    succeeded.add(f"{case.method} {case.path}")
                case.headers = {name: value for name, value in (case.headers or {}).items() if name != "Authorization"}
                stranger = case.call(timeout=60)
                assert (stranger.status_code in (401, 413, 421)) or is_public(case.path), case.as_curl_command()

            ask()
            seen += 1
        assert seen == sum(map(len, document["paths"].values())) - 2
        assert len(succeeded) >= 20, "most are asked for something that there is"
        assert "Traceback" not in printed.read_text()
