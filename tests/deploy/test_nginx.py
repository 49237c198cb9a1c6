"""Every endpoint is in the table of deploy/nginx/gateway.conf; see also tests/several."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.config.loader import build_config

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "gateway.conf"
#: One line each: `location = /path {`, or `location ~ ^regex$ {`, and what is in it.
LOCATION = re.compile(r"^    location (=|~) (\S+) \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)


def paths() -> Iterator[str]:
    """Of every endpoint, with a value for each parameter."""
    for resource in create_app(build_config({}, {})).router.resources():
        yield re.sub(r"\{[^}]*\}", "x-1", resource.canonical)


def location_of(path: str) -> str:
    """The directives for a path; "" if nginx itself answers 404."""
    for kind, pattern, directives in LOCATION.findall(CONFIGURATION.read_text()):
        is_there = path == pattern if kind == "=" else re.search(pattern, path)
        if is_there and "internal;" not in directives:
            return str(directives)
    return ""


def test_nginx_has_every_endpoint_in_its_table() -> None:
    assert [path for path in paths() if not location_of(path)] == []


@pytest.mark.parametrize(
    "path",
    ["/", "/calls/call-1", "/static/0a1b/app.js", "/live", "/docs", "/metrics"],
)
def test_the_page_and_the_numbers_are_for_ops_only(path: str) -> None:
    assert "if ($is_ops = 0) { return 403; }" in location_of(path)


@pytest.mark.parametrize("path", ["/live", "/livekit-api/events"])
def test_events_are_passed_on_at_once(path: str) -> None:
    assert "proxy_buffering off;" in location_of(path)
