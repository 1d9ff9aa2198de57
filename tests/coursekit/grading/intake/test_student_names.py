"""Names of students are names of folders that nbgrader finds, and lead nowhere else."""

import glob
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from coursekit.grading.intake.student_names import real_name, safe_name

NAMES = st.text(min_size=1, max_size=200)


@given(NAMES)
def test_a_safe_name_is_one_folder_that_nbgrader_finds(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert not safe.startswith(".")
    assert safe == safe.strip()
    assert glob.escape(safe) == safe
    assert len(safe) <= 128
    assert len(safe.encode()) <= 255
    assert "\n" not in safe


@given(NAMES, NAMES)
def test_two_students_never_share_a_folder(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(st.text(min_size=1, max_size=30))
def test_a_safe_name_tells_the_student(name: str) -> None:
    if len(safe_name(name)) < 100:
        assert real_name(safe_name(name)) == name


def test_usual_names_stay_as_they_are(tmp_path: Path) -> None:
    for name in ("doejane", "Ada Lovelace", "Zoë O’Brien-Müller", "a.b@c.org", "李", "x, y (z)"):
        assert safe_name(name) == real_name(name) == name
        (tmp_path / safe_name(name)).mkdir()


def test_odd_names_can_be_read_by_a_person() -> None:
    assert safe_name("anna [1]") == "anna =5B1=5D"
    assert safe_name("..") == "=2E."
    assert safe_name("a/b") == "a=2Fb"
    assert safe_name("1+1=2") == "1+1=3D2"
    assert real_name("anna =5B1=5D") == "anna [1]"
