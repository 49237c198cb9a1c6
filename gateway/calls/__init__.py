"""Calls and what events make of them. Pure: no I/O, no clock, no randomness, no imports of ours."""
