"""What several collections of one assignment come to: everybody once, the latest work."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from coursekit.errors import CourseError
from coursekit.grading.intake.collection import Collection
from coursekit.grading.intake.store import Store
from coursekit.grading.intake.submissions import Intake, collect

Answered = Callable[[str], bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "collection.json"


def gather(path: Path, archive: str, files: dict[str, bytes]) -> Intake:
    """Collect a zip file into the collection."""
    zipped = path.parent / archive
    with zipfile.ZipFile(zipped, "w") as writer:
        for name, data in files.items():
            writer.writestr(name, data)
    collection = Collection.open(path)
    intake = collection.add(collect(zipped, "small", Store(path.parent / "store")), archive)
    collection.save()
    return intake


def answers(path: Path) -> dict[str, str]:
    """The first answer that counts of each student, or why there is none."""
    store = Store(path.parent / "store")
    found = {}
    for name, one in Collection.open(path).participants.items():
        if one.digest:
            cells = json.loads(store.get(one.digest))["cells"]
            found[name] = next(cell["source"] for cell in cells if cell["id"] == "mean")
        else:
            found[name] = f"{'person' if one.person else 'failed'}: {one.reason}"
    return found


def test_everybody_with_a_name_is_in_it_once(path: Path, answered: Answered) -> None:
    intake = gather(
        path,
        "class.zip",
        {
            "ann_1_2_small.ipynb": answered("a"),
            "bob_3_4_small.ipynb": b"no notebook",
            "cid_5_6_small.ipynb": answered("c"),
            "cid_5_7_small.ipynb": answered("d"),
            "nobody.ipynb": answered("x"),
            "notes.txt": b"",
        },
    )
    assert intake.counts == {"accepted": 1, "refused": 4, "ignored": 1}
    assert answers(path) == {
        "ann": "a",
        "bob": "failed: not JSON; the file is damaged",
        "cid": "person: one of 2 files of this student, and none is the later; choose one",
    }
    collection = Collection.open(path)
    assert collection.participants["ann"].account == "1"
    [[stray]] = collection.strays.values()
    assert (stray.origin, stray.reason) == ("nobody.ipynb", "its name tells no student")


def test_a_later_collection_counts_and_keeps_the_others(path: Path, answered: Answered) -> None:
    gather(path, "1.zip", {n: answered("old") for n in ("ann_1_2_small.ipynb", "bob/small.ipynb")})
    gather(path, "2.zip", {"ann_1_9_small.ipynb": answered("new")})
    assert answers(path) == {"ann": "new", "bob": "old"}


def test_a_later_attempt_stays_when_an_old_archive_is_collected_again(
    path: Path, answered: Answered
) -> None:
    gather(path, "2.zip", {"ann_1_9_small-2.ipynb": answered("second")})
    intake = gather(path, "1.zip", {"ann_1_2_small.ipynb": answered("first")})
    assert answers(path) == {"ann": "second"}
    assert intake.submissions == []
    assert [(e.outcome, e.reason) for e in intake.entries] == [("superseded", "attempt 2 is later")]


def test_a_broken_resubmission_needs_a_person(path: Path, answered: Answered) -> None:
    gather(path, "1.zip", {"ann_1_2_small.ipynb": answered("first")})
    gather(path, "2.zip", {"ann_1_9_small-2.ipynb": b""})
    assert answers(path) == {"ann": "person: empty"}
    gather(path, "3.zip", {"ann_1_10_small-3.ipynb": answered("third")})
    assert answers(path) == {"ann": "third"}


def test_collecting_the_same_again_changes_nothing(path: Path, answered: Answered) -> None:
    files = {"ann_1_2_small.ipynb": answered("a"), "x.ipynb": b"", "bob_3_4_small.ipynb": b""}
    first = gather(path, "1.zip", files)
    before = path.read_bytes()
    assert gather(path, "1.zip", files) == first
    assert path.read_bytes() == before


def test_a_stray_goes_when_the_archive_comes_without_it(path: Path, answered: Answered) -> None:
    ann = {"ann_1_2_small.ipynb": answered("a")}
    gather(path, "1.zip", {**ann, "x.ipynb": answered("x")})
    assert [one.origin for one in Collection.open(path).all_strays()] == ["1.zip: x.ipynb"]
    gather(path, "1.zip", {**ann, "x_1_2_small.ipynb": answered("x")})
    assert not Collection.open(path).strays
    assert answers(path) == {"ann": "a", "x": "x"}


def test_an_archive_in_an_archive_is_forgotten_when_it_is_collected(
    path: Path, answered: Answered
) -> None:
    gather(path, "outer.zip", {"class.zip": b"PK"})
    assert Collection.open(path).strays
    gather(path, "class.zip", {"ann_1_2_small.ipynb": answered("a")})
    assert not Collection.open(path).strays


def test_two_accounts_of_one_name_keep_their_work_and_their_names(
    path: Path, answered: Answered
) -> None:
    gather(path, "1.zip", {"doejane_111_9_small.ipynb": answered("first")})
    gather(path, "2.zip", {"doejane_222_9_small.ipynb": answered("second")})
    assert answers(path) == {"doejane": "first", "doejane (222)": "second"}
    late = {"doejane_222_10_small-2.ipynb": b"", "doejane_111_10_small-2.ipynb": answered("third")}
    gather(path, "3.zip", late)
    assert answers(path) == {"doejane": "third", "doejane (222)": "person: empty"}
    gather(path, "4.zip", {"doejane_222_11_small-3.ipynb": answered("fourth")})
    assert answers(path) == {"doejane": "third", "doejane (222)": "fourth"}


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"participants": [{"name": 1}], "strays": {}}']
)
def test_a_damaged_file_is_named(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(CourseError, match=r"collection.json: cannot be read \(.+\); delete it"):
        Collection.open(path)
