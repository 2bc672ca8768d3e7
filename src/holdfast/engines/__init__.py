"""Engines: where state is kept; the only rooms that know a database driver."""
