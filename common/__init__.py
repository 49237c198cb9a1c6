"""What gateway and agent share: which hosts they may ask, name lookups, signatures, redaction."""
