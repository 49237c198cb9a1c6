"""Telling others how a call goes: kept until delivered, repeated, in order for each receiver."""
