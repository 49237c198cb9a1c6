"""The numbers of a worker: its own, and what its jobs measure until their processes end."""

import multiprocessing
from pathlib import Path

import aiohttp
import pytest
from opentelemetry import metrics

from agent.health import health_endpoint
from agent.measurements import BUCKETS, Measurement, measure, measured_in, measuring
from agent.metrics import MAX_SERIES, WorkerMetrics
from agent.silences import MUTE, STOOD_STILL
from tests.ports import free_port
from tests.prometheus import Numbers

OF_GPT = {"model_provider": "openai", "model_name": "gpt-4.1"}


def job(answers: list[float]) -> None:
    """The process of a job, in which the framework measures."""
    measure()
    meter = metrics.get_meter("livekit-agents")
    about = {**OF_GPT, "job_id": "AJ_1", "room_id": "RM_1"}
    turns = meter.create_histogram("lk.agents.turn.e2e_latency", unit="s", description="Latency")
    for seconds in answers:
        turns.record(seconds, attributes=about)
    meter.create_counter("lk.agents.usage.llm_input_tokens").add(40, attributes=about)
    meter.create_histogram("gen_ai.client.token.usage").record(40, attributes=about)


@pytest.mark.server
def test_what_jobs_measure_outlives_their_processes_and_names_no_call() -> None:
    measured = WorkerMetrics()
    spawn = multiprocessing.get_context("spawn")
    with measuring() as folder:
        processes = [spawn.Process(target=job, args=([0.6, 4.0][: n + 1],)) for n in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        measured.measured.add(measured_in(folder))
        assert list(folder.iterdir()) == []
        measured.measured.add(measured_in(folder))
    found = Numbers(measured.page().decode())
    name = "lk_agents_turn_e2e_latency_seconds"
    assert found(f"{name}_count", **OF_GPT) == 3
    assert found(f"{name}_sum", **OF_GPT) == pytest.approx(5.2)
    assert found(f"{name}_bucket", le="0.75", **OF_GPT) == 2
    assert found(f"{name}_bucket", le="5.0", **OF_GPT) == 3
    assert found("lk_agents_usage_llm_input_tokens_total", **OF_GPT) == 80
    assert not [name for name in found.names if name.startswith("gen_ai")]
    assert "AJ_1" not in found.text
    assert "RM_1" not in found.text


def test_a_file_that_cannot_be_read_costs_only_its_numbers(tmp_path: Path) -> None:
    for number, text in enumerate(("", "{", "[5]", '[{"name": "a"}]')):
        (tmp_path / f"{number}.json").write_text(text)
    assert measured_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_models_that_dispatches_name_cannot_make_series_without_end() -> None:
    worker = WorkerMetrics()
    for number in range(MAX_SERIES + 20):
        model = {"model_name": f"model-{number}"}
        counts = [1] * (len(BUCKETS) + 1)
        worker.measured.add([Measurement("lk_x_seconds", "", model, 2.0, counts)])
    found = Numbers(worker.page().decode())
    series = [it for it in found.samples if it.name == "lk_x_seconds_count"]
    assert len(series) == MAX_SERIES + 1
    assert found("lk_x_seconds_sum", model_name="other") == 40


def test_silences_are_there_at_0_and_counted_by_their_cause() -> None:
    worker = WorkerMetrics()
    assert Numbers(worker.page().decode())("worker_agent_silences_total", why="mute") == 0
    worker.silent(STOOD_STILL)
    worker.silent(MUTE)
    worker.silent(MUTE)
    found = Numbers(worker.page().decode())
    assert found("worker_agent_silences_total", why="stood_still") == 1
    assert found("worker_agent_silences_total", why="mute") == 2


async def test_prometheus_finds_the_numbers_beside_the_health_endpoint() -> None:
    worker = WorkerMetrics(lambda: [("active_jobs", "Calls", 3)])
    port = free_port()
    async with (
        health_endpoint("127.0.0.1", port, str, dict, worker.page),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        found = Numbers(await response.text())
    assert found("worker_active_jobs") == 3
    assert found("process_cpu_seconds_total")
