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
        ("folder", {"cid", "Bob B_2_assignsubmission_file"}),
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
            "Bob B_2_assignsubmission_file/backprop.ipynb",
            "cid/backprop.ipynb",
        ):
            archive.writestr(name, json.dumps(work))
    intake = collect(path, "backprop", Store(tmp_path / "store"), platform=platform)
    assert {one.student for one in intake.submissions} == students
    others = 3 - len(students)
    assert list(refusals(intake).values()) == ["its name tells no student"] * others


@pytest.mark.parametrize("between", ["/", "_/", "/my work/", "_"])
def test_every_way_in_which_moodle_packs_is_read(tmp_path: Path, work: Work, between: str) -> None:
    # `mod/assign/classes/downloader.php` of Moodle: with folders, as older versions had them, with
    # folders of the student's own, and without any.
    name = f"Jane Doe_7400100_assignsubmission_file{between}backprop.ipynb"
    [jane] = packed(tmp_path, {name: json.dumps(work).encode()}).submissions
    assert (jane.student, jane.account, jane.notebook) == ("Jane Doe", "7400100", "backprop")


def test_a_text_typed_into_moodle_is_no_student(tmp_path: Path, work: Work) -> None:
    files = {
        "Jane Doe_7_assignsubmission_file/backprop.ipynb": json.dumps(work).encode(),
        "Jane Doe_7_assignsubmission_onlinetext/onlinetext.html": b"<p>Done.</p>",
    }
    intake = packed(tmp_path, files)
    assert [entry.outcome for entry in intake.entries] == ["accepted", "ignored"]
    assert {entry.student for entry in intake.entries} == {"Jane Doe", ""}


def test_accounts_with_one_name_are_told_apart(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    names = ["Participant_1_assignsubmission_file", "Participant_2_assignsubmission_file"]
    intake = packed(tmp_path, {f"{name}/backprop.ipynb": data for name in names})
    assert [one.student for one in intake.submissions] == ["Participant (1)", "Participant (2)"]
    assert {one.account for one in intake.submissions} == {"1", "2"}


def test_who_handed_in_the_wrong_kind_of_file_is_not_lost(tmp_path: Path, work: Work) -> None:
    files = {
        "pat_1_2_backprop.py": b"print(1)",
        "quinn/backprop.pdf": b"%PDF",
        "sam_3_4_work.zip": b"PK",
        "tom/backprop.ipynb": json.dumps(work).encode(),
        "tom/notes.txt": b"",
        "uma/.DS_Store": b"",
    }
    intake = packed(tmp_path, files)
    assert refusals(intake) == {
        "pat_1_2_backprop.py": "not a notebook; there is no notebook of this student",
        "quinn/backprop.pdf": "not a notebook; there is no notebook of this student",
        "sam_3_4_work.zip": "an archive in the submissions; unpack it and collect it on its own; "
        "there is no notebook of this student",
    }
    assert {entry.student for entry in intake.entries} == {"pat", "quinn", "sam", "tom", ""}
    assert not any(entry.person for entry in intake.entries)


@pytest.mark.parametrize(
    "name", ["backprop (2)", "backprop_final", "backprop-Copy1", "Backprop v2"]
)
def test_a_copy_beside_the_notebook_needs_a_person(tmp_path: Path, work: Work, name: str) -> None:
    data = json.dumps(work).encode()
    files = {"rita/backprop.ipynb": data, f"rita/{name}.ipynb": data + b" "}
    intake = packed(tmp_path, files)
    assert intake.submissions == []
    assert all(entry.person for entry in intake.entries)
    [rita] = packed(tmp_path, {f"rita/{name}.ipynb": data}).submissions
    assert rita.student == "rita"
    assert len(packed(tmp_path, dict.fromkeys(files, data)).submissions) == 1


def test_another_notebook_beside_it_is_ignored_by_name(tmp_path: Path, work: Work) -> None:
    data = json.dumps(work).encode()
    intake = packed(tmp_path, {"rita/backprop.ipynb": data, "rita/backpropagation.ipynb": data})
    assert outcomes(intake)["rita/backpropagation.ipynb"] == "ignored"
    assert [one.notebook for one in intake.submissions] == ["backprop"]


@pytest.mark.parametrize(
    ("inside", "kind"),
    [
        ("doejane_1_2_backprop-9.ipynb", "canvas"),
        ("deep/Jane Doe_7_assignsubmission_file_backprop.ipynb", "moodle"),
    ],
)
def test_a_student_who_is_first_cannot_hand_in_for_others(
    tmp_path: Path, work: Work, inside: str, kind: Platform
) -> None:
    path = tmp_path / "class" / "mallory" / inside
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(work))
    root, store = tmp_path / "class", Store(tmp_path / "store")
    with pytest.raises(CourseError, match=f"is `mallory/.*a student, or.* --from {kind}"):
        collect(root, "backprop", store)
    assert not [path for path in store.root.rglob("*") if path.is_file()]
    [mallory] = collect(root, "backprop", store, platform="folder").submissions
    assert mallory.student == "mallory"
    [jane] = collect(root, "backprop", store, platform=kind).submissions
    assert jane.student in ("doejane", "Jane Doe")


def test_names_of_another_platform_are_told_and_nothing_is_kept(tmp_path: Path, work: Work) -> None:
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ann_1_2_backprop.ipynb", json.dumps(work))
    store = Store(tmp_path / "store")
    with pytest.raises(CourseError, match=r"of moodle, e.g. 'ann_1_2.*: say --from canvas\."):
        collect(path, "backprop", store, platform="moodle")
    assert not [path for path in store.root.rglob("*") if path.is_file()]


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
