import contextlib
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coursekit.errors import CourseError
from coursekit.grading.limits import Limits
from coursekit.grading.sandbox import bubblewrap, seccomp, usage
from coursekit.grading.sandbox.warm import BrokenError, Job, WarmSandbox
from coursekit.grading.split.trusted import TrustedPeer

LIMITS = Limits(processes=20, disk_bytes=8 * 2**20, file_bytes=4 * 2**20, files=50)


class Student:
    """A job, and cells to run in it."""

    def __init__(self, sandbox: WarmSandbox) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.job = sandbox.start(theirs)
        self._peer = TrustedPeer(ours, LIMITS)
        self._connection = ours

    def run(self, source: str) -> str:
        """Run a cell; what it printed, and its error."""
        self._peer.begin(60.0)
        says, outputs = self._peer.request("run", source)
        printed = [one.get("text", "") for one in json.loads(outputs)]
        return "".join([*printed, says]).strip()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def warm_sandbox() -> Iterator[WarmSandbox]:
    """A sandbox for all tests here: what one job leaves behind, the next would see."""
    made = WarmSandbox(LIMITS, sandboxed=True)
    made.prepare(["numpy"])
    made.wait_until_ready()
    yield made
    made.close()


@contextlib.contextmanager
def _job(sandbox: WarmSandbox) -> Iterator[Student]:
    student = Student(sandbox)
    try:
        yield student
    finally:
        student.close()
        sandbox.end(student.job)


@pytest.fixture
def student(warm_sandbox: WarmSandbox) -> Iterator[Student]:
    with _job(warm_sandbox) as student:
        yield student


def _inside(sandbox: WarmSandbox) -> set[int]:
    """All processes of a sandbox."""
    return set(usage.family(sandbox._process.pid))


def test_a_job_has_no_right_and_can_get_none(student):
    status = student.run("print(open('/proc/self/status').read())")
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[kind], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"
    assert fields["Seccomp"].strip() == "2"
    assert fields["Threads"].strip() == "1"
    assert "0" not in fields["Uid"].split()
    assert set(fields["Groups"].split()) <= {str(os.getgid())}


def test_a_job_is_the_first_process_of_its_namespace(student):
    code = "import os; print(os.getpid(), os.path.samefile('/proc/1', '/proc/self'))"
    assert student.run(code) == "1 True"


def test_a_job_sees_no_variable_and_no_open_file_but_its_own(student):
    names = set(student.run("import os; print(*os.environ)").split())
    assert names - {"PWD", "LC_CTYPE"} == set(bubblewrap.environment())
    described = student.run(
        "print(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')[:-1]))"
    )
    kinds = sorted(one.split(":")[0] for one in described.split())
    assert kinds == ["/dev/null"] * 3 + ["socket"]


def test_a_job_can_write_in_its_own_places_and_nowhere_else(student):
    code = """
import os
written = []
for folder, _, _ in os.walk('/'):
    if folder.startswith('/proc'):
        continue
    try:
        open(os.path.join(folder, 'mine'), 'w').close()
        written.append(folder)
    except OSError:
        pass
print(*sorted(written))
"""
    written = set(student.run(code).split())
    own = {"/student", "/student/home", "/student/tmp", "/student/work", "/student/shm"}
    assert {"/student/home", "/student/work", "/tmp", "/dev/shm"} <= written
    assert written <= {*own, "/tmp", "/dev/shm"}


def test_no_setting_of_the_kernel_can_be_written(student):
    code = """
import os
opened = []
for top in ('/proc/sys', '/proc/irq', '/proc/bus', '/proc/sysrq-trigger', '/sys'):
    for folder, _, names in os.walk(top):
        for name in names:
            try:
                os.close(os.open(os.path.join(folder, name), os.O_WRONLY))
                opened.append(name)
            except OSError:
                pass
print(*opened)
"""
    assert student.run(code) == ""
    assert "Error" in student.run("open('/proc/sysrq-trigger', 'w')")


