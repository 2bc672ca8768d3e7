"""Observations: as a store shows them."""
