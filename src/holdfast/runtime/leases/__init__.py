"""Leases in hand: held for as long as a block of code runs."""
