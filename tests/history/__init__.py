"""The history: one contract for SQLite and a real PostgreSQL."""
