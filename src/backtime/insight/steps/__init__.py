"""One step of a layer backwards, for the gradients of many losses at once."""
