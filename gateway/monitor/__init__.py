"""Background checks by which every call ends, also if a webhook or a hook is lost."""
