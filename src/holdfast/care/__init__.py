"""Care: what is done for kept state as a whole, one file a task."""
