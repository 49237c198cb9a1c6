"""Explains calls: what happened, the most likely cause, the next step. Pure."""
