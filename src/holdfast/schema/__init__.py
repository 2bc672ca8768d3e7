"""The schema: SQL text, one file a kind, and what reads it.

`statements` knows the form of the `.sql` files, `catalog` collects what a store runs,
`format` numbers the versions of the tables and has the steps between them.
"""
