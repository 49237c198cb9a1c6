"""docs/configuration.md is what the settings are."""

import dataclasses
import re
from pathlib import Path

import pytest

from gateway.config.settings import Config
from gateway.tools.configuration import file_comments, render, variable_comments

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (.*?) \| (.+) \|$", re.MULTILINE)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "run `make docs`"


@pytest.mark.parametrize("section", [item.name for item in dataclasses.fields(Config)])
def test_the_page_has_every_setting_with_its_variable_and_what_it_does(section: str) -> None:
    text = re.split(r"^## ", render(), flags=re.MULTILINE)
    (part,) = (it for it in text if it.startswith(f"{section}\n"))
    rows = {key.strip("`"): cells for key, *cells in ROW.findall(part)}
    for item in dataclasses.fields(getattr(Config(), section)):
        kind, default, variable, about = rows[item.name]
        assert all((kind, default, about.strip(" .")))
        assert (item.metadata["env"] in variable) if item.metadata["env"] else not variable
        assert ("secret" in variable) == item.metadata["secret"]


def test_bounds_choices_and_defaults() -> None:
    page = render()
    assert "| `timeout` | number, 0.1 to 8 | `2` |  | for a request to LiveKit" in page
    assert '| `level` | `debug`, `info`, `warning`, `error` | `"info"` |' in page
    assert '| `sunset` | text | `"2027-06-30"` |' in page
    assert "[security.md](security.md)" in page
    assert '("+61\\*", "sip:\\*@pbx.example.com")' in page


def test_variables_of_the_worker_are_there() -> None:
    assert "| `AGENT_HTTP_HOST`, `AGENT_HTTP_PORT` | `127.0.0.1`, `8081` |" in render()


def test_a_comment_goes_on_in_the_next_line() -> None:
    text = (
        "a:   # about a\n  key: 1   # one\n           # and two\n  other: []\n           # three\n"
    )
    assert file_comments(text) == {"a": "about a", "a.key": "one and two", "a.other": " three"}


def test_a_comment_is_about_the_variables_below_it() -> None:
    text = "# One\n# two.\nA=\nB=1\n\n# Three\nC=\n"
    assert variable_comments(text) == {
        "A": ("", "One two."),
        "B": ("1", "One two."),
        "C": ("", "Three"),
    }
