"""Callbacks: what happened to a call, POSTed to its receivers in order until delivered."""
