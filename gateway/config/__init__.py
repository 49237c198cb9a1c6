"""Settings: types and defaults, reading them, checking them. See config.yaml."""