def test_one_disk_limits_what_is_written_in_all_places(student):
    code = """
total = 0
try:
    for place in ('/tmp', '/dev/shm', '/student/home'):
        for number in range(10):
            with open(f'{place}/{number}', 'wb') as file:
                total += file.write(bytes(2**20))
except OSError as error:
    print(error.errno, total // 2**20)
"""
    number, total = map(int, student.run(code).split())
    assert number == errno.ENOSPC
    assert total <= LIMITS.disk_bytes // 2**20


def test_files_are_limited_in_size_and_number(student):
    size = LIMITS.file_bytes
    assert "File too large" in student.run(
        f"open('large', 'wb').write(bytes({size})); open('large', 'ab').write(b'x' * 9000)"
    )
    assert "No space left" in student.run("for n in range(10**6): open(f'file{n}', 'w').close()")
    assert "Too many open files" in student.run("kept = [open('/dev/null') for _ in range(100)]")


def test_nothing_of_a_job_is_left_for_the_next(warm_sandbox):
    before = _inside(warm_sandbox)
    code = """
import os, socket, subprocess, time
for place in ('/tmp', '/dev/shm', '/student', '/student/home', '/student/work'):
    open(f'{place}/left', 'w').write('mine')
names = [b'\\0left', b'/tmp/socket']
kept = [socket.socket(socket.AF_UNIX) for _ in names]
for one, name in zip(kept, names):
    one.bind(name); one.listen()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(1)
    os._exit(0)
os.wait()
subprocess.Popen(['setsid', 'sleep', '1000'])
print('left')
"""
    with _job(warm_sandbox) as first:
        assert first.run(code) == "left"
        assert len(_inside(warm_sandbox) - before) >= 3
    assert _inside(warm_sandbox) == before
    look = """
import os, socket
print([f'{folder}/{name}' for place in ('/tmp', '/dev/shm', '/student', '/home')
       for folder, _, names in os.walk(place) for name in names])
try:
    socket.socket(socket.AF_UNIX).connect(b'\\0left')
    print('connected')
except OSError as error:
    print(error)
print('names' in globals(), len([n for n in os.listdir('/proc') if n.isdigit()]))
"""
    with _job(warm_sandbox) as second:
        files, connected, rest = second.run(look).splitlines()
    assert files == "[]"
    assert "Connection refused" in connected
    assert rest == "False 3"  # bubblewrap, the zygote, and this job


def test_a_job_cannot_reach_the_zygote(warm_sandbox, student):
    code = """
import os, signal
def read(path):
    return open(path, 'rb').read(1)
for number in sorted(int(name) for name in os.listdir('/proc') if name.isdigit()):
    if os.path.samefile(f'/proc/{number}', '/proc/self'):
        continue
    for name in ('mem', 'environ', 'maps', 'fd/0', 'root', 'cwd', 'ns/user'):
        path = f'/proc/{number}/{name}'
        look = os.readlink if name in ('fd/0', 'root', 'cwd', 'ns/user') else read
        try:
            look(path)
            print('reached', path)
        except OSError:
            pass
    try:
        if number != 1:  # By that number a job calls itself.
            os.kill(number, 9)
            print('killed', number)
    except OSError:
        pass
    descriptor = os.open(f'/proc/{number}', os.O_RDONLY)
    try:
        signal.pidfd_send_signal(descriptor, 9)
        print('signalled', number)
    except OSError:
        pass
print('tried')
"""
    before = _inside(warm_sandbox)
    assert student.run(code) == "tried"
    assert _inside(warm_sandbox) == before


def test_a_job_reaches_no_network_but_its_own(student):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind(b"\0course-test-" + str(os.getpid()).encode())
        hidden.listen()
        port, name = server.getsockname()[1], hidden.getsockname()
        code = "import socket\nsocket.create_connection(({!r}, {}), timeout=2)"
        assert "Connection refused" in student.run(code.format("127.0.0.1", port))
        assert "unreachable" in student.run(code.format("192.0.2.1", 80))
        connect = f"socket.socket(socket.AF_UNIX).connect({name!r})"
        assert "Connection refused" in student.run(connect)
    own = """
with socket.create_server(('127.0.0.1', 0)) as server:
    socket.create_connection(server.getsockname()).send(b'hello')
    print(server.accept()[0].recv(9))
"""
    assert student.run(own) == "b'hello'"


