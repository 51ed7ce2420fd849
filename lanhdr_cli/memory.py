"""Memory that a conversion on a CPU needs, estimated before it starts, and what the machine has left."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from lanhdr_cli.console import FORECAST, size_text
from lanhdr_cli.media.encoder import EncoderOptions
from lanhdr_cli.media.video_reader import VideoInfo
from model.errors import DeviceError
from model.network import NetworkConfig
from model.tiles import Tiling

MIB = 1 << 20
BASE = 512 * MIB  # libraries, weights, and the look at the clip


@dataclass(frozen=True, kw_only=True)
class PixelBytes:
    """Bytes per pixel at the peak.

    Args:
        frame: Of the frames in memory: decoded, their states, and those that are being written.
        tile: Of the part of a frame that is being computed.
    """

    frame: float
    tile: float


# Measured with whole conversions to EXR (docs/architecture.md), in bfloat16; float32 takes as much for these two.
MEASURED = {
    ("lite", 2): PixelBytes(frame=600, tile=320),
    ("lite", 3): PixelBytes(frame=730, tile=320),
    ("small", 2): PixelBytes(frame=760, tile=260),
    ("small", 3): PixelBytes(frame=970, tile=260),
}
# Bytes per pixel that encoders of video hold, by the library's name: pictures that they look ahead at. Extrapolated
# from 12 frames to the 30 and more that they hold.
LOOKAHEAD = {"libx265": 300, "libsvtav1": 600}

logger = logging.getLogger(__name__)


def needed_bytes(config: NetworkConfig, tiling: Tiling, *, encoding: EncoderOptions | None) -> int | None:
    """Estimate the peak of a process that computes frames in these tiles on a CPU, None if it is not known.

    Args:
        encoding: Of a video; None for EXR frames.
    """
    measured = MEASURED.get((config.design, config.nexps))
    if measured is None:
        return None
    frame = tiling.height * tiling.width
    largest: int = max((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in tiling.places)
    encoder: float = LOOKAHEAD.get(encoding.encoder.library, 0) if encoding else 0
    return round(BASE + frame * (measured.frame + encoder) + largest * measured.tile)


def fitting_tiles(
    config: NetworkConfig, info: VideoInfo, *, budget: int, encoding: EncoderOptions | None, told: bool = True
) -> Tiling:
    """Choose the largest tiles, whole frames if possible, with which a process keeps within a budget of memory.

    Args:
        told: Whether tiles are warned of.

    Raises:
        DeviceError: If even the smallest do not, or it is not known what the network needs.
    """
    tiling = Tiling(height=info.height, width=info.width)
    whole = needed_bytes(config, tiling, encoding=encoding)
    if whole is None:
        raise DeviceError(
            f"--max-memory {size_text(budget)}: it is not known what {config.design} needs: leave it out, tiles are "
            "taken up where memory runs out"
        )
    needed = whole
    while needed > budget:
        try:
            tiling = tiling.finer()
        except DeviceError:
            tiles = f" in {len(tiling)} tiles" if len(tiling) > 1 else ""
            raise DeviceError(
                f"frames of {info.width}x{info.height} need about {size_text(needed)}{tiles}, --max-memory is "
                f"{size_text(budget)}: pass {-(-needed // MIB)}M or more, or smaller frames"
            ) from None
        needed = needed_bytes(config, tiling, encoding=encoding) or 0
    if len(tiling) > 1 and told:
        logger.warning(
            "whole frames of %dx%d need about %s, --max-memory is %s: they are computed in %d tiles",
            *(info.width, info.height, size_text(whole), size_text(budget), len(tiling)),
        )
    return tiling


def warn_of_memory(config: NetworkConfig, info: VideoInfo, *, processes: int, encoding: EncoderOptions | None) -> None:
    """Warn if processes on this machine may need more memory than is free."""
    available = available_bytes()
    tiling = Tiling(height=info.height, width=info.width)
    needed = needed_bytes(config, tiling, encoding=encoding)
    if available is not None and needed is not None and processes * needed > available:
        logger.warning(
            "frames of %dx%d need about %s of memory, %s are free: pass --max-memory to compute them in tiles",
            *(info.width, info.height, size_text(processes * needed), size_text(available)),
            extra=FORECAST,
        )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that is free on this machine, or within the limit of this process's control group; None if unknown.

    Args:
        root: Where `proc` and `sys` are.
    """
    if not sys.platform.startswith("linux"):
        return None
    free = [*_free_on_machine(root), *_free_in_group(root)]
    return max(0, min(free)) if free else None


def _free_on_machine(root: Path) -> list[int]:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return [1024 * int(line.split()[1])]
    return []


def _free_in_group(root: Path) -> list[int]:
    """Bytes left below each limit that holds for this process: version 2 of control groups, and version 1."""
    free = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        if controllers:
            top, names = top / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        folder = top / path.lstrip("/")
        for place in (folder, *folder.parents):
            bound, used = (_text(place / name).strip() for name in names)
            if bound.isdecimal() and used.isdecimal():
                free.append(int(bound) - int(used) + _reclaimable(place))
            if place == top:
                break
    return free


def _reclaimable(group: Path) -> int:
    """Bytes of files that a control group counts as used, and gives up where memory is short."""
    for line in _text(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file") and value.isdecimal():
            return int(value)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
