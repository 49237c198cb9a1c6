"""Calls that Jambonz brings: registered, connected to their agent, followed by hooks."""