CALLS = {
    "unshare": (0x10000000,),
    "mount": (0, 0, 0, 0, 0),
    "umount2": (0, 0),
    "chroot": (0,),
    "setns": (0, 0),
    "ptrace": (0, 0, 0, 0),
    "memfd_create": (0, 0),
    "keyctl": (0, 0),
    "personality": (0xFFFFFFFF,),
    "shmget": (0, 4096, 0o1600),
    "quotactl": (0, 0, 0, 0),
}


def test_calls_that_no_notebook_needs_are_refused(student):
    for name, arguments in CALLS.items():
        number = seccomp._DENIED[name][seccomp.MACHINES[os.uname().machine].column]
        code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall({number}, {", ".join(map(str, arguments))}), ctypes.get_errno())
"""
        assert student.run(code) == f"-1 {errno.EPERM}", name


def test_what_honest_notebooks_do_works(student):
    code = """
import concurrent.futures, multiprocessing, subprocess, tempfile, threading
print(subprocess.run(['echo', 'program'], capture_output=True, text=True).stdout.strip())
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(abs, range(5))))
with multiprocessing.get_context('fork').Pool(2) as pool:
    print(sum(pool.map(abs, range(5))))
print(sum(multiprocessing.Array('d', [1, 2])))
with tempfile.TemporaryFile() as file:
    print(file.write(b'file'))
"""
    assert student.run(code).split() == ["program", "10", "10", "3.0", "4"]
    assert student.run("!echo shell") == "shell"
    assert student.run("import signal; signal.raise_signal(signal.SIGINT)").startswith(
        "KeyboardInterrupt"
    )


def test_a_job_cannot_kill_by_group(warm_sandbox, student):
    before = _inside(warm_sandbox)
    code = "import os, signal\nfor group in (0, -1, -2): \n    try: os.kill(group, 9)\n"
    assert student.run(f"{code}    except OSError as error: print(error.errno)") == "3\n3"
    assert student.run("print('alive')") == "alive"
    assert _inside(warm_sandbox) == before


MEMORY_THAT_STAYS = [
    "import mmap\nmmap.mmap(-1, 4096)",
    "import mmap\nmmap.mmap(open('/dev/zero', 'r+b').fileno(), 4096)",
    "import os\nos.memfd_create('name')",
]


@pytest.mark.parametrize("code", MEMORY_THAT_STAYS)
def test_no_memory_can_be_had_that_stays_when_no_process_maps_it(student, code):
    assert "Error" in student.run(code)


def test_memory_of_a_process_can_still_be_mapped(student):
    code = """
import mmap
with mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
    memory[:5] = b'hello'
with open('file', 'wb+') as file:
    file.write(bytes(4096))
    file.flush()
    with mmap.mmap(file.fileno(), 4096) as memory:
        memory[:5] = b'hello'
    print(file.seek(0), file.read(5))
"""
    assert student.run(code) == "0 b'hello'"


def test_tables_of_pages_count_as_memory(student):
    code = """
import ctypes, mmap
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
size = 8 * 2**30
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
start = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, flags, -1, ctypes.c_size_t(0))
libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), 15)  # MADV_NOHUGEPAGE
for offset in range(0, size, 2**21):
    ctypes.c_char.from_address(start + offset).value
"""
    before = usage.memory([student.job.process], 0)
    assert student.run(code) == ""
    assert usage.memory([student.job.process], 0) - before > 15 * 2**20


def test_a_job_may_start_a_few_processes_only(student):
    code = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        count += 1
except OSError as error:
    print(error.errno, count)
"""
    number, count = map(int, student.run(code).split())
    assert number == errno.EAGAIN
    assert count < LIMITS.processes


def test_a_job_is_the_first_to_go_when_the_machine_has_no_memory_left(student):
    assert student.run("print(open('/proc/self/oom_score_adj').read())") == "1000"
    assert "Error" in student.run(
        "open('/proc/self/oom_score_adj', 'wb', buffering=0).write(b'-1')"
    )


def test_memory_of_one_process_is_limited(student):
    assert student.run(f"x = bytearray({LIMITS.memory_bytes})").startswith("MemoryError")


