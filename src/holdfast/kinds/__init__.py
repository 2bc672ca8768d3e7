"""The kinds of state that every store has, one file each."""
