"""What compression leaves of pictures: JPEG frame by frame, or H.264 over consecutive frames."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

Codes = NDArray[np.uint8]

# as a camera encodes: no frames out of order, a whole picture now and then
X264_OPTIONS = {"preset": "superfast", "tune": "zerolatency", "bf": "0", "g": "12", "threads": "1"}


def jpeg_passed(frames: Codes, qualities: Sequence[int]) -> Codes:
    """Compress and decompress every frame as a JPEG with 4:2:0 chroma.

    Args:
        frames: R, G, B, (T, H, W, 3).
        qualities: 1 to 100, T of them.
    """
    return np.stack([_jpeg(frame, quality) for frame, quality in zip(frames, qualities, strict=True)])


def _jpeg(codes: Codes, quality: int) -> Codes:
    """Compress and decompress; the order of the channels matters to JPEG, OpenCV wants B, G, R."""
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, data = cv2.imencode(".jpg", codes[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def pyav_available() -> bool:
    """Whether PyAV is installed, which nothing else in training needs."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def h264_passed(frames: Codes, crf: int) -> Codes:
    """Encode frames as one H.264 clip with 4:2:0 chroma by x264, and decode it; needs PyAV.

    Alternating exposures are what its motion search is worst at, so dark texture goes first, as in camera files.

    Args:
        frames: R, G, B, (T, H, W, 3).
        crf: Constant rate factor of x264: 18 is near transparent, 30 is poor.
    """
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    stream = io.BytesIO()
    _encode(stream, even, crf)
    stream.seek(0)
    return np.stack(_decode(stream))[:, :height, :width]


def _encode(stream: io.BytesIO, frames: Codes, crf: int) -> None:
    import av
    from av.video.stream import VideoStream

    with av.open(stream, "w", format="h264") as container:
        track = container.add_stream("libx264", rate=Fraction(24), options=X264_OPTIONS | {"crf": str(crf)})
        assert isinstance(track, VideoStream)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(track.encode(_packed(frame)))
        container.mux(track.encode(None))


def _decode(stream: io.BytesIO) -> list[Codes]:
    import av

    with av.open(stream, "r", format="h264") as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [_unpacked(frame) for frame in container.decode(video=0)]


def _packed(frame: Codes) -> "av.VideoFrame":
    """Make Y'CbCr 4:2:0 of R, G, B; full range, which the encoder neither knows nor minds."""
    import av

    luma, red, blue = cv2.split(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2YCrCb))
    half = (luma.shape[1] // 2, luma.shape[0] // 2)
    chroma = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA).reshape(-1) for plane in (blue, red)]
    planes = np.concatenate([luma.reshape(-1), *chroma]).astype(np.uint8)
    return av.VideoFrame.from_ndarray(planes.reshape(-1, luma.shape[1]), format="yuv420p")


def _unpacked(frame: "av.VideoFrame") -> Codes:
    planes = np.asarray(frame.to_ndarray(), np.uint8)
    count = frame.height * frame.width
    half = (frame.height // 2, frame.width // 2)
    blue, red = planes.reshape(-1)[count:].reshape(2, *half)
    whole = [cv2.resize(plane, (frame.width, frame.height)) for plane in (red, blue)]
    return np.asarray(cv2.cvtColor(cv2.merge([planes[: frame.height], *whole]), cv2.COLOR_YCrCb2RGB), np.uint8)
