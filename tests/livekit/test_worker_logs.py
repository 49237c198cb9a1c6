"""What the worker logs of a call, its job's process included."""

import json
from pathlib import Path

from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.steps import Steps
from tests.livekit.conftest import real_servers

CALLER = "15550100"
FIELDS = {"timestamp", "level", "event", "logger"}


async def test_each_line_of_a_job_has_the_call_id_and_nothing_private(livekit_binary: Path) -> None:
    logging = {"GATEWAY__LOGGING__FORMAT": "json", "GATEWAY__LOGGING__LEVEL": "debug"}
    with real_servers(**logging) as real:
        script = Script(from_number=f"+{CALLER}", hold=5.0, keys="5")
        await play(real.config, real.keys, real.url, script, Steps())
        real.worker.wait_for("job.process_ended", limit=10)
        lines = [json.loads(line) for line in real.worker.lines]
        secret = real.env["LIVEKIT_API_SECRET"]
    of_the_job = [line for line in lines if "job_id" in line]
    assert {line["event"] for line in of_the_job} >= {"caller.answered", "key.pressed"}
    (call_id,) = {line["call_id"] for line in of_the_job}
    assert call_id.startswith("call-")
    assert all(line.keys() >= FIELDS for line in lines)
    (pressed,) = [line for line in lines if line["event"] == "key.pressed"]
    assert pressed.keys() == FIELDS | {"call_id", "job_id", "agent_name"}  # and not the key
    text = "\n".join(real.worker.lines)
    assert CALLER not in text
    assert secret not in text
