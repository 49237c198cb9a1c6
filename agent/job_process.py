"""What a process does before its first job."""

from livekit.agents import JobProcess

from agent.measurements import measure
from agent.tracing import trace_calls


def set_up_process(_: JobProcess) -> None:
    """Called by the framework, in the process itself; where calls are threads, in the worker's."""
    trace_calls()
    measure()
