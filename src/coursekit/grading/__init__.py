"""The grading engine: from what a platform hands over to a notebook that is safe to grade."""

import sys

# `jsonschema` looks for this package and does without it. It compiles a grammar for two seconds in
# each process that reads a notebook, for a check of web addresses that no notebook needs.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
