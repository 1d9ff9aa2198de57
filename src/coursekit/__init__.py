"""What an instructor runs: the `course` command and the modules behind it."""
