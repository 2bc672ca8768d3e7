"""Importers: one file for each foreign format that can be brought into a store.

Answers for: nothing by itself; take `holdfast.importers.chat` and its like.
Always holds: an importer writes through the store's public calls only, reads its file
in a bounded memory, and adds nothing when it is run again over the same file.
"""
