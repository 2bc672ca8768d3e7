"""Events: as a store shows them."""
