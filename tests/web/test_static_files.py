"""Scripts and styles: kept by browsers for as long as they do not change, and nothing else."""

import pytest

from gateway.web.static_files import contents, static_url, version
from tests.conftest import Client


async def test_a_file_is_kept_for_as_long_as_its_path_is_used(gateway: Client) -> None:
    for name, content in contents().items():
        async with gateway.get(static_url(name)) as answer:
            assert await answer.read() == content
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        async with gateway.get(
            static_url(name), headers={"If-None-Match": answer.headers["ETag"]}
        ) as again:
            assert (again.status, await again.read()) == (304, b"")


async def test_of_another_version_the_present_file_is_not_kept(gateway: Client) -> None:
    async with gateway.get("/static/0000000000000000/page.css") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["none.js", "..%2Ftemplates%2Fbase.html", "%2e%2e", "page.css%00"])
async def test_there_is_nothing_else(gateway: Client, name: str) -> None:
    async with gateway.get(f"/static/{version()}/{name}") as answer:
        assert answer.status == 404


def test_a_template_cannot_name_a_file_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        static_url("none.js")
