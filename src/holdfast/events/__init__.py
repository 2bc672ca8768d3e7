"""Events: what happens, in memory at once, and beside the store a moment later.

Answers for: the log of events of one open store, who follows it, and what its figures
say.
Leaves to others: which events are meant (`patterns`), what an event is and where its
rows are (`kinds`, `schema`), when a program asks (`store`, `cli`).
"""
