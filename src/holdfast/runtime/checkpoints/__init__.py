"""Checkpoints: what a process has in memory, taken now and then, restored once.

In reading order: `shown` and `ashown` are what users hold, `participants` how what they
registered is called, in `calls`; `desk` takes and restores for one owner, `restoring`
says what is given back, `giving` gives it; `keeper` has the thread that does it by
itself, and the end; `living` says which processes live, `asking` asks the others.
"""
