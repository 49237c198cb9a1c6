"""What is kept of calls that have ended, and the one list of all calls."""
