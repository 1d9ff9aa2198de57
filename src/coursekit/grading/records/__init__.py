"""What came of each submission: the journal, the grade book, the graded notebooks."""
