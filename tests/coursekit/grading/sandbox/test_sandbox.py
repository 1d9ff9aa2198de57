import errno
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import bubblewrap, seccomp
from largemodels.data.cache import data_folder

ROOT = Path(__file__).resolve().parents[4]
ALLOWED = 0x7FFF0000
KILLED = 0x80000000
REFUSED = 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
IOCTL = {"x86_64": 16, "aarch64": 29}
SOCKET = {"x86_64": 41, "aarch64": 198}
READ = {"x86_64": 0, "aarch64": 63}
UNSHARE = {"x86_64": 272, "aarch64": 97}


def _decide(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """Run a filter as the kernel does; what it decides about a call."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", program))
    at, loaded = 0, 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x06:
                return value
            case 0x15:
                at += yes if loaded == value else no
            case 0x35:
                at += yes if loaded >= value else no
            case 0x45:
                at += yes if loaded & value else no
            case _:
                raise AssertionError(f"no line of a filter: {code:#x}")


@pytest.fixture(params=ARCHITECTURES)
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def decide(machine: str) -> Callable[..., int]:
    program = seccomp.program(machine)

    def decide(number: int, *arguments: int) -> int:
        return _decide(program, number, ARCHITECTURES[machine], *arguments)

    return decide


def test_the_filter_refuses_exactly_the_calls_of_its_table(machine, decide):
    denied = {call[seccomp.MACHINES[machine].column] for call in seccomp._DENIED.values()}
    refused = {number for number in range(600) if decide(number, 1, 0) == REFUSED | errno.EPERM}
    assert refused == denied - {None}


def test_a_new_process_or_thread_is_allowed_a_new_namespace_is_not(machine, decide):
    a_thread, a_copy = 0x3D0F00, 0x1200011
    assert decide(CLONE[machine], a_thread) == ALLOWED
    assert decide(CLONE[machine], a_copy) == ALLOWED
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(CLONE[machine], a_copy | flag) == REFUSED | errno.EPERM


def test_glibc_is_told_that_clone3_is_missing_so_that_it_takes_clone(decide):
    assert decide(435, 0) == REFUSED | errno.ENOSYS


def test_what_is_typed_into_a_terminal_cannot_be_made_up(machine, decide):
    assert decide(IOCTL[machine], 0, 0x5412) == REFUSED | errno.EPERM
    assert decide(IOCTL[machine], 0, 0x541C) == REFUSED | errno.EPERM
    # The kernel reads 32 bits of the number, so the filter must not be led astray by more.
    assert decide(IOCTL[machine], 0, 0x5412 | 1 << 32) == REFUSED | errno.EPERM
    assert decide(IOCTL[machine], 0, 0x5413) == ALLOWED


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6])
def test_sockets_of_the_empty_network_are_allowed(machine, decide, family):
    assert decide(SOCKET[machine], family) == ALLOWED
    assert decide(SOCKET[machine] + 1 if machine == "aarch64" else 53, family) == ALLOWED


def test_the_interfaces_can_be_listed_and_nothing_else_be_asked_by_netlink(machine, decide):
    for protocol in range(30):
        route = decide(SOCKET[machine], socket.AF_NETLINK, socket.SOCK_RAW, protocol) == ALLOWED
        assert route == (protocol == 0)


@pytest.mark.parametrize("family", [socket.AF_VSOCK, socket.AF_PACKET, 38])
def test_sockets_that_no_network_namespace_holds_back_are_refused(machine, decide, family):
    assert decide(SOCKET[machine], family) == REFUSED | errno.EAFNOSUPPORT


MMAP = {"x86_64": 9, "aarch64": 222}


def test_memory_is_mapped_for_a_process_or_from_a_file_but_never_shared_without_one(
    machine, decide
):
    private, shared, anonymous = 0x02, 0x01, 0x20
    for flags in (private | anonymous, private, shared, private | anonymous | 0x4000):
        assert decide(MMAP[machine], 0, 4096, 3, flags) == ALLOWED
    for flags in (shared | anonymous, 0x03 | anonymous):
        assert decide(MMAP[machine], 0, 4096, 3, flags) == REFUSED | errno.EPERM


def test_a_program_of_another_architecture_is_ended(machine):
    other = next(value for name, value in ARCHITECTURES.items() if name != machine)
    assert _decide(seccomp.program(machine), READ[machine], other) == KILLED
    i386 = 0x40000003
    assert _decide(seccomp.program(machine), READ[machine], i386) == KILLED


def test_the_second_set_of_calls_of_x86_64_is_ended():
    assert _decide(seccomp.program("x86_64"), 0x40000000, ARCHITECTURES["x86_64"]) == KILLED


def test_a_machine_whose_calls_are_not_known_is_named():
    with pytest.raises(ValueError, match=r"`machine` \(=riscv64\) must be one of x86_64, aarch64"):
        seccomp.program("riscv64")


def test_the_sandbox_works_here():
    bubblewrap.check()


@pytest.mark.parametrize(
    ("what", "value", "mend"),
    [
        ((sys, "platform"), "darwin", "`--trust-submissions`"),
        ((shutil, "which"), lambda name: None, "`apt install bubblewrap`"),
        ((platform, "release"), lambda: "5.4.0-190-generic", "this is 5.4.0-190-generic; update"),
        ((platform, "machine"), lambda: "riscv64", "this is riscv64; grade on such a computer"),
    ],
)
def test_a_computer_that_cannot_have_the_sandbox_is_told_why_and_what_to_do(
    monkeypatch, what, value, mend
):
    monkeypatch.setattr(*what, value)
    with pytest.raises(CourseError, match=re.escape(mend)) as caught:
        bubblewrap.require()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "mend"),
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "restrict_unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
        ("none", "", "start a container with"),
    ],
)
def test_a_system_that_forbids_user_namespaces_is_told_how_to_allow_them(
    monkeypatch, setting, value, mend
):
    monkeypatch.setattr(bubblewrap, "_setting", {setting: value}.get)
    said = bubblewrap.mend("Traceback:\nPermissionError: unshare: Operation not permitted")
    assert "(PermissionError: unshare: Operation not permitted)" in said
    assert mend in said


def test_a_sandbox_that_fails_is_an_error_and_never_left_out(monkeypatch):
    monkeypatch.setattr(bubblewrap, "_SYSTEM", ())  # No dynamic linker: no program starts.
    with pytest.raises(CourseError, match="the sandbox does not work here"):
        bubblewrap.check.__wrapped__()


@pytest.fixture(scope="module")
def inside() -> Callable[..., str]:
    """Run Python code in the sandbox; what it prints."""

    def run(code: str, **options: Any) -> str:
        words = bubblewrap.options(Limits(), **options)
        with bubblewrap.start(
            [sys.executable, "-c", code],
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said, _ = process.communicate()
        return said

    return run


def test_nothing_of_the_repository_is_there_but_what_a_notebook_imports(inside):
    walk = f"""
import os
for folder, folders, files in os.walk({str(ROOT)!r}):
    folders[:] = [name for name in folders if name not in ("site-packages", ".venv")]
    for name in files:
        print(os.path.relpath(os.path.join(folder, name), {str(ROOT)!r}))
"""
    seen = [Path(line) for line in inside(walk).splitlines()]
    data = data_folder().absolute()  # Which somebody may keep in the repository.
    seen = [path for path in seen if not (ROOT / path).is_relative_to(data)]
    assert {path.parts[0] for path in seen} == {"src", "book", "pyproject.toml"}
    rooms = {path.parts[2] for path in seen if path.parts[:2] == ("src", "largemodels")}
    assert {"check", "data", "plots", "__init__.py"} <= rooms
    for room in ("scratch", "models", "training", "trust", "economics"):
        inside_room = {path.name for path in seen if path.parts[1:3] == ("largemodels", room)}
        assert {name.split(".")[0] for name in inside_room} == {"__init__"}
    assert not [path for path in seen if path.stem.split(".")[0] in ("checker", "parent", "slot")]


def test_the_reference_says_why_it_cannot_be_imported(inside):
    for room in ("scratch", "models", "training", "trust", "economics"):
        said = inside(f"import largemodels.{room}").splitlines()[-1]
        assert said.startswith(f"ImportError: `largemodels.{room}` holds the reference solution")


def test_what_a_notebook_imports_is_there(inside):
    code = "from largemodels import check, data, plots; print(data.load('digits').x_train.shape)"
    assert inside(code) == "(1437, 8, 8)\n"


def test_of_the_tools_only_what_the_sandbox_runs_is_there(inside):
    folder = ROOT / "src" / "coursekit"
    code = f"""
import os
import coursekit.grading.sandbox.zygote, coursekit.grading.split.agent
for folder, _, files in os.walk({str(folder)!r}):
    print(*(os.path.relpath(os.path.join(folder, name), {str(folder)!r}) for name in files))
"""
    seen = {Path(name.split(".")[0]).name for name in inside(code).split()}
    assert {"zygote", "agent", "confinement"} <= seen
    assert not {"checker", "trusted", "plan", "parent", "package", "rebuild", "trials"} & seen


def test_no_file_of_the_instructor_is_there(inside, tmp_path):
    secret = tmp_path / "gradebook.db"
    secret.write_text("grades")
    listed = inside("import os; print(sorted(os.listdir('/')), os.listdir('/etc'))")
    assert "grades" not in listed
    assert "No such file" in inside(f"print(open({str(secret)!r}).read())")
    assert "No such file" in inside("open('/etc/passwd')")
    if (Path.home() / ".bashrc").exists():
        assert "No such file" in inside(f"open({str(Path.home() / '.bashrc')!r})")


def test_no_variable_of_the_instructor_is_there(inside, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "a secret")
    monkeypatch.setenv("MY_TOKEN", "a token")
    names = set(inside("import os; print(*os.environ)").split())
    assert names - {"PWD", "LC_CTYPE"} == set(bubblewrap.environment())


def test_a_folder_named_like_a_package_does_not_stand_in_for_it(inside):
    code = """
import os, subprocess, sys
os.chdir('/student')
os.mkdir('numpy')
open('numpy/__init__.py', 'w').write('print("mine")')
print(subprocess.run([sys.executable, '-c', 'import numpy; print(numpy.__file__)'],
                     capture_output=True, text=True).stdout)
"""
    assert "site-packages" in inside(code)
    assert "mine" not in inside(code)


def test_the_command_line_says_nothing_about_the_computer(inside):
    code = """
import pathlib
print(*(path.read_bytes() for path in pathlib.Path('/proc').glob('[0-9]*/cmdline')))
"""
    assert "--ro-bind" not in inside(code)


def test_extra_folders_can_be_shared(inside, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "words.txt").write_text("hello")
    extra = ["--bind", str(shared), "/shared"]
    assert inside("print(open('/shared/words.txt').read())", extra=extra) == "hello\n"


def test_an_interpreter_behind_links_in_somebodys_home_shows_nothing_of_that_home(
    monkeypatch, tmp_path
):
    (tmp_path / "bin").mkdir()
    first, second = tmp_path / "bin" / "python", tmp_path / "bin" / "python3"
    first.symlink_to("python3")
    second.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(first))
    words = list(bubblewrap._python())
    assert ["--symlink", str(second.readlink()), str(second)] == words[-3:]
    assert str(tmp_path) not in words


def test_all_of_this_holds_for_a_user_without_rights(as_unprivileged):
    done = as_unprivileged(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__),
        *("-k", "not without_rights"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
