"""Sections: named groups of keys with values, as they are held in memory.

Answers for: what changes to a key come to, what of a section is not saved yet, and how
both are put together with what a store has.
Leaves to others: the store (`kinds/state`), saving (`runtime/state`).
"""
