"""docs/http-api.md is what the endpoints declare."""

import re
from pathlib import Path

from gateway.api.routes import ENDPOINTS
from gateway.errors import ErrorCode
from gateway.tools.http_api import render

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "run `make docs`"


def test_the_page_has_every_endpoint_and_error_code() -> None:
    page = render()
    for endpoint in ENDPOINTS:
        assert f"\n## {endpoint.method} {endpoint.path}\n" in page
    for code in ErrorCode:
        assert f"\n| `{code}` | {code.status} |" in page


def test_its_links_lead_to_its_headings() -> None:
    page = render()
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= anchors
