"""Checks run together, and are shown."""

import asyncio

import pytest

from gateway.tools.doctor.check import (
    Check,
    Finding,
    Result,
    Status,
    as_json,
    as_text,
    exit_code,
    fail,
    ok,
    skip,
    summary,
    together,
    warn,
    worst,
)
from gateway.tools.doctor.run import results


def finds(finding: Finding, check_id: str = "it", *needs: str, limit: float = 5) -> Check:
    async def look() -> Finding:
        return finding

    return Check(check_id, check_id.upper(), look, needs, limit)


async def found(*checks: Check) -> dict[str, Finding]:
    return {result.check.id: result.finding async for result in results(checks)}


async def test_a_check_is_skipped_where_one_that_it_needs_does_not_hold() -> None:
    told = await found(
        finds(fail("down", "start it"), "a"),
        finds(ok("fine"), "b", "a"),
        finds(ok("fine"), "c", "b"),
        finds(warn("late", "set it"), "d"),
        finds(ok("fine"), "e", "d"),
    )
    assert told["b"] == skip("not tried: A comes first")
    assert told["c"] == skip("not tried: B comes first")
    assert told["e"] == ok("fine")


async def test_what_a_check_raises_is_what_it_found() -> None:
    async def raises() -> Finding:
        raise KeyError("rooms")

    told = await found(Check("bad", "bad", raises), finds(ok("fine"), "good"))
    assert told["bad"].status is Status.FAIL
    assert told["bad"].saw == "KeyError: 'rooms'"
    assert told["good"] == ok("fine")


async def test_a_check_that_hangs_is_given_up() -> None:
    async def hangs() -> Finding:
        await asyncio.Event().wait()
        return ok("never")

    told = await found(Check("slow", "slow", hangs, limit=0.05))
    assert told["slow"].status is Status.FAIL
    assert "within 0.05 s" in told["slow"].saw


async def test_checks_run_at_once_and_are_told_in_their_order() -> None:
    second_is_done = asyncio.Event()

    async def waits() -> Finding:
        await second_is_done.wait()
        return ok("first")

    async def ends() -> Finding:
        second_is_done.set()
        return ok("second")

    told = await found(Check("one", "one", waits, limit=5), Check("two", "two", ends))
    assert list(told) == ["one", "two"]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], 0),
        ([Status.OK, Status.SKIP], 0),
        ([Status.OK, Status.WARN, Status.SKIP], 1),
        ([Status.WARN, Status.FAIL, Status.OK], 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(statuses: list[Status], code: int) -> None:
    assert exit_code(worst(statuses)) == code


def test_several_findings_become_one() -> None:
    one = together([ok("a"), warn("b", "do it"), ok(""), fail("c", "do it")])
    assert one == Finding(Status.FAIL, "a\nb\nc", "do it")


def test_a_result_is_shown_in_a_hundred_columns() -> None:
    url = "https://a-long-name.example.com/" + "x" * 40
    finding = fail(f"{'something was seen ' * 6}\n{url}", "python -m gateway setup --apply")
    text = as_text(Result(finds(finding, "route"), finding))
    lines = text.splitlines()
    assert lines[0].startswith("fail  ROUTE              something was seen")
    assert f"{' ' * 25}{url}" in lines
    assert lines[-1] == "      next               python -m gateway setup --apply"
    assert max(map(len, lines)) <= 100


def test_results_as_json_and_in_short() -> None:
    all_results = [Result(finds(f), f) for f in (ok("a"), skip("b", "set it"), warn("c", "do it"))]
    assert as_json(all_results)["status"] == "warn"
    assert as_json(all_results)["checks"][1] == {
        "id": "it",
        "title": "IT",
        "status": "skip",
        "saw": "b",
        "next": "set it",
    }
    assert summary(all_results) == "1 warn, 1 ok, 1 skip"
