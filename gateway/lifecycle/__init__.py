"""What every kind of call needs: events applied, deadlines, dialing, rooms deleted."""
