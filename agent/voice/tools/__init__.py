"""The agent's tools, a module for each kind; available.py has them all.

A tool that fails raises ToolError: the model reads its text, and tells the caller in its own words.
"""
