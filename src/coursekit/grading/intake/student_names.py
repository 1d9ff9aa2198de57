"""Students' names as names of folders, which nbgrader wants to be the ids in the grade book.

nbgrader reads `submitted/<id>/<assignment>` with shell patterns, so an id with brackets is never
found, and one with `..` leads out of the class. Such characters are written as `=` and two
hexadecimal digits for each byte of UTF-8, as e-mail does: `anna [1]` becomes `anna =5B1=5D`. Every
other name stays as it is.
"""

import hashlib
import re
import unicodedata

__all__ = ["real_name", "safe_name"]

# nbgrader's tables hold 128 characters, file systems 255 bytes.
_CHARACTERS = 120
_BYTES = 240
_UNSAFE = set("=/\\[]*?\"<>|:~$`'\x7f")


def safe_name(student: str) -> str:
    """The name of a student's folder, and the student's id in the grade book.

    >>> safe_name("doejane"), safe_name("Zoë Müller"), safe_name("anna [1]"), safe_name("..")
    ('doejane', 'Zoë Müller', 'anna =5B1=5D', '=2E.')
    """
    ends = {0, len(student) - 1}
    name = "".join(
        _escape(character)
        if _is_unsafe(character)
        or (index == 0 and character in ".-")
        or (index in ends and character.isspace())
        else character
        for index, character in enumerate(student)
    )
    if len(name) <= _CHARACTERS and len(name.encode()) <= _BYTES:
        return name
    # Too long for nbgrader: the beginning, and a digest that keeps it apart from others.
    short = re.sub("=.?$", "", name.encode()[: _CHARACTERS - 20].decode(errors="ignore"))
    return f"{short}=={hashlib.sha256(student.encode()).hexdigest()[:16]}"


def real_name(name: str) -> str:
    """The student whose safe name this is; a name that was cut short stays as it is."""
    if "==" in name:
        return name
    parts = re.split(r"((?:=[0-9A-F]{2})+)", name)
    return "".join(
        bytes.fromhex(part.replace("=", "")).decode(errors="replace") if index % 2 else part
        for index, part in enumerate(parts)
    )


def _is_unsafe(character: str) -> bool:
    if character in _UNSAFE:
        return True
    # Control characters, surrogates, and every space but the plain one.
    return character != " " and unicodedata.category(character)[0] in "CZ"


def _escape(character: str) -> str:
    return "".join(f"={byte:02X}" for byte in character.encode())
