"""Jambonz's side of the wire: what its hooks say and which verbs it takes. Pure, no I/O."""
