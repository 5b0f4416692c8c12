"""What the README says of the service, done as it says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.service.conftest import Site

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_a_search_is_submitted_and_listed_with_the_curl_of_the_readme(site: Site, tmp_path: Path) -> None:
    block = README.partition("<!-- curl: begin -->\n```\n")[2].partition("```\n<!-- curl: end -->")[0]
    assert block.count("curl ") == 2
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "token").write_text(site.token("read", "submit") + "\n")
    block = block.replace("http://127.0.0.1:8000", site.url)
    done = subprocess.run(["bash", "-e", "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    submitted, end = json.JSONDecoder().raw_decode(done.stdout)
    listed = json.loads(done.stdout[end:])
    assert submitted["status"] == "queued"
    assert [row["search"] for row in listed["searches"]] == [submitted["search"]]
