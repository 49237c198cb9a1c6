"""The one package that talks to LiveKit and imports `livekit.api`; its errors become ours here."""
