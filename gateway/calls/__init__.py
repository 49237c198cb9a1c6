"""Calls, and the state machine that events drive. Pure: imports nothing from outside the folder."""
