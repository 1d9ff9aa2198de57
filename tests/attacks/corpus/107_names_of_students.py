"""Call oneself a path, a script, a formula or an option.

The name of a student comes from the platform, and there from the student. It ends up in
folders, in the grade book, in a web page and in a table that a spreadsheet opens.
"""

import json

NUMBER = "107"
WANTS = "host"
STOCK = "succeeds: no grade for the student, no grade for Zoe (nbgrader 0.9.6)"
NAMES = [
    "<img src=x onerror=alert(4711)>",
    "=1+cmd|' -C calc'!A0",
    "-rf",
    "--help",
    "$(touch mine)",
    "a;b,c\"d'e",
    "new\nline",
    "\x1b]0;4711\x07\x1b[2J",
    "[bold red]4711[link=file:]",
    "anna [1]",
    "*",
    "ünïcode \u202e",
    "con",
    "%s{0}",
    "x" * 200,
]


def submissions(work):
    return {name: json.dumps(work) for name in NAMES}
