"""How checks are run, and how their findings are printed."""

import asyncio

import pytest

from gateway.explanation.status import Status
from gateway.tools.doctor.check import (
    Check,
    Finding,
    Result,
    as_json,
    as_text,
    combined,
    exit_code,
    fail,
    ok,
    skip,
    summary,
    warn,
    worst,
)
from gateway.tools.doctor.run import results


def check_with(finding: Finding, check_id: str = "it", *needs: str) -> Check:
    async def run() -> Finding:
        return finding

    return Check(check_id, check_id.upper(), run, needs)


async def run_all(*checks: Check) -> dict[str, Finding]:
    return {result.check.id: result.finding async for result in results(checks)}


async def test_a_check_is_skipped_if_one_that_it_needs_fails() -> None:
    found = await run_all(
        check_with(fail("down", "start it"), "a"),
        check_with(ok("fine"), "b", "a"),
        check_with(ok("fine"), "c", "b"),
        check_with(warn("late", "set it"), "d"),
        check_with(ok("fine"), "e", "d"),
    )
    assert found["b"] == skip("not checked, because of A")
    assert found["c"] == skip("not checked, because of B")
    assert found["e"] == ok("fine")


async def test_an_exception_of_a_check_is_a_failure() -> None:
    async def raises() -> Finding:
        raise KeyError("rooms")

    found = await run_all(Check("bad", "bad", raises), check_with(ok("fine"), "good"))
    assert found["bad"].status is Status.FAIL
    assert found["bad"].message == "KeyError: 'rooms'"
    assert found["good"] == ok("fine")


async def test_a_check_that_takes_too_long_fails() -> None:
    async def hangs() -> Finding:
        await asyncio.Event().wait()
        return ok("never")

    found = await run_all(Check("slow", "slow", hangs, timeout=0.05))
    assert found["slow"].status is Status.FAIL
    assert "within 0.05 s" in found["slow"].message


async def test_checks_run_concurrently_and_are_reported_in_order() -> None:
    second_is_done = asyncio.Event()

    async def waits() -> Finding:
        await second_is_done.wait()
        return ok("first")

    async def ends() -> Finding:
        second_is_done.set()
        return ok("second")

    found = await run_all(Check("one", "one", waits), Check("two", "two", ends))
    assert list(found) == ["one", "two"]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ([], 0),
        ([Status.OK, Status.SKIP], 0),
        ([Status.OK, Status.WARN, Status.SKIP], 1),
        ([Status.WARN, Status.FAIL, Status.OK], 2),
    ],
)
def test_the_worst_status_decides_the_exit_code(statuses: list[Status], code: int) -> None:
    assert exit_code(worst(statuses)) == code


def test_several_findings_are_combined() -> None:
    finding = combined([ok("a"), warn("b", "do it"), ok(""), fail("c", "do it")])
    assert finding == Finding(Status.FAIL, "a\nb\nc", "do it")


def test_a_result_fits_in_100_columns() -> None:
    url = "https://a-long-name.example.com/" + "x" * 40
    finding = fail(f"{'something was seen ' * 6}\n{url}", "python -m gateway setup --apply")
    text = as_text(Result(check_with(finding, "route"), finding))
    lines = text.splitlines()
    assert lines[0].startswith("fail  ROUTE              something was seen")
    assert f"{' ' * 25}{url}" in lines
    assert lines[-1] == "      next               python -m gateway setup --apply"
    assert max(map(len, lines)) <= 100


def test_results_as_json_and_the_summary() -> None:
    all_results = [
        Result(check_with(f), f) for f in (ok("a"), skip("b", "set it"), warn("c", "do it"))
    ]
    assert as_json(all_results)["status"] == "warn"
    assert as_json(all_results)["checks"][1] == {
        "id": "it",
        "title": "IT",
        "status": "skip",
        "message": "b",
        "next": "set it",
    }
    assert summary(all_results) == "1 warn, 1 ok, 1 skip"
