"""Ranks: the processes that share a conversion, on one machine or on several.

Rank 0 leads: it looks at the clip, shows progress and says everything that is said. Each of the others has a connection
to it, whose end shows at once that a process is gone.
"""

import _thread
import logging
import multiprocessing
import os
import pickle
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.process import BaseProcess
from threading import Condition, Lock, Thread, current_thread, main_thread
from typing import Any, TypeVar, cast

import click

from lanhdr_cli.console import LOGGERS, MEDIA_LOGGER, TERMINATED, Advance, Terminated, leave_on_termination, one_line
from lanhdr_cli.rank_messages import Done, Failed, FrameDone, Hello, Interrupted, Said, Stop, Value
from model.device import resolve_device
from model.errors import REFUSED, LanHdrError
from train.distributed import is_distributed, local_device, restart_count

JOIN_S = 600  # in which all ranks have to come
LEAVE_S = 20  # in which ranks that are told to stop have to go
LAUNCHER_S = 1  # in which a rank notices that its launcher is gone
KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # a machine that is gone shows in 25 s

T = TypeVar("T")
R = TypeVar("R")


class RankError(LanHdrError):
    """A process that shares the conversion has failed or is gone."""


class _Peer:
    """Another rank, at the end of a connection."""

    def __init__(self, connection: "Connection[Any, Any]", name: str, process: BaseProcess | None = None) -> None:
        self.connection = connection
        self.name = name
        self.values: deque[Any] = deque()
        self.process = process
        self._sending = Lock()

    def send(self, message: object) -> None:
        """Send a message; one to a rank that is gone is lost."""
        # Tensors travel by value: multiprocessing's own pickling would pass them as shared memory.
        with self._sending, suppress(OSError):
            self.connection.send_bytes(pickle.dumps(message))

    def fate(self) -> str:
        """Say how its process has ended, as far as that is known here."""
        if self.process is None:
            return f"{self.name} is gone (killed?)"
        self.process.join(1)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"{self.name} was killed by {signal.Signals(-code).name}"
        return f"{self.name} ended with code {code}"


