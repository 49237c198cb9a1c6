"""Calls that n8n requests with `POST /dispatch`."""
