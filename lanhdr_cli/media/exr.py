"""OpenEXR sequences: half float, ZIP, scene-linear; each file complete or absent."""

import io
import logging
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Lock

import OpenEXR
import torch
from torch import Tensor

from lanhdr_cli.media.background import Background
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import FrameNames, complete_file, printable
from lanhdr_cli.media.segments import Part
from lanhdr_cli.media.timecode import TimeCode, advance, parse_timecode
from lanhdr_cli.media.verification import WrittenPixels, verify_exr
from model.color import ACES2065_1, ACESCG, REC709, REC2020, convert_primaries
from model.device import OnHost, on_host
from model.frames import HdrFrame

HALF_MAX = 65504.0
WORKERS = 2  # OpenEXR releases the interpreter lock: two threads write almost twice as fast as one
QUEUE_DEPTH = 3  # frames that are being written or wait for a worker
# Names of the color interop forum for what OpenEXR's colorInteropID may say.
COLORSPACES = {
    "rec709": (REC709, "lin_rec709_scene"),
    "rec2020": (REC2020, "lin_rec2020_scene"),
    "acescg": (ACESCG, "lin_ap1_scene"),
    "aces2065-1": (ACES2065_1, "lin_ap0_scene"),
}
SOURCE, SOURCE_ID = "lanhdr/source", "lanhdr/sourceId"
SETTINGS, CHECKSUM = "lanhdr/settings", "lanhdr/checksum"
NAN, ALONE = "lanhdr/nan", "lanhdr/alone"
NO_CHECKSUM = "00000000"  # stands in its place while it is computed
FARTHEST_CHECKSUM = 1 << 16  # bytes from the start of a file
TIMECODE_FRAMES = 30  # ST 12-1 counts so far; faster video numbers pairs of frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """Facts about the whole clip, for the header of every frame.

    Args:
        rate: Frames per second, None if unknown.
        timecode: Time code of the clip's frame 0, None to count from zero.
        pixel_aspect: Width of a pixel over its height.
        scale: Factor on radiance: 1.0 in the file is radiance 1 / scale.
        exposures: The cycle, linear, the shortest is 1.
        colorspace: Colorspace of the pixels, a key of `COLORSPACES`.
        source: Name of the file that the clip is read from, of a sequence the first.
        source_id: What tells it from other clips, by its content.
        settings: Hash of all that decides what is in the files, see `settings`; nothing for none.
    """

    rate: Fraction | None = None
    timecode: str | None = None
    pixel_aspect: Fraction = Fraction(1)
    scale: float
    exposures: tuple[float, ...]
    weights: str
    version: str
    colorspace: str = "rec709"
    response: str = "gamma2.2"
    source: str = ""
    source_id: str = ""
    settings: str = ""


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A frame on its way to a file."""

    index: int
    time: Fraction
    exposure: float
    alone: bool
    pixels: OnHost


