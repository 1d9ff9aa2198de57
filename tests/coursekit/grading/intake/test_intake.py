"""Every entry ends in one way, and nothing that a class hands in reaches beyond the store."""

import json
import os
import signal
import socket
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest

from coursekit.errors import CourseError
from coursekit.grading.intake.sources import Limits
from coursekit.grading.intake.store import Store
from coursekit.grading.intake.submissions import Intake, Platform, collect

Work = dict[str, Any]


def packed(tmp_path: Path, files: dict[str, bytes], limits: Limits | None = None) -> Intake:
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return collect(path, "backprop", Store(tmp_path / "store"), limits)


def outcomes(intake: Intake) -> dict[str, str]:
    return {entry.origin: entry.outcome for entry in intake.entries}


def test_platform_names_attempts_and_odd_students(tmp_path: Path, work: Work) -> None:
    first, second = json.dumps(work).encode(), b"\xef\xbb\xbf" + json.dumps(work).encode()
    files = {
        "doejane_12345_678901_backprop.ipynb": first,
        "doejane_LATE_12345_678902_backprop-2.ipynb": second,
        "anna [1] é*_7_assignsubmission_file_/backprop.ipynb": first,
        "notes.txt": b"x",
        "../evil/backprop.ipynb": first,
        "bob/inner.zip": b"PK",
        "eve_8_9_backprop.ipynb": b"\xff",
    }
    intake = packed(tmp_path, files)
    assert [(one.student, one.attempt) for one in intake.submissions] == [
        ("anna [1] é*", 1),
        ("doejane", 2),
    ]
    assert intake.counts == {"accepted": 2, "superseded": 1, "ignored": 1, "refused": 3}
    assert sum(intake.counts.values()) == len(files)
    store = Store(tmp_path / "store")
    assert store.get(intake.submissions[1].digest) == second
    assert not (tmp_path / "evil").exists()
    assert len([path for path in store.root.rglob("*") if path.is_file()]) == 2


