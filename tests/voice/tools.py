"""The tools of agents.yaml."""

from livekit.agents import function_tool


@function_tool
async def book_appointment(day: str) -> str:
    """Book an appointment.

    Args:
        day: the day on which the caller comes.
    """
    return f"booked for {day}"
