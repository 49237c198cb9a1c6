"""`python -m agent conversation FILE`: a profile's conversation in text, and what must happen."""
