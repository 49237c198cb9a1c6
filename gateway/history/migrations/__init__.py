"""Alembic's environment: how a history's database becomes what this version of the gateway uses."""
