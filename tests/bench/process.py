"""Programs of a measurement: started on one core, read through /proc, ended by their own process id.

Every program gets a session of its own, so that Ctrl-C reaches the measurement alone, and a death signal, so that
nothing outlives a measurement that was killed.
"""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

PROXY_CORE, LOAD_CORE = 0, 1
ROOT = Path(__file__).parents[2]
STOP_SECONDS = 5  # after SIGTERM; then the program is killed
_TICK = os.sysconf("SC_CLK_TCK")


class Program:
    """A running program and its children."""

    def __init__(self, command: Sequence[str], *, core: int, output: Path, folder: Path | None = None) -> None:
        self.output = output
        self._name = Path(command[0]).name
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # 5,000 tunnels are 10,000 sockets
        # Each of these replaces itself by the next, so the process id is the program's.
        pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), "prlimit", f"--nofile={files}"]
        with output.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - the commands are those of this folder
                [*pinned, *command],
                cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": str(output.parent), "LANG": "C.UTF-8", "GOMAXPROCS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __repr__(self) -> str:
        return f"<Program {self._name} {self._process.pid}>"

    def hurry(self, priority: int) -> None:
        """Run before everything else on the core, if the system permits it."""
        with suppress(PermissionError):
            for pid in self.pids:
                os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(priority))

    def check(self) -> None:
        """Raise RuntimeError with the end of its output if the program has ended."""
        if self._process.poll() is not None:
            tail = self.output.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._name} ended with status {self._process.returncode}:\n{tail}")

    @property
    def pids(self) -> list[int]:
        """The program's process and its children."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self) -> float:
        """Processor time used so far, in user and kernel mode."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICK

    def calls(self) -> tuple[int, int]:
        """Calls of read and write so far."""
        told = dict(line.split(": ") for line in Path(f"/proc/{self._process.pid}/io").read_text().splitlines())
        return int(told["syscr"]), int(told["syscw"])

    def resident(self) -> int:
        """Bytes of memory that are resident now."""
        return self._memory("VmRSS")

    def peak(self) -> int:
        """The most bytes that were resident at once since `forget_peak`."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it, and wait for its end. Idempotent."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for pid in reversed(self.pids):
                os.kill(pid, signal.SIGKILL)
            self._process.wait()

    def _memory(self, key: str) -> int:
        total = 0
        for pid in self.pids:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
        return total


class Programs:
    """Starts programs, each in a folder of its own within one in memory; all end with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        memory = Path("/dev/shm")  # noqa: S108 - files in memory, in a folder made with mode 0700
        self.folder = Path(
            stack.enter_context(TemporaryDirectory(prefix="bench-", dir=memory if memory.exists() else None))
        )

    def start(
        self, name: str, core: int, prepare: Callable[[Path], Sequence[str]], stack: ExitStack | None = None
    ) -> Program:
        """The program whose command `prepare` gives for its folder; with a stack of its own it ends with that."""
        folder = self.folder / f"{name.replace(' ', '-')}-{time.monotonic_ns()}"
        folder.mkdir()
        program = Program(prepare(folder), core=core, output=folder / "output", folder=ROOT)
        (stack or self._stack).callback(program.stop)
        return program


def wait_until(condition: Callable[[], bool], what: str, seconds: float, program: Program | None = None) -> None:
    """Wait for another process.

    Raises:
        RuntimeError: if the condition does not come true in time, or the program has ended.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if program is not None:
            program.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
