"""Agents: shown by a store, and those that live in this process."""
