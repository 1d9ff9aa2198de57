"""Every entry ends in one way, and nothing that a class hands in reaches beyond the store."""

import json
import os
import signal
import stat
import zipfile
from pathlib import Path
from typing import Any

from coursekit.grading.intake import Intake, collect
from coursekit.grading.sources import Limits
from coursekit.grading.store import Store

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


def test_a_killed_store_has_nothing_half_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    child = os.fork()
    if child == 0:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        store.put(b"work")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and len(path.name) == 64]
    assert store.get(store.put(b"work")) == store.get(store.put(b"work")) == b"work"
