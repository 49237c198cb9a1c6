"""Jambonz's hooks and verbs: what hooks mean, how verbs are built, authentication. Pure."""
