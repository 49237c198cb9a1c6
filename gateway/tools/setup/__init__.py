"""Making LiveKit and Jambonz ready for calls, and finding what keeps them from it."""
