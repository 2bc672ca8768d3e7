"""Transfer: sessions into a file, and out of one."""
