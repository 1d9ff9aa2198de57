"""The grading engine: from what a platform hands over to a notebook that is safe to grade."""
