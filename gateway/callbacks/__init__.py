"""Callbacks: events of calls, POSTed to their receivers in order until delivered.

`events` decides what is sent to whom, `delivery` when an attempt is repeated, `delivery_loop` makes
the attempts, `sender` sends one request. `storage/` has the outbox, which stores deliveries.
"""
