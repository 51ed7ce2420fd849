"""Previews of a conversion: a picture, or an SDR video of the input beside the tone-mapped result."""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lanhdr_cli.media.background import StageTimes
from lanhdr_cli.media.images import write_png
from lanhdr_cli.media.paths import is_video
from lanhdr_cli.media.video_writer import ClipOrigin, sdr_video
from lanhdr_cli.media.yuv import coded_planes
from lanhdr_cli.pipeline import ResultFrame
from model.color import REC709, convert_primaries, srgb_encode
from model.device import on_host
from model.frames import HdrFrame

LUMINANCE_BT709 = (0.2126, 0.7152, 0.0722)
KEY = 0.18  # middle gray
WHITE_QUANTILE = 0.999
WIDEST = 960
GAP = 12
FLOOR = 1e-6
SMOOTHING = 0.9  # part of the brightness seen before that stays from frame to frame


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """The brightness that a tone curve is adapted to, as natural logarithms of mean and white luminance."""

    log_average: float
    log_white: float

    def toward(self, other: "Adaptation", *, keep: float) -> "Adaptation":
        """Go part of the way; `keep` 1 stays, 0 jumps."""
        return Adaptation(
            log_average=keep * self.log_average + (1 - keep) * other.log_average,
            log_white=keep * self.log_white + (1 - keep) * other.log_white,
        )


def adaptation(radiance: Tensor) -> Adaptation:
    """Measure a picture: linear Rec.709, any scale, (3, H, W)."""
    luminance = _luminance(radiance.clamp(min=0)).clamp(min=FLOOR).flatten()
    white = luminance.kthvalue(max(1, round(WHITE_QUANTILE * luminance.numel()))).values
    return Adaptation(log_average=luminance.log().mean().item(), log_white=white.log().item())


def tone_map(radiance: Tensor, *, adapted: Adaptation | None = None) -> Tensor:
    """Extended Reinhard operator on luminance (Reinhard et al. 2002, equations 1 and 4), encoded as sRGB.

    The key is 0.18 over the log-average luminance; the 99.9 % quantile of luminance becomes white.

    Args:
        radiance: Linear Rec.709, any scale, (3, H, W).
        adapted: The adaptation, None for that of the picture itself.

    Returns:
        sRGB-encoded, 0..1, (3, H, W).
    """
    radiance = radiance.clamp(min=0)
    adapted = adapted or adaptation(radiance)
    luminance = _luminance(radiance)
    scaled = luminance * (KEY / math.exp(adapted.log_average))
    white = max(1.0, KEY * math.exp(adapted.log_white - adapted.log_average))
    mapped = scaled * (1 + scaled / white**2) / (1 + scaled)
    return srgb_encode((radiance * (mapped / luminance.clamp(min=FLOOR))).clamp(0, 1))


def side_by_side(pictures: list[Tensor]) -> Tensor:
    """Join pictures of one height, with white gaps, (3, H, sum of W)."""
    gap = pictures[0].new_ones(3, pictures[0].shape[1], GAP)
    parts = [part for picture in pictures for part in (gap, picture)]
    return torch.cat(parts[1:], dim=2)


def fitted_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of a picture after `fit`."""
    return (height, width) if width <= WIDEST else (max(1, round(height * WIDEST / width)), WIDEST)


def fit(picture: Tensor) -> Tensor:
    """Make a picture smaller if it is wide, (3, H, W)."""
    size = fitted_size(picture.shape[1], picture.shape[2])
    return picture if size == picture.shape[1:] else F.interpolate(picture[None], size=size, mode="area")[0]


def _in_rec709(frame: HdrFrame) -> Tensor:
    return convert_primaries(frame.radiance, frame.primaries, target=REC709)


def _luminance(linear: Tensor) -> Tensor:
    return (linear * linear.new_tensor(LUMINANCE_BT709).view(3, 1, 1)).sum(0)  # (H, W)


class PicturePreview:
    """A picture of one frame: short input, long input and result. Memory does not grow with the clip.

    Args:
        path: The PNG file.
        target: Index of the frame to show; a clip that ends sooner shows its last.
    """

    def __init__(self, path: Path, *, target: int) -> None:
        self._path = path
        self._target = target
        self._shown: ResultFrame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        picture = self.picture() if error is None else None
        if picture is not None:
            write_png(self._path, picture)

    def consider(self, frame: ResultFrame) -> None:
        """Keep a frame if it is not beyond the target."""
        if self._shown is None or frame.index <= self._target:
            self._shown = frame

    def picture(self) -> Tensor | None:
        """Draw the preview, sRGB-encoded, 0..1, (3, H, W); None if no frame has passed."""
        shown = self._shown
        if shown is None:
            return None
        frames = sorted(shown.nearby, key=lambda frame: abs(frame.time - shown.ldr.time))
        short = min(frames, key=lambda frame: frame.exposure)
        long = max(frames, key=lambda frame: frame.exposure)
        # Light is averaged, not code values, where pictures are made smaller.
        result = tone_map(fit(_in_rec709(shown.hdr)).cpu())
        return side_by_side([fit(short.image).cpu(), fit(long.image).cpu(), result])


class VideoPreview:
    """A video: the input frame on the left, the tone-mapped result on the right, with the sound of the clip.

    The operator is `tone_map`; its adaptation follows the clip slowly, so that it does not flicker.

    Args:
        path: The file.
        origin: Description of the clip.
        threads: Threads of the encoder, None for its own choice.
    """

    def __init__(self, path: Path, origin: ClipOrigin, *, threads: int | None) -> None:
        height, width = fitted_size(origin.info.height, origin.info.width)
        self._file = sdr_video(path, width=2 * width + GAP, height=height, origin=origin, threads=threads)
        self._adapted: Adaptation | None = None

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def consider(self, frame: ResultFrame) -> None:
        """Add a frame."""
        pictures = on_host(lambda: (fit(frame.ldr.image), fit(_in_rec709(frame.hdr))), frame.hdr.radiance.device)
        self._file.put(lambda: self._planes(*pictures()), index=frame.index, time=frame.hdr.time)

    @property
    def times(self) -> StageTimes:
        """Times of drawing and encoding."""
        return self._file.times

    def _planes(self, image: Tensor, radiance: Tensor) -> tuple[Tensor, ...]:
        """Draw a frame; called in the background, in order."""
        seen = adaptation(radiance)
        self._adapted = seen if self._adapted is None else self._adapted.toward(seen, keep=SMOOTHING)
        picture = side_by_side([image, tone_map(radiance, adapted=self._adapted)])
        return coded_planes(picture, self._file.pixel_format)


def open_preview(
    path: Path | None, origin: ClipOrigin, *, target: int, threads: int | None
) -> AbstractContextManager[PicturePreview | VideoPreview | None]:
    """Choose the kind of preview by the file's name; no name is no preview.

    Args:
        origin: Description of the clip, for a video.
        target: Index of the frame that a picture shows.
        threads: Threads of an encoder, None for its own choice.
    """
    if path is None:
        return nullcontext()
    return VideoPreview(path, origin, threads=threads) if is_video(path) else PicturePreview(path, target=target)
