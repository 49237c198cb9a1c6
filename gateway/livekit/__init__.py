"""The only package that calls LiveKit; it raises the gateway's errors instead of livekit-api's."""
