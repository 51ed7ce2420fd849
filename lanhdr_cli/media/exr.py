"""OpenEXR sequences: half float, ZIP, scene-linear; each file complete or absent."""

import io
import logging
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
from model.color import ACES2065_1, ACESCG, REC709, REC2020, convert_primaries
from model.device import OnHost, on_host
from model.frames import HdrFrame

HALF_MAX = 65504.0
LARGEST_COUNT = 2**31 - 1  # that an attribute can hold
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


class ExrWriter(Background[tuple[int, Fraction, float, OnHost]]):
    """Writes frames in the background; use it in a `with`.

    Leaving it waits for what is under way. On an error frames that have not begun are dropped; finished ones stay.

    Raises:
        MediaError: From `write` or on leaving, if a file can't be written.
    """

    def __init__(self, names: FrameNames, record: ClipRecord) -> None:
        super().__init__(self._write, depth=QUEUE_DEPTH, name="exr", workers=WORKERS)
        self.written = 0  # finished frames
        self.nan_frames = 0  # finished frames that contained NaN
        self._names = names
        self._record = record
        self._counting = Lock()
        self._indices: tuple[int, int] | None = None  # first and last

    @property
    def outcome(self) -> str:
        """The files made, in words."""
        if not self._indices:
            return f"nothing in {self._names.folder}"
        first, last = self._names.path(self._indices[0]), self._names.path(self._indices[1])
        return str(first) if first == last else f"{first} to {last.name}"

    @property
    def left_behind(self) -> str:
        """State after an interruption, in words."""
        return f"{self.written} finished frames stay in {self._names.folder}"

    def write(self, frame: HdrFrame, *, index: int, exposure: float) -> None:
        """Queue one frame; waits while too many are queued.

        Args:
            frame: Radiance, 1.0 = clip level of the shortest exposure.
            index: Position in the clip, from 0.
            exposure: Exposure of the LDR frame at this position.
        """
        self._indices = (index if self._indices is None else self._indices[0], index)
        pixels = on_host(lambda: self._pixels(frame), frame.radiance.device)
        self.put((index, frame.time, exposure, pixels))

    def finish(self) -> Part:
        """Wait for what is under way, and return what has been made here."""
        self.wait()
        return Part(frames=self.written, nan_frames=self.nan_frames, indices=self._indices)

    def take(self, whole: Part) -> None:
        """Take over what all processes have made together."""
        self.written, self.nan_frames, self._indices = whole.frames, whole.nan_frames, whole.indices

    def _pixels(self, frame: HdrFrame) -> tuple[Tensor, ...]:
        """Convert a frame to what the file holds, on its device; return whether there was NaN as well."""
        primaries, _ = COLORSPACES[self._record.colorspace]
        radiance = convert_primaries(frame.radiance, frame.primaries, target=primaries)
        return half_pixels(radiance, self._record.scale), radiance.isnan().any()

    def _write(self, item: tuple[int, Fraction, float, OnHost]) -> None:
        index, time, exposure, on_host = item
        with self.times.busy("color"):
            pixels, nan = on_host()
        header = frame_header(self._record, time, index=index, number=self._names.number(index), exposure=exposure)
        with self.times.busy("compress"):
            _write_pixels(self._names.path(index), pixels, header)
        with self._counting:
            self.written += 1
            self.nan_frames += bool(nan)


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
    content = io.BytesIO()  # OpenEXR takes no names that are not UTF-8
    with OpenEXR.File(dict(header), {"RGB": pixels.numpy()}) as file:
        file.write(content)
    with complete_file(path) as unfinished:
        unfinished.write_bytes(content.getbuffer())


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
        "imageCounter": min(max(number, -LARGEST_COUNT), LARGEST_COUNT),
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
