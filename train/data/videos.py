"""Videos in memory: LDR as bytes, PQ and HLG as linear light."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.color import hlg_oetf_inverse
from train.data.images import Stored, reduced
from train.errors import DatasetError

if TYPE_CHECKING:
    import av


def pyav_available() -> bool:
    """Return whether PyAV is installed, which nothing else in training needs."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Video:
    """Consecutive frames of a video."""

    name: str
    frames: Stored  # R, G, B, (N, H, W, 3); uint8 encoded, or float linear radiance of any scale

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.frames)

    def load(self, indices: Sequence[int]) -> list[Stored]:
        """Return frames by index, not copied."""
        return [self.frames[index] for index in indices]


def read_ldr_video(path: Path, *, first: int = 0, most_frames: int = 72, longest_side: int = 960) -> Video:
    """Decode consecutive frames by OpenCV, reduced by area averaging to at most `longest_side`.

    Raises:
        DatasetError: If not one frame can be decoded.
    """
    capture = cv2.VideoCapture(str(path))
    frames: list[NDArray[np.uint8]] = []
    try:
        for _ in range(first):
            capture.grab()
        while len(frames) < most_frames:
            decoded, frame = capture.read()
            if not decoded:
                break
            frames.append(reduced(np.asarray(frame, dtype=np.uint8), longest_side)[..., ::-1])
    finally:
        capture.release()
    if not frames:
        raise DatasetError(f"{path} cannot be decoded as a video: repair it or take it out of the folder")
    return Video(path.stem, np.stack(frames))


PQ, HLG, BT2020 = 16, 18, 9  # code points of ITU-T H.273 for the transfers, and for primaries and matrix
LIMITED, FULL = 1, 2  # FFmpeg's color_range

# ITU-R BT.2087: linear BT.2020 to linear BT.709
BT2020_TO_BT709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


def hdr_transfer(path: Path) -> Literal["pq", "hlg"] | None:
    """Return the transfer that a video of BT.2020 primaries is tagged with; None if it is not HDR."""
    with open_video(path) as container:
        context = container.streams.video[0].codec_context
        transfers: dict[int, Literal["pq", "hlg"]] = {PQ: "pq", HLG: "hlg"}
        return transfers.get(context.color_trc) if context.color_primaries == BT2020 else None


def read_hdr_video(path: Path, *, first: int = 0, most_frames: int = 72, longest_side: int = 960) -> Video:
    """Decode frames of a 10-bit 4:2:0 BT.2020 video, PQ or HLG, to linear Rec.709, reduced in linear light.

    Returns:
        Float32 frames, (N, H, W, 3); 1.0 = 10,000 cd/m2 of PQ, or the brightest light of the scene that HLG can say;
        colors outside Rec.709 are clipped at 0.

    Raises:
        DatasetError: If nothing can be decoded.
    """
    frames: list[NDArray[np.float32]] = []
    with open_video(path) as container:
        is_hlg = container.streams.video[0].codec_context.color_trc == HLG
        for index, frame in enumerate(container.decode(video=0)):
            if index >= first:
                frames.append(reduced(_linear(frame, is_hlg=is_hlg), longest_side))
            if len(frames) == most_frames:
                break
    if not frames:
        raise DatasetError(f"{path} has no frame from {first} on: pass a longer video")
    return Video(path.stem, np.stack(frames))


def pq_to_linear(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the EOTF of SMPTE ST 2084: 0..1 to 0..1, where 1.0 = 10,000 cd/m2."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = np.clip(code, 0, 1) ** np.float32(1 / m2)
    return np.asarray((np.maximum(root - c1, 0) / (c2 - c3 * root)) ** np.float32(1 / m1), np.float32)


def open_video(path: Path) -> "av.container.InputContainer":
    """Open a video file by PyAV; raise a DatasetError if PyAV is missing, or the file cannot be opened as a video."""
    try:
        import av
    except ImportError as error:
        raise DatasetError(f"{path} needs the package av, which is not installed: pip install av") from error
    try:
        container = av.open(f"file:{path}")  # FFmpeg takes what is before a colon for a protocol
    except (av.FFmpegError, OSError) as error:
        raise DatasetError(f"{path} cannot be opened as a video ({error}): repair it or take it out") from error
    if not container.streams.video:
        container.close()
        raise DatasetError(f"{path} has no picture: take it out of the folder")
    return container


def _linear(frame: "av.VideoFrame", *, is_hlg: bool) -> NDArray[np.float32]:
    """Undo 4:2:0, quantisation, matrix and transfer of one frame."""
    from av.video.reformatter import Interpolation

    # FFmpeg only for the chroma samples, which it places as the file says; its own matrix is off by a code.
    wide: NDArray[Any] = frame.reformat(format="yuv444p16le", interpolation=Interpolation.BICUBIC).to_ndarray()
    codes = wide.astype(np.float32) / 64  # 10 bits
    offset, luma, chroma = (0, 1023, 1023) if frame.color_range == FULL else (64, 876, 896)
    y, cb, cr = (codes[..., 0] - offset) / luma, (codes[..., 1] - 512) / chroma, (codes[..., 2] - 512) / chroma
    # ITU-R BT.2020: 0.2627 R + 0.6780 G + 0.0593 B
    red, blue = y + 1.4746 * cr, y + 1.8814 * cb
    green = (y - 0.2627 * red - 0.0593 * blue) / 0.6780
    code = np.asarray(np.stack([red, green, blue], -1), np.float32)
    if is_hlg:  # the OETF of ITU-R BT.2100 undone: light of the scene, 0..1
        linear = hlg_oetf_inverse(torch.from_numpy(np.clip(code, 0, 1))).numpy().astype(np.float32, copy=False)
    else:
        linear = pq_to_linear(code)
    return np.maximum(linear @ BT2020_TO_BT709.T.astype(np.float32), 0)
