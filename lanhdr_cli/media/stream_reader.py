"""Video that comes once, through a pipe: kept in a private temporary file while it is read."""

import hashlib
import logging
import shutil
import stat
import sys
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Self

from lanhdr_cli.media.containers import open_container
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.video_reader import VideoReader, video_stream

STANDARD_INPUT = Path("-")
DEVICE_FOLDERS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))

logger = logging.getLogger(__name__)


def names_stream(path: Path) -> bool:
    """Tell whether a path is standard input (`-`) or a pipe, also one that a shell makes for `<(...)`."""
    if path == STANDARD_INPUT:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class StreamReader(VideoReader):
    """An open pipe; use it in a `with`. The clip is read more than once, so it is copied to a file that goes with it.

    Raises:
        MediaError: On entering, as `VideoReader`; if it is a terminal, empty, or there is no space for the copy.
    """

    @cached_property
    def id(self) -> str:
        """Tells the clip from others by its pictures: programs write other marks into a pipe each time."""
        digest = hashlib.sha256()
        with open_container(self.video) as container:
            for packet in container.demux(video_stream(container, self.path)):
                digest.update(packet)
        return digest.hexdigest()[:16]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(TemporaryDirectory(prefix="lanhdr-")))
            self.name = "stdin" if self.path.name == "-" or self.path.parent in DEVICE_FOLDERS else self.path.stem
            self.video = self.folder / self.name
            logger.info("%s is kept in %s until the end: its exposures are measured first", self.path, self.folder)
            self._keep()
            super().__enter__()
            self._files = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._files.close()

    def _keep(self) -> None:
        try:
            with self.video.open("wb") as copy, ExitStack() as stack:
                stream: BinaryIO = sys.stdin.buffer
                if self.path != STANDARD_INPUT:
                    stream = stack.enter_context(self.path.open("rb"))
                if stream.isatty():
                    raise MediaError(f"{self.path} is a terminal: pipe a video into it, or pass a file")
                shutil.copyfileobj(stream, copy, 1 << 20)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MediaError(
                f"{self.path} can't be kept in {self.folder} ({reason}): "
                "save it to a file, or set TMPDIR to a folder on a larger disk"
            ) from error
        if self.video.stat().st_size == 0:
            raise MediaError(f"{self.path} is empty: pipe a video into it, or pass a file")
