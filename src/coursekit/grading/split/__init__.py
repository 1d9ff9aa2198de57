"""A student's code and its tests in two processes, between which only plain data passes."""
