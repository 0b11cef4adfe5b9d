"""Where a student's code runs: a bubblewrap sandbox, which has no network and nothing to read.

Inside there are the system's programs, Python, its libraries and minidiff, read-only, an empty
/tmp in memory, and no other file; no process of the machine is to be seen. A filter of system
calls lets the code start threads and no process, and keeps it from getting at more memory. All
that is in the sandbox ends with it.
"""

import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import minidiff

HERE = Path(__file__).resolve().parent
TMP = 256 << 20  # bytes of /tmp
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache")

# The architecture's number, from linux/audit.h; those of calls that are refused: fork and vfork,
# what keeps memory beside the limit (shmget, memfd_create, memfd_secret), namespaces to mount
# more in (unshare, setns), the kernel's keys (add_key, request_key, keyctl) and io_uring_setup,
# a way around this filter; then clone and clone3.
CALLS = {
    "x86_64": (0xC000003E, (57, 58, 29, 319, 447, 272, 308, 248, 249, 250, 425), 56, 435),
    "aarch64": (0xC00000B7, (194, 279, 447, 97, 268, 217, 218, 219, 425), 220, 435),
}
CLONE_THREAD = 0x10000
ALLOW, ENOSYS, EPERM = 0x7FFF0000, 0x00050026, 0x00050001


class NoSandbox(Exception):
    """This machine cannot make one."""


def no_processes(machine: str) -> bytes:
    """Returns the filter, a program for the kernel: threads may be started, processes not.

    Args:
        machine: The architecture, as ``platform.machine`` gives it.

    Raises:
        NoSandbox: The architecture is not in ``CALLS``.
    """
    if machine not in CALLS:
        raise NoSandbox(f"no list of system calls for {machine}")
    own, refused, clone, clone3 = CALLS[machine]

    def load(offset: int) -> tuple[int, int, int, int]:
        return 0x20, 0, 0, offset  # from the structure that describes the call

    def unless(value: int, skip: int, test: int = 0x15) -> tuple[int, int, int, int]:
        return test, 0, skip, value

    def answer(value: int) -> tuple[int, int, int, int]:
        return 0x06, 0, 0, value

    program = [load(4), (0x15, 1, 0, own), answer(EPERM), load(0)]
    program += [unless(0x40000000, 1, 0x35), answer(EPERM)]  # the other calling convention
    for number in refused:
        program += [unless(number, 1), answer(EPERM)]
    program += [unless(clone3, 1), answer(ENOSYS)]  # the C library then calls clone
    program += [unless(clone, 3), load(16), (0x45, 1, 0, CLONE_THREAD), answer(EPERM)]
    program += [answer(ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in program)


def command(worker: list[str], filter_end: int) -> list[str]:
    """Returns the command that runs another one inside.

    Args:
        worker: The command, with paths under ``/grader`` for this folder's files.
        filter_end: A file descriptor that the filter can be read from.

    Raises:
        NoSandbox: bubblewrap is not installed.
    """
    if (bwrap := shutil.which("bwrap")) is None:
        raise NoSandbox("bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)")
    inside = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    inside += ["--proc", "/proc", "--dev", "/dev", "--size", str(TMP), "--tmpfs", "/tmp"]
    package = str(Path(minidiff.__file__).parent)
    for path in (*SYSTEM, sys.base_prefix, sys.prefix, package):
        inside += ["--ro-bind-try", path, path]
    for name in ("worker.py", "wire.py"):
        inside += ["--ro-bind", str(HERE / name), f"/grader/{name}"]
    inside += ["--remount-ro", "/dev", "--remount-ro", "/"]
    inside += ["--chdir", "/tmp", "--seccomp", str(filter_end)]
    return [bwrap, *inside, "--", *worker]


def environment() -> dict[str, str]:
    """Returns all that the student's code finds in its environment."""
    return {
        "HOME": "/tmp",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }


def start(unsafe: bool, errors: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Starts a worker.

    Args:
        unsafe: Whether it runs without a sandbox.
        errors: Where its standard error goes, before it has begun.

    Raises:
        NoSandbox: There can be none, and ``unsafe`` is False.
    """
    worker = [sys.executable, str(HERE / "worker.py" if unsafe else Path("/grader/worker.py"))]
    with tempfile.TemporaryFile() as rules:
        if not unsafe:
            rules.write(no_processes(platform.machine()))
            rules.seek(0)
            worker = command(worker, rules.fileno())
        return subprocess.Popen(
            worker,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(),
            pass_fds=[rules.fileno()],
            start_new_session=True,  # to end the process with whatever it started
        )


def try_it() -> None:
    """Raises NoSandbox, with what bubblewrap says, unless a worker starts in one."""
    with tempfile.TemporaryFile() as errors:
        process = start(unsafe=False, errors=errors)
        with process:
            ready = process.stdout is not None and process.stdout.read(1)
            process.kill()
        if not ready:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            raise NoSandbox(f"a sandbox could not be started: {said[-500:]}")
