"""Watching: records and queries that are told each time they differ."""
