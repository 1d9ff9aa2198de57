"""What an instructor runs: the `course` command and the modules behind it."""

import sys

# nbformat imports jsonschema, which imports these where they are installed. The first builds a
# grammar of international addresses, which takes 1.4 seconds in each process, the second reads
# durations. No notebook has either.
for _module in ("rfc3987_syntax", "isoduration"):
    sys.modules.setdefault(_module, None)  # type: ignore[arg-type]
