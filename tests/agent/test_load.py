"""How busy a worker says it is: LiveKit gives no call to one with a load of 0.7 or more."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.load import FULL, load_of
from tests.agent.worker_settings import settings_for

SETTINGS = replace(settings_for(Path("spool")), load_threshold=0.7)


WORKER: Any = SimpleNamespace()


@pytest.mark.parametrize("most", range(1, 30))
def test_calls_fill_a_worker_that_takes_so_many(most: int) -> None:
    calls = iter(range(most + 1))
    of = load_of(replace(SETTINGS, max_calls=most), lambda: next(calls))
    loads = [of(WORKER) for _ in range(most + 1)]
    assert loads[0] == 0
    assert loads[-1] == FULL
    assert loads == sorted(loads)
    assert max(loads[:-1]) < FULL


@pytest.mark.parametrize(
    ("cpu", "threshold", "expected"),
    [(0.0, 0.7, 0.0), (0.7, 0.7, FULL), (0.45, 0.9, FULL / 2), (1.0, math.inf, 0.0)],
)
def test_without_such_a_number_the_cpu_does(
    cpu: float, threshold: float, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livekit.agents.worker._DefaultLoadCalc.get_load", lambda _: cpu)
    of = load_of(replace(SETTINGS, load_threshold=threshold), lambda: 1)
    assert of(WORKER) == pytest.approx(expected)
