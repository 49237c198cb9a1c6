"""The doors, and the only place that knows HTTP; a handler is verify, load, call, respond."""
