"""Calls that arrive at Jambonz: registered, connected with an agent, followed by hooks."""
