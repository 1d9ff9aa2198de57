"""One submission from notebook to result: the slot that grades it, and what watches over it."""
