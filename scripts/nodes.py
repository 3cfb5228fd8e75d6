"""Servers for tests, each in a folder and on ports of its own: `scripts/services` starts those that all tests share,
and a test that kills and restarts servers starts its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 60.0  # seconds: on a busy machine a start takes 20


class Postgresql:
    """PostgreSQL as its own user where we are root, who must be able to enter the folder. `options` are the server's.

    Errors: CalledProcessError from a program of PostgreSQL that fails.
    """

    def __init__(self, data: Path, port: int, *options: str) -> None:
        self._data = data
        self._options = options
        self.port = port
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Return when it answers; a server that was killed first does again what its log says."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(self._data, "postgres", "postgres")
        if not (self._data / "PG_VERSION").exists():
            options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
            as_server("initdb", "-D", self._data, *options)
        # No socket file: its path would have to be short.
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=''"]
        words = ["-D", str(self._data), "-w", "-l", str(self._data / "log"), "-o", " ".join([*options, *self._options])]
        deadline = time.monotonic() + PATIENCE
        # The processes of one that was killed end when they notice, and none is started beside them.
        while not as_server("pg_ctl", "start", *words, ok=time.monotonic() > deadline):
            time.sleep(0.05)

    def stop(self, how: str = "fast") -> None:
        """As `pg_ctl` stops it: "immediate" is a crash in order."""
        as_server("pg_ctl", "stop", "-D", self._data, "-m", how)

    def kill(self) -> None:
        """SIGKILL to the server; the processes of its connections end by themselves, a moment later."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    @property
    def runs(self) -> bool:
        """Whether there is such a server."""
        return program("pg_ctl") is not None and as_server("pg_ctl", "status", "-D", self._data, ok=False)


class Server:
    """A server that is one process and what that starts. Its folder keeps what it knows from one start to the next."""

    port: int
    process: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> None:
        """Start it, and do not wait."""
        raise NotImplementedError

    def wait(self) -> bool:
        """Whether it answers now, within our patience."""
        return answers(self.process, self.port)

    def kill(self) -> None:
        """SIGKILL to all of its processes; return when nobody listens any more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        while listens(self.port):
            time.sleep(0.01)

    def _run(self, command: Sequence[str | Path], log: Path, **settings: object) -> None:
        env = {**os.environ, **{name: str(value) for name, value in settings.items()}}
        with log.open("a") as told:
            self.process = subprocess.Popen(
                command, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=told, stderr=told,
                start_new_session=True,
            )  # fmt: skip


class Rabbitmq(Server):
    """RabbitMQ with its management API."""

    def __init__(self, folder: Path, log: Path, *usual: int) -> None:
        super().__init__(folder)
        self._log = log
        self.port, self.api_port, self._between, self._names = (free_port(each) for each in usual or (0, 0, 0, 0))
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}"
        self.api = f"http://guest:guest@127.0.0.1:{self.api_port}"

    def begin(self) -> None:
        """See `Server.begin`."""
        home = self.folder
        home.mkdir(exist_ok=True)
        (home / "enabled_plugins").write_text("[rabbitmq_management].")
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.api_port}\n"
            "vm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 500MB\n"
        )
        # Erlang would start epmd as a daemon that outlives the server: one of ours, in the same session, ends with it.
        command = ["sh", "-c", 'epmd & exec "$0"', program("rabbitmq-server") or ""]
        local, idle = "-kernel inet_dist_use_interface {127,0,0,1}", "+sbwt none +sbwtdcpu none +sbwtdio none"
        self._run(
            command,
            self._log,
            HOME=home,  # Erlang's cookie
            RABBITMQ_NODENAME="postroad@localhost",
            RABBITMQ_MNESIA_BASE=home / "mnesia",
            RABBITMQ_LOG_BASE=home / "log",
            RABBITMQ_CONFIG_FILE=home / "rabbitmq.conf",
            RABBITMQ_ENABLED_PLUGINS_FILE=home / "enabled_plugins",
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_DIST_PORT=self._between,
            RABBITMQ_PID_FILE=home / "pid",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"{local} {idle}",
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=self._names,
        )

    def wait(self) -> bool:
        """See `Server.wait`."""
        return super().wait() and answers(self.process, self.api_port)


class Mongodb(Server):
    """A MongoDB-compatible server; MongoDB itself is not to be had from a package registry.

    `durable`: what it acknowledged outlives it.
    """

    def __init__(self, program: Path, folder: Path, log: Path, usual: int = 0, *, durable: bool = False) -> None:
        super().__init__(folder)
        self._program = program
        self._log = log
        self._durable = durable
        self.port = free_port(usual)
        self.url = f"mongodb://127.0.0.1:{self.port}/"

    def begin(self) -> None:
        """See `Server.begin`."""
        self.folder.mkdir(exist_ok=True)
        # Test commands make it fail on request.
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--enable-test-commands", "--log-level", "WARNING"]
        options += ["--sync-on-commit"] * self._durable
        self._run([self._program, "--storage-path", self.folder / "data", *options], self._log)


def as_server(name: str, *arguments: str | Path, ok: bool = True) -> bool:
    """Call one of PostgreSQL's programs, as its own user where we are root; whether it succeeded (it must, if `ok`)."""
    user = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(
        [program(name) or name, *map(str, arguments)],
        user=user,
        group=user,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if ok else subprocess.DEVNULL,
        check=ok,
    )
    return done.returncode == 0


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until somebody listens on the port; False if the process ended or took too long."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if listens(port):
            return True
        time.sleep(0.1)
    return False


def listens(port: int) -> bool:
    """Whether somebody does on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def program(name: str) -> str | None:
    """A program's path; Debian keeps PostgreSQL's off PATH, the newest version last.

    It keeps RabbitMQ's there too: the one on PATH wants to become another user.
    """
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    kept = kept or list(Path("/usr/lib/rabbitmq/bin").glob(name))
    return str(kept[-1]) if kept else shutil.which(name)


def free_port(usual: int) -> int:
    """The usual port of a server, or another one where somebody has that."""
    for wanted in (usual, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    message = "no free port"
    raise OSError(message)
