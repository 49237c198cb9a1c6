"""What the worker logs of a call, its job's process included."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.steps import Steps
from tests.livekit.conftest import RealServers

CALLER = "15550100"
FIELDS = {"timestamp", "level", "event", "logger"}


async def test_each_line_of_a_job_has_the_call_id_and_nothing_private(logged: RealServers) -> None:
    began = datetime.now(UTC).isoformat(timespec="microseconds")
    script = Script(from_number=f"+{CALLER}", hold=5.0, keys="5")
    await play(logged.config, logged.keys, logged.url, script, Steps())
    of_the_job = await lines_of_the_job(logged, began)
    assert {line["event"] for line in of_the_job} >= {"caller.answered", "key.pressed"}
    (call_id,) = {line["call_id"] for line in of_the_job}
    assert call_id.startswith("call-")
    (pressed,) = [line for line in of_the_job if line["event"] == "key.pressed"]
    assert pressed.keys() == FIELDS | {"call_id", "job_id", "agent_name"}  # and not the key
    assert all(json.loads(line).keys() >= FIELDS for line in logged.worker.lines)
    text = "\n".join(logged.worker.lines)
    assert CALLER not in text
    assert logged.env["LIVEKIT_API_SECRET"] not in text


async def lines_of_the_job(real: RealServers, began: str) -> list[dict[str, Any]]:
    """All that was logged of the only job since `began` whose caller pressed a key."""
    async with asyncio.timeout(10):
        while True:
            lines = [json.loads(line) for line in real.worker.lines]
            pressed = {
                line["job_id"]
                for line in lines
                if line["event"] == "key.pressed" and line["timestamp"] > began
            }
            of_the_job = [line for line in lines if line.get("job_id") in pressed]
            if any(line["event"] == "job.process_ended" for line in of_the_job):
                assert len(pressed) == 1
                return of_the_job
            await asyncio.sleep(0.05)