def test_two_files_without_an_order_need_a_person(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    intake = packed(tmp_path, {"a_1_2_backprop.ipynb": data, "a_1_3_backprop.ipynb": data + b" "})
    assert intake.submissions == []
    assert all(entry.person and entry.outcome == "refused" for entry in intake.entries)


def test_a_bomb_a_link_and_a_huge_file_are_refused(tmp_path: Path, work: Work) -> None:
    link = zipfile.ZipInfo("eve_3_4_backprop.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mallory_1_2_backprop.ipynb", b" " * 2**22)
        archive.writestr(link, "/etc/passwd")
        archive.writestr("ok_5_6_backprop.ipynb", json.dumps(work))
    intake = collect(path, "backprop", Store(tmp_path / "store"))
    assert [one.student for one in intake.submissions] == ["ok"]
    assert [entry.reason.split(";")[0] for entry in intake.entries if entry.reason] == [
        "a link",
        "grows more than 200 times",
    ]
    small = collect(path, "backprop", Store(tmp_path / "store"), Limits(file=10))
    assert small.submissions == []


def test_a_folder_with_links_pipes_and_empty_folders(tmp_path: Path, work: Work) -> None:
    root = tmp_path / "class"
    for name in ("anna [1]", "empty", "link", "pipe", "hard", "renamed"):
        (root / name).mkdir(parents=True)
    (root / "anna [1]" / "backprop.ipynb").write_text(json.dumps(work))
    (root / "renamed" / "mine.ipynb").write_text(json.dumps(work))
    (root / "link" / "backprop.ipynb").symlink_to(root / "anna [1]" / "backprop.ipynb")
    os.mkfifo(root / "pipe" / "backprop.ipynb")
    (tmp_path / "secret").write_text(json.dumps(work))
    os.link(tmp_path / "secret", root / "hard" / "backprop.ipynb")
    intake = collect(root, "backprop", Store(tmp_path / "store"))
    assert outcomes(intake) == {
        "anna [1]/backprop.ipynb": "accepted",
        "empty": "refused",
        "hard/backprop.ipynb": "refused",
        "link/backprop.ipynb": "refused",
        "pipe/backprop.ipynb": "refused",
        "renamed/mine.ipynb": "accepted",
    }
    assert len({one.digest for one in intake.submissions}) == 1


def refusals(intake: Intake) -> dict[str, str]:
    return {entry.origin: entry.reason for entry in intake.entries if entry.outcome == "refused"}


def test_what_leaves_the_archive_is_refused(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    names = [
        "/etc/backprop.ipynb",
        "C:/ann/backprop.ipynb",
        "ann/../../backprop.ipynb",
        "ann/./backprop.ipynb",
        "ann\\backprop.ipynb",
        "..\\..\\bob_1_2_backprop.ipynb",
        "./cid_1_2_backprop.ipynb",
    ]
    intake = packed(tmp_path, dict.fromkeys(names, data))
    assert refusals(intake) == dict.fromkeys(names, "its path leaves the archive")
    assert intake.submissions == []


def test_a_locked_archive_and_a_device_in_it_are_refused(tmp_path: Path, work: Work) -> None:
    path = tmp_path / "class.zip"
    device = zipfile.ZipInfo("dan_1_2_backprop.ipynb")
    device.external_attr = (stat.S_IFCHR | 0o666) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ann_1_2_backprop.ipynb", json.dumps(work))
        archive.writestr(device, b"")
        archive.writestr("bob_3_4_backprop.ipynb", json.dumps(work))
    data = bytearray(path.read_bytes())
    # The flag that says that a file is encrypted, in the header of the first and in the list.
    data[data.index(b"PK\3\4") + 6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    intake = collect(path, "backprop", Store(tmp_path / "store"))
    assert refusals(intake) == {
        "ann_1_2_backprop.ipynb": "needs a password",
        "dan_1_2_backprop.ipynb": "a device or pipe, not a file",
    }
    assert [one.student for one in intake.submissions] == ["bob"]


def test_a_socket_in_a_folder_is_refused(
    tmp_path: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "class" / "ann").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "class" / "ann")  # A socket's path may have 107 bytes.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("backprop.ipynb")
        intake = collect(tmp_path / "class", "backprop", Store(tmp_path / "store"))
    assert list(refusals(intake)) == ["ann/backprop.ipynb"]


def test_all_files_together_have_a_limit(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    files = {f"student-{number}/backprop.ipynb": data for number in range(4)}
    intake = packed(tmp_path, files, Limits(total=2 * len(data) + 10))
    assert [one.student for one in intake.submissions] == ["student-0", "student-1"]
    reason = f"all files together are larger than {2 * len(data) + 10} bytes"
    assert refusals(intake) == {f"student-{number}/backprop.ipynb": reason for number in (2, 3)}


def test_too_many_entries_end_the_collection(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="3 entries; at most 2 are read"):
        packed(tmp_path, {"a": b"", "b": b"", "c": b""}, Limits(entries=2))


def test_a_damaged_archive_costs_only_what_is_damaged(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    packed(tmp_path, {"ann_1_2_backprop.ipynb": data, "bob_3_4_backprop.ipynb": data})
    path = tmp_path / "class.zip"
    whole = path.read_bytes()
    at = len(b"PK") + 60
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    intake = collect(path, "backprop", Store(tmp_path / "store"))
    assert [one.student for one in intake.submissions] == ["bob"]
    assert refusals(intake)["ann_1_2_backprop.ipynb"].startswith("damaged in the archive")
    path.write_bytes(whole[:-30])
    with pytest.raises(CourseError, match="neither a folder nor a whole zip file"):
        collect(path, "backprop", Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("platform", "students"),
    [
        ("canvas", {"ann"}),
        ("moodle", {"Bob B"}),
        ("folder", {"cid", "Bob B_2_assignsubmission_file_"}),
        (None, {"ann", "Bob B", "cid"}),
    ],
)
def test_only_the_names_of_the_platform_are_read(
    tmp_path: Path, work: Work, platform: Platform | None, students: set[str]
) -> None:
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (
            "ann_1_2_backprop.ipynb",
            "Bob B_2_assignsubmission_file_/backprop.ipynb",
            "cid/backprop.ipynb",
        ):
            archive.writestr(name, json.dumps(work))
    intake = collect(path, "backprop", Store(tmp_path / "store"), platform=platform)
    assert {one.student for one in intake.submissions} == students
    others = 3 - len(students)
    assert list(refusals(intake).values()) == ["its name tells no student"] * others


def test_the_account_of_a_platform_is_kept(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    intake = packed(tmp_path, {"ann_17_2_backprop.ipynb": data, "bob/backprop.ipynb": data})
    assert {one.student: one.account for one in intake.submissions} == {"ann": "17", "bob": ""}


def test_a_content_that_power_cut_off_is_stored_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    digest = store.put(b"work")
    [path] = [path for path in tmp_path.rglob("*") if path.is_file()]
    path.write_bytes(b"wo")
    with pytest.raises(CourseError, match="damaged; delete it and collect again"):
        store.get(digest)
    store.put(b"work")
    assert store.get(digest) == b"work"
    with pytest.raises(CourseError, match="lacks 00; collect the files again"):
        store.get("00")


def test_a_killed_store_has_nothing_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    child = os.fork()
    if child == 0:
        os.fchmod = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        store.put(b"work")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and len(path.name) == 64]
    assert store.get(store.put(b"work")) == store.get(store.put(b"work")) == b"work"
