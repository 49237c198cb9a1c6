"""Calls that are transferred, and where callers go when no agent can take them."""
