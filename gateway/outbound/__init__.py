"""Calls that n8n asks for with POST /dispatch."""
