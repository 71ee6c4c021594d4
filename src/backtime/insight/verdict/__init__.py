"""What is wrong with the gradient through time, in words: ``rules``."""
