"""Where a submission runs: namespaces, limits, a filter for system calls, warm processes."""
