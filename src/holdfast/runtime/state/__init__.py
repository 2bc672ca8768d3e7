"""State: sections in memory, and how they come to the disk."""
