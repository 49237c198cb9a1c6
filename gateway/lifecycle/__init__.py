"""What all calls share: applying events, deadlines, dialing, deleting rooms."""
