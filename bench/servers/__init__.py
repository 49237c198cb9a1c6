"""What the gateway is compared with: the same call hook, in other frameworks or with less work."""
