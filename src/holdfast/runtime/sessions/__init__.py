"""Sessions in hand: talking, and replies written down while they come."""
