"""The gateway between Jambonz, LiveKit and n8n. `python -m gateway --help` says what it does."""

__version__ = "0.1.0"
