"""Every call ends: deadlines, LiveKit's webhooks, LiveKit's rooms."""