def test_a_job_that_cannot_be_asked_to_end_is_ended(warm_sandbox):
    with _job(warm_sandbox) as student:
        student.run(
            "import signal\nfor n in set(range(1, 65)) - {9, 19, 32, 33}: "
            "signal.signal(n, signal.SIG_IGN)"
        )
        warm_sandbox.end(student.job)
        assert student.job.ended == -signal.SIGKILL


def test_the_end_of_a_job_is_told(warm_sandbox):
    with _job(warm_sandbox) as student:
        with contextlib.suppress(Exception, BaseException):
            student.run("import os; os._exit(3)")
        warm_sandbox.listen(student.job, 60.0)
        assert student.job.ended == 3


def test_processor_time_of_a_job_and_its_children_is_counted(student):
    code = """
import os, time
def spin(seconds):
    start = time.process_time()
    while time.process_time() < start + seconds: pass
"""
    student.run(code)

    def seconds() -> float:
        return usage.cpu_seconds(usage.family(student.job.process))

    before = seconds()
    student.run("spin(0.2)")
    assert seconds() - before >= 0.2
    before = seconds()
    student.run("if os.fork() == 0: spin(0.3); os._exit(0)\nos.wait()")
    assert seconds() - before >= 0.28  # The time of a child that ended is counted in ticks.


def test_memory_that_processes_share_is_counted_once(student):
    student.run(
        "import os, time\nkept = bytearray(os.urandom(2**20) * 60)\n"
        "for _ in range(4):\n    if os.fork() == 0: time.sleep(1000)"
    )
    family = usage.family(student.job.process)
    assert len(family) == 5
    assert usage.memory(family, 2**40) > 300 * 2**20
    assert 60 * 2**20 < usage.memory(family, 0) < 200 * 2**20


def _dies(sandbox: WarmSandbox, job: Job) -> None:
    sandbox.listen(job, 60.0)


def test_the_death_of_the_zygote_is_no_fault_of_the_submission(is_running):
    made = WarmSandbox(LIMITS, sandboxed=True)
    made.wait_until_ready()
    with contextlib.closing(made):
        student = Student(made)
        inside = _inside(made)
        first, *_ = map(int, _children(made._process.pid))
        (zygote,) = map(int, _children(first))
        os.kill(zygote, signal.SIGKILL)
        with pytest.raises(BrokenError):
            _dies(made, student.job)
        student.close()
    _wait_until_gone(inside, is_running)


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def _wait_until_gone(processes: set[int], is_running: Callable[[int], bool]) -> None:
    end = time.monotonic() + 60
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(is_running, processes))


def test_a_sandbox_that_cannot_be_made_says_what_to_do(monkeypatch):
    monkeypatch.setattr(bubblewrap, "options", lambda limits: ["--no-such-option"])
    with pytest.raises(CourseError, match="--no-such-option"):
        WarmSandbox(LIMITS, sandboxed=True).wait_until_ready()


def test_namespaces_that_cannot_be_nested_are_noticed_before_the_first_job(monkeypatch):
    words = [*bubblewrap.options(LIMITS), "--unshare-user", "--disable-userns"]
    monkeypatch.setattr(bubblewrap, "options", lambda limits: words)
    monkeypatch.setattr(bubblewrap, "unprivileged_user", lambda: 0)
    made = WarmSandbox(LIMITS, sandboxed=True)
    with contextlib.closing(made), pytest.raises(CourseError, match="user namespaces"):
        made.wait_until_ready()


def test_a_zygote_with_a_second_thread_is_not_copied(monkeypatch, tmp_path):
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = WarmSandbox(LIMITS, sandboxed=False)
    made.prepare(["starts_a_thread"])
    made.wait_until_ready()
    with contextlib.closing(made), pytest.raises(BrokenError, match="an import started 1 threads"):
        Student(made)


def test_without_a_sandbox_a_job_is_a_plain_copy():
    made = WarmSandbox(LIMITS, sandboxed=False)
    made.wait_until_ready()
    with contextlib.closing(made), _job(made) as student:
        assert int(student.run("import os; print(os.getpid())")) == student.job.process


def test_all_of_this_holds_for_a_user_without_rights(as_unprivileged):
    done = as_unprivileged(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__),
        *("-k", "not without_rights"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
