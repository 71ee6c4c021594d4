"""Jobs: what the data looks like, which model learns it, and what is told to people."""