class Ranks:
    """The processes that share a conversion, as seen from one of them; by default it is alone.

    Args:
        rank: Number of this process.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Number of processes on this machine.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, *, local_rank: int | None = None, local_size: int | None = None
    ) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = rank if local_rank is None else local_rank
        self.local_size = size if local_size is None else local_size
        self._peers: dict[int, _Peer] = {}
        self._changed = Condition()
        self._failure: BaseException | None = None
        self._at_work = True
        self._patient = False  # whether the work looks for a failure after each frame by itself
        self.leaving = False  # whether this process is about to end the work itself
        self._advance: Advance | None = None
        self._ahead = 0  # frames that others have done before progress is shown

    @property
    def leads(self) -> bool:
        """Whether this process looks at the clip and talks."""
        return self.rank == 0

    @property
    def follows(self) -> bool:
        """Whether another process has started this one, and kills it where it has to."""
        return not self.leads and not is_distributed()

    @property
    def failed(self) -> bool:
        """Whether the work is over because another rank has failed."""
        return isinstance(self._failure, RankError)

    @property
    def stopping(self) -> bool:
        """Whether the work is over because another rank was interrupted or says so."""
        return self._failure is not None and not self.failed

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Make a context in which the work calls `check` often, so that frames in hand may be finished first."""
        with self._changed:
            self._patient = True
        try:
            yield
        finally:
            with self._changed:
                self._patient = False
        self.check()

    @property
    def pids(self) -> list[int]:
        """Processes that this one has started."""
        return [peer.process.pid for peer in self._peers.values() if peer.process and peer.process.pid]

    @property
    def threads(self) -> int:
        """This process's share of the cores."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.local_size)

    def positions(self, count: int, *, step: int) -> range:
        """Return this process's range of `count` positions, which begins at a multiple of `step`; it may be empty."""
        steps = -(-count // step)
        begin, end = (-(-steps * rank // self.size) * step for rank in (self.rank, self.rank + 1))
        return range(min(begin, count), min(end, count))

    def share(self, value: T | None) -> T:
        """Return to all ranks the value that rank 0 passes."""
        if not self.leads:
            return cast(T, self._received(0))
        self._wait_for(lambda: len(self._peers) == self.size - 1, "not all ranks have come: are all of them started?")
        for peer in self._peers.values():
            peer.send(Value(value))
        return cast(T, value)

    def gather(self, value: T) -> list[T]:
        """Return to rank 0 the values of all ranks, in order; to the others their own."""
        if not self.leads:
            self._peers[0].send(Value(value))
            return [value]
        return [value, *(cast(T, self._received(rank)) for rank in range(1, self.size))]

    def counting(self, advance: Advance) -> Advance:
        """Make a function to call after each frame: it counts those of all ranks."""
        with self._changed:
            self._advance = advance
            for _ in range(self._ahead):
                advance()

        def count() -> None:
            if self.leads:
                with self._changed:
                    advance()
            else:
                self._peers[0].send(FrameDone())

        return count if self.size > 1 else advance

    def check(self) -> None:
        """Raise the error that ends the work, if there is one."""
        if self._failure is not None:
            raise self._failure

    def warn(self, logger: str, message: str) -> None:
        """Have rank 0 say something."""
        self._peers[0].send(Said(logger, message))

    def connect(
        self, rank: int, connection: "Connection[Any, Any]", name: str, *, process: BaseProcess | None = None
    ) -> None:
        """Take up the connection to another rank."""
        peer = _Peer(connection, name, process)
        with self._changed:
            self._peers[rank] = peer
            self._changed.notify_all()
        Thread(target=self._listen, args=(rank, peer), name=f"rank {rank}", daemon=True).start()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Make a context that ends everywhere if it ends by an error anywhere; the first error is told, by one rank."""
        try:
            yield
        except BaseException as error:
            with self._changed:
                self._at_work = False
                stopped = isinstance(error, KeyboardInterrupt | SystemExit) or error is self._failure
                failure = self._failure if stopped and self._failure is not None else None
            if failure is None and not self.leads:
                self._peers[0].send(_failed(error))
            for peer in self._peers.values() if self.leads else ():
                peer.send(Stop())
            if failure is not None:
                for note in getattr(error, "__notes__", []) if failure is not error else ():
                    failure.add_note(note)
                raise failure from None
            if not self.leads and isinstance(error, LanHdrError | KeyboardInterrupt):
                raise SystemExit(getattr(error, "exit_code", REFUSED)) from None  # rank 0 says it
            raise
        with self._changed:
            self._at_work = False
        for peer in self._peers.values():
            peer.send(Done())

    def _received(self, rank: int) -> object:
        self._wait_for(lambda: rank in self._peers and bool(self._peers[rank].values))
        return self._peers[rank].values.popleft()

    def _wait_for(self, state: Callable[[], bool], lateness: str = "") -> None:
        until = time.monotonic() + JOIN_S
        with self._changed:
            while not state():
                self.check()
                if lateness and time.monotonic() > until:
                    raise RankError(lateness)
                self._changed.wait(1.0)

    def _listen(self, rank: int, peer: _Peer) -> None:
        try:
            while True:
                message = pickle.loads(peer.connection.recv_bytes())
                if isinstance(message, Done):
                    return
                self._take(message, rank, peer)
        except (EOFError, OSError):
            self._fail(self._loss(rank, peer))

    def _take(self, message: object, rank: int, peer: _Peer) -> None:
        match message:
            case Value(value):
                with self._changed:
                    peer.values.append(value)
                    self._changed.notify_all()
            case FrameDone():
                with self._changed:
                    if self._advance is None:
                        self._ahead += 1
                    else:
                        self._advance()
            case Said(logger, text):
                logging.getLogger(logger).warning("%s", text)
            case Failed(text, exit_code):
                error = RankError(f"{peer.name}: {text}")
                error.exit_code = exit_code
                self._fail(error)
            case Interrupted(terminated):
                self._fail(Terminated() if terminated else KeyboardInterrupt())
            case Stop():
                self._fail(SystemExit(REFUSED))

    def _loss(self, rank: int, peer: _Peer) -> BaseException:
        """Make the error for a rank that is gone; if it is rank 0, rank 1 says it."""
        if self.rank > 1:
            return SystemExit(REFUSED)
        return RankError(f"{peer.fate()}, all others stop")

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is None and self._at_work and not self.leaving:
                self._failure = error
                # What waits, or is between two operations of the network, ends at once; `check` is for the rest.
                if self.failed or not self._patient:
                    _thread.interrupt_main(signal.SIGINT if self.leads else signal.SIGTERM)
            self._changed.notify_all()


def _failed(error: BaseException) -> Failed | Interrupted:
    if isinstance(error, KeyboardInterrupt):
        return Interrupted(isinstance(error, Terminated))
    if isinstance(error, LanHdrError):
        return Failed(str(error), error.exit_code)
    return Failed(f"it failed by a {type(error).__name__}, which is a bug in lanhdr: {error}", REFUSED)


def run_on_ranks(work: Callable[[Ranks], R], devices: Sequence[str] = ()) -> R:
    """Run work on all ranks: those that `torchrun` describes, or one per device, or this process alone.

    Args:
        work: Called in each process; it can be pickled.
        devices: Of this machine's processes; empty for the one that the work chooses.

    Raises:
        RankError: If a process fails, in the one that speaks; the others exit.
        DeviceError: If a device is not there.
    """
    if is_distributed():
        with _joined() as ranks:
            return work(ranks)
    if len(devices) < 2:
        return work(Ranks())
    for device in devices:
        resolve_device(device)
    with _started(work, devices) as ranks:
        return work(ranks)


def rank_device(ranks: Ranks, devices: Sequence[str], *, default: str) -> str:
    """Choose the device of this process: of several named its own, else of several GPUs its own.

    Raises:
        RankError: If there are fewer devices than processes.
    """
    if not devices:
        return str(local_device(resolve_device(default))) if ranks.size > 1 else default
    if ranks.local_rank >= len(devices):
        raise RankError(f"--devices names {len(devices)} for {ranks.local_size} processes: name one for each")
    return devices[ranks.local_rank]


@contextmanager
def _started(work: Callable[[Ranks], object], devices: Sequence[str]) -> Iterator[Ranks]:
    """Start a process for each device but the first, which is this process's own."""
    context = multiprocessing.get_context("spawn")
    ranks, size = Ranks(0, len(devices)), len(devices)
    processes = []
    try:
        for rank in range(1, size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_follow, args=(work, theirs, rank, size), daemon=True)
            with _without_interrupts():
                process.start()
            theirs.close()
            processes.append(process)
            ranks.connect(rank, ours, f"rank {rank} ({devices[rank]})", process=process)
        with ranks.at_work():
            yield ranks
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        _end(processes)


def _end(processes: Sequence[BaseProcess]) -> None:
    """Wait for processes that are told to go; a signal in the meantime ends them at once."""
    until = time.monotonic() + LEAVE_S
    try:
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Make a context whose new processes ignore Ctrl-C: rank 0 stops them."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(work: Callable[[Ranks], object], connection: "Connection[Any, Any]", rank: int, size: int) -> None:
    """Do the work of a rank that `_started` has started."""
    leave_on_termination()
    ranks = Ranks(rank, size)
    _speak_through(ranks)
    ranks.connect(0, connection, "rank 0")
    try:
        with ranks.at_work():
            work(ranks)
    except LanHdrError as error:
        click.echo(f"Error: {one_line(str(error))}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # behind its work, which would have told rank 0
        sys.exit(TERMINATED)


@contextmanager
def _joined() -> Iterator[Ranks]:
    """Meet the other processes that `torchrun` has started, on all machines."""
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, size = next(rendezvous("env://"))
    store = distributed.PrefixStore(f"convert{restart_count()}", store)  # type: ignore[attr-defined]
    local_rank, local_size = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    ranks = Ranks(rank, size, local_rank=local_rank, local_size=local_size or 1)
    Thread(target=_leave_with, args=(os.getppid(),), name="launcher", daemon=True).start()
    if ranks.leads:
        key = secrets.token_bytes(32)
        with Listener(("", 0), backlog=size, authkey=key) as listener:
            Thread(target=_welcome, args=(ranks, listener), name="ranks", daemon=True).start()
            port = cast("tuple[str, int]", listener.address)[1]
            store.set("leader", f"{port} {key.hex()}")
            with ranks.at_work():
                yield ranks
        return
    told_port, told_key = store.get("leader").decode().split()
    connection = Client((os.environ["MASTER_ADDR"], int(told_port)), authkey=bytes.fromhex(told_key))
    _keep_alive(connection)
    connection.send_bytes(pickle.dumps(Hello(rank, f"rank {rank} ({socket.gethostname()})")))
    _speak_through(ranks)
    ranks.connect(0, connection, "rank 0")
    with ranks.at_work():
        yield ranks


def _leave_with(launcher: int) -> None:
    """Have this process terminated when the one that has started it is killed: nobody would stop it then."""
    while os.getppid() == launcher:
        time.sleep(LAUNCHER_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _welcome(ranks: Ranks, listener: Listener) -> None:
    missing = set(range(1, ranks.size))
    while missing:
        try:
            connection = listener.accept()
            hello = pickle.loads(connection.recv_bytes())
        except (ConnectionError, EOFError, multiprocessing.AuthenticationError):
            continue  # a stranger
        except OSError:
            return  # the end
        _keep_alive(connection)
        missing.discard(hello.rank)
        ranks.connect(hello.rank, connection, hello.name)


def _keep_alive(connection: "Connection[Any, Any]") -> None:
    """Have the end of a connection noticed where a machine is gone without a word."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _ToRank0(logging.Handler):
    """Passes on what is said of files; what is said of the conversion, rank 0 says itself."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(logging.WARNING)
        self._ranks = ranks

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        if record.name.startswith(MEDIA_LOGGER):
            self._ranks.warn(record.name, record.getMessage())


def _speak_through(ranks: Ranks) -> None:
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [_ToRank0(ranks)], False
        logger.setLevel(logging.WARNING)
