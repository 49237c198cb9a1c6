"""Plays the others against a running gateway: Jambonz and a caller, with real audio."""