class ExrWriter(Background[_Item]):
    """Writes frames in the background; use it in a `with`.

    Leaving it waits for what is under way. On an error frames that have not begun are dropped; finished ones stay.

    Raises:
        MediaError: From `write` or on leaving, if a file can't be written.
    """

    def __init__(self, names: FrameNames, record: ClipRecord, *, verify: bool = False) -> None:
        super().__init__(self._write, depth=QUEUE_DEPTH, name="exr", workers=WORKERS)
        self.written = 0  # finished frames
        self.nan_frames = 0  # finished frames that contained NaN
        self.verified: int | None = None  # frames that were read again and found as written
        self._pixels_of: dict[int, WrittenPixels] | None = {} if verify else None
        self._names = names
        self._record = record
        self._counting = Lock()
        self._indices: tuple[int, int] | None = None  # first and last

    @property
    def light(self) -> None:
        """Scene-linear frames have no light levels."""

    @property
    def outcome(self) -> str:
        """The files made, in words."""
        if not self._indices:
            return f"nothing in {self._names.folder}"
        first, last = self._names.path(self._indices[0]), self._names.path(self._indices[1])
        return str(first) if first == last else f"{first} to {last.name}"

    def left_behind(self, kept: int, *, shared: bool) -> str:
        """State after an interruption, in words; none if nothing is finished.

        Args:
            kept: Number of frames that were there before.
            shared: Whether other processes have made some too.
        """
        count = self.written + kept
        frames = "finished frames stay" if shared else f"{count} finished frame{'s stay' if count > 1 else ' stays'}"
        return f"{frames} in {self._names.folder}" if count else ""

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued.

        Args:
            frame: Radiance, 1.0 = clip level of the shortest exposure.
            index: Position in the clip, from 0.
            exposure: Exposure of the LDR frame at this position.
        """
        self._indices = (index if self._indices is None else self._indices[0], index)
        pixels = on_host(lambda: self._pixels(frame), frame.radiance.device)
        self.put(_Item(index=index, time=frame.time, exposure=exposure, alone=not frame.merged, pixels=pixels))

    def settle(self) -> None:
        """Wait for the frames under way before an interruption."""
        self.wait()

    def finish(self) -> Part:
        """Wait for what is under way, and return what has been made here."""
        self.wait()
        if self._pixels_of is not None:
            for index, pixels in self._pixels_of.items():
                verify_exr(self._names.path(index), pixels)
            self.verified = len(self._pixels_of)
        return Part(frames=self.written, nan_frames=self.nan_frames, indices=self._indices, verified=self.verified)

    def take(self, whole: Part) -> None:
        """Take over what all processes have made together."""
        self.written, self.nan_frames, self._indices = whole.frames, whole.nan_frames, whole.indices
        self.verified = whole.verified

    def _pixels(self, frame: HdrFrame) -> tuple[Tensor, ...]:
        """Convert a frame to what the file holds, on its device; return whether there was NaN as well."""
        primaries, _ = COLORSPACES[self._record.colorspace]
        radiance = convert_primaries(frame.radiance, frame.primaries, target=primaries)
        return half_pixels(radiance, self._record.scale), radiance.isnan().any()

    def _write(self, item: _Item) -> None:
        with self.times.busy("color"):
            pixels, nan = item.pixels()
        number = self._names.number(item.index)
        header = frame_header(self._record, item.time, index=item.index, number=number, exposure=item.exposure)
        header |= {name: 1 for name, found in ((NAN, bool(nan)), (ALONE, item.alone)) if found}
        with self.times.busy("compress"):
            _write_pixels(self._names.path(item.index), pixels, header)
        with self._counting:
            self.written += 1
            self.nan_frames += bool(nan)
            if self._pixels_of is not None:
                self._pixels_of[item.index] = WrittenPixels.of(pixels)


def write_exr(path: Path, radiance: Tensor, scale: float, *, header: Mapping[str, object]) -> bool:
    """Write linear radiance times `scale`, (3, H, W), NaN as 0; the file appears only when complete.

    Returns:
        Whether there was no NaN.

    Raises:
        MediaError: If it can't be written.
    """
    _write_pixels(path, half_pixels(radiance, scale), header)
    return not bool(radiance.isnan().any())


def _write_pixels(path: Path, pixels: Tensor, header: Mapping[str, object]) -> None:
    content = _file_content(pixels, header)  # OpenEXR takes no names that are not UTF-8
    with complete_file(path) as unfinished:
        unfinished.write_bytes(content)


def _file_content(pixels: Tensor, header: Mapping[str, object]) -> memoryview:
    content = io.BytesIO()
    with OpenEXR.File(dict(header), {"RGB": pixels.numpy()}) as file:
        file.write(content)
    whole = content.getbuffer()
    if CHECKSUM in header:
        place = _place_of_checksum(whole)
        whole[place] = f"{zlib.crc32(whole):08x}".encode()
    return whole


def compressed_size(radiance: Tensor, scale: float) -> int:
    """Bytes of the file of a frame, without the attributes of its header; linear radiance, (3, H, W)."""
    pixels = half_pixels(radiance, scale)
    return len(_file_content(pixels, {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}))


def _place_of_checksum(content: memoryview) -> slice:
    """Find the eight digits of the checksum in a file.

    Raises:
        ValueError: If there are none.
    """
    name = f"{CHECKSUM}\0string\0".encode() + len(NO_CHECKSUM).to_bytes(4, "little")
    begin = bytes(content[:FARTHEST_CHECKSUM]).index(name) + len(name)
    return slice(begin, begin + len(NO_CHECKSUM))


@dataclass(frozen=True, kw_only=True)
class FinishedFrame:
    """A whole file of a frame: whether it contained NaN, and whether it was converted from itself alone."""

    nan: bool
    alone: bool


def finished_frame(path: Path, settings: str, *, index: int, number: int) -> FinishedFrame | None:
    """Read what a finished file says, if each of its bytes is as it was written.

    Args:
        settings: Hash that its header has to hold.
        index: Position in the clip, from 0, that it has to hold.
        number: Number in the file's name.

    Returns:
        None if the file is not there, breaks off or is damaged, as after a loss of power.

    Raises:
        MediaError: If it was made with other settings.
    """
    try:
        content = bytearray(path.read_bytes())
        with path.open("rb") as file, OpenEXR.File(file, header_only=True) as picture:
            header = dict(picture.header())
    except (OSError, RuntimeError, ValueError):
        return None
    if header.get(SETTINGS) != settings or (header.get("lanhdr/sourceFrame"), header.get("imageCounter")) != (
        index,
        number,
    ):
        raise MediaError(
            f"{path} was made with other settings, or by another version of lanhdr: pass the same options as then, "
            "-y to make such frames anew, or another name"
        )
    try:
        place = _place_of_checksum(memoryview(content))
    except ValueError:
        return None
    stored, content[place] = bytes(content[place]), NO_CHECKSUM.encode()
    if stored != f"{zlib.crc32(content):08x}".encode():
        return None
    return FinishedFrame(nan=NAN in header, alone=ALONE in header)


def refuse_other_clips(paths: Iterable[Path], source_id: str) -> None:
    """Refuse to replace frames that were not made from this clip, whatever the user allows.

    Args:
        paths: Existing files; those that can't be read as OpenEXR are nobody's frames.

    Raises:
        MediaError: If the header of one says that it is of another clip, or does not say of which.
    """
    for path in paths:
        try:
            with path.open("rb") as file, OpenEXR.File(file, header_only=True) as picture:
                header = picture.header()
                owner, name = header.get(SOURCE_ID), header.get(SOURCE)
        except (OSError, RuntimeError, ValueError):
            continue
        if owner != source_id:
            other = f"a frame of another clip, {name}" if name else "a picture that was not made of this clip"
            raise MediaError(f"{path} is {other}: choose another name for -o, or remove such files first")


def half_pixels(radiance: Tensor, scale: float) -> Tensor:
    """Scale linear radiance, (3, H, W), clamp it to the range of half float, and lay it out as OpenEXR reads it.

    Returns:
        float16 on the same device, (H, W, 3), contiguous: OpenEXR writes wrong pixels from anything else.
    """
    scaled = (radiance.float() * scale).nan_to_num_(nan=0.0).clamp_(-HALF_MAX, HALF_MAX).permute(1, 2, 0)  # (H, W, 3)
    return torch.empty(scaled.shape, dtype=torch.float16, device=scaled.device).copy_(scaled)


def frame_header(record: ClipRecord, time: Fraction, *, index: int, number: int, exposure: float) -> dict[str, object]:
    """Make the OpenEXR attributes of a frame.

    Args:
        time: Presentation time in seconds.
        index: Position in the clip, from 0.
        number: Number in the file's name.
        exposure: Exposure of the LDR frame, relative to the shortest.
    """
    primaries, interop_id = COLORSPACES[record.colorspace]
    header: dict[str, object] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": primaries.chromaticities,
        "colorInteropID": interop_id,
        "pixelAspectRatio": float(record.pixel_aspect),
        "lanhdr/exposureScale": float(record.scale),
        "lanhdr/exposures": ",".join(f"{value:g}" for value in record.exposures),
        "lanhdr/response": record.response,
        "lanhdr/weights": record.weights,
        "lanhdr/version": record.version,
        SOURCE: printable(record.source),
        SOURCE_ID: record.source_id,
        SETTINGS: record.settings,
        CHECKSUM: NO_CHECKSUM,
        "imageCounter": number,
        "lanhdr/sourceFrame": index,
        "lanhdr/sourceExposure": float(exposure),
        "lanhdr/sourceTime": str(time),
    }
    if record.rate:
        header["framesPerSecond"] = record.rate
    if record.rate and round(record.rate) <= 2 * TIMECODE_FRAMES:
        start = (parse_timecode(record.timecode) if record.timecode else None) or TimeCode(0, 0, 0, 0)
        label = advance(start, index, rate=record.rate)
        in_pairs = round(record.rate) > TIMECODE_FRAMES
        timecode = OpenEXR.TimeCode()
        timecode.hours, timecode.minutes, timecode.seconds = label.hours, label.minutes, label.seconds
        timecode.frame = label.frame // 2 if in_pairs else label.frame
        timecode.fieldPhase = bool(in_pairs and label.frame % 2)
        timecode.dropFrame = label.drop
        header["timeCode"] = timecode
    return header
