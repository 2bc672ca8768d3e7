"""Jobs: the worker, from a claimed job to what is told of its end."""
