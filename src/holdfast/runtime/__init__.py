"""The runtime: what lives as long as the process that uses a store."""
