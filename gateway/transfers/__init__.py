"""Transfers of calls, also by REFER, and the fallback for callers without an agent."""
