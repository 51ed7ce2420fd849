"""Packing of video files for OpenCV; needs PyAV."""

import shutil
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.pack_images import FRAMES_KIND, MIB, Unit, free_name, write_radiance, write_while_it_fits
from train.data.folder import FEWEST_FRAMES, FRAMES_PER_VIDEO
from train.data.images import reduced
from train.data.videos import hdr_transfer, open_video, read_hdr_video, read_ldr_video
from train.errors import DatasetError

if TYPE_CHECKING:
    import av


Codes = NDArray[np.uint8]
Thumbs = NDArray[np.float32]

LDR_KIND = "LDR videos"
CUT = f"cut after the first {FRAMES_PER_VIDEO} frames, which is all that training reads"
ENCODED_ANEW = "encoded anew by x264"
CUT_SHORTER = "cut short to fit into a part"
AS_FRAMES = "HDR videos written as sequences of Radiance .hdr frames"
LONGEST_SIDE = 960
X264 = {"crf": "12", "preset": "medium"}
# Two decoders differ by rounding and by the matrix of colors, neighboring frames by motion.
THUMB, SAME = (48, 27), 0.5


def pack_video(path: Path, target: Path, *, most_bytes: int) -> Unit | None:
    """Keep the frames that training reads: as they are where OpenCV decodes each as PyAV does, else encoded anew.

    HDR videos, which only PyAV can read, become sequences of HDR frames.

    Args:
        path: The video.
        target: Where it goes; the suffix may change.
        most_bytes: Larger ones are encoded anew, at most 960 pixels wide or high, and cut short if that is not enough.

    Returns:
        The video; None if it has less than eight frames, so that training would leave it out as well.

    Raises:
        DatasetError: If it cannot be decoded, or not made small enough.
    """
    if hdr_transfer(path):
        return _pack_hdr_video(path, target, most_bytes=most_bytes)
    frames = _decode(path, most_frames=FRAMES_PER_VIDEO + 1)
    if len(frames) < FEWEST_FRAMES:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    target, is_longer, frames = free_name(target), len(frames) > FRAMES_PER_VIDEO, frames[:FRAMES_PER_VIDEO]
    copied = _copy_first_packets if is_longer else _copy
    if copied(path, target, len(frames)) and decoded_alike(target, frames) and target.stat().st_size <= most_bytes:
        return Unit(kind=LDR_KIND, files=(target,), changes=(CUT,) if is_longer else ())
    target.unlink(missing_ok=True)
    return _encode_to_fit(free_name(target.with_suffix(".mp4")), frames, most_bytes=most_bytes)


def decoded_alike(path: Path, frames: list[Codes]) -> bool:
    """Return whether OpenCV decodes a video to these frames, in this order.

    Args:
        path: The video; what it has beyond is not looked at.
        frames: R, G, B, (H, W, 3) each, as another decoder gave them.
    """
    try:
        read = read_ldr_video(path, most_frames=len(frames), longest_side=LONGEST_SIDE).frames
    except DatasetError:
        return False
    if len(read) != len(frames):
        return False
    ours, theirs = _thumbs(list(read)), _thumbs(frames)
    if (read.shape[1] < read.shape[2]) != (frames[0].shape[0] < frames[0].shape[1]):
        return False
    return all(_is_nearest(ours[index], theirs, index) for index in range(len(ours)))


def _is_nearest(thumb: Thumbs, others: Thumbs, index: int) -> bool:
    first = max(0, index - 2)
    distances = np.abs(others[first : index + 3] - thumb).mean((1, 2))
    return bool(distances[index - first] <= distances.min() + SAME)


def _thumbs(frames: list[Codes]) -> Thumbs:
    grays = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    return np.stack([cv2.resize(gray, THUMB, interpolation=cv2.INTER_AREA) for gray in grays]).astype(np.float32)


def _decode(path: Path, *, most_frames: int) -> list[Codes]:
    """Decode the first frames by PyAV, upright, R, G, B."""
    import av

    try:
        with open_video(path) as container:
            return [_upright(frame) for frame in islice(container.decode(video=0), most_frames)]
    except av.FFmpegError as error:
        raise DatasetError(f"{path} cannot be decoded ({error}): repair it or take it out of the folder") from error


def _upright(frame: "av.VideoFrame") -> Codes:
    # more than one thread of swscale can corrupt rows that are not aligned
    codes = frame.reformat(format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(codes, frame.rotation // 90), np.uint8)


def _copy(path: Path, target: Path, _frames: int) -> bool:
    shutil.copyfile(path, target)
    return True


def _copy_first_packets(path: Path, target: Path, frames: int) -> bool:
    """Copy packets as they are until the first frames in order of time are among them; return whether that can be."""
    import av

    with open_video(path) as scout:
        missing = {frame.pts for frame in islice(scout.decode(video=0), frames)}
    try:
        with open_video(path) as source, av.open(str(target), "w") as copy:
            stream = source.streams.video[0]
            copied = copy.add_stream_from_template(stream)
            for packet in source.demux(stream):
                if not missing or packet.size == 0:  # an empty one is the last
                    break
                missing.discard(packet.pts)
                packet.stream = copied
                copy.mux(packet)
    except (av.FFmpegError, ValueError):
        return False  # a container that cannot hold the stream, or packets without times
    return True


def _encode_to_fit(target: Path, frames: list[Codes], *, most_bytes: int) -> Unit:
    small = [_even(reduced(frame, LONGEST_SIDE)) for frame in frames]
    count = len(small)
    while count >= FEWEST_FRAMES:
        _encode(target, small[:count])
        if target.stat().st_size <= most_bytes:
            changes = (ENCODED_ANEW, CUT_SHORTER) if count < len(small) else (ENCODED_ANEW,)
            if not decoded_alike(target, small[:count]):
                raise DatasetError(f"{target.name}: OpenCV decodes other frames than PyAV: take it out of the folder")
            return Unit(kind=LDR_KIND, files=(target,), changes=changes)
        count //= 2
    raise DatasetError(
        f"{target.name}: {FEWEST_FRAMES} of its frames take more than {most_bytes / MIB:g} MiB: "
        "pass a larger --part-mib"
    )


def _encode(target: Path, frames: list[Codes]) -> None:
    import av

    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(24), options=X264)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for codes in frames:
            frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format="yuv420p", threads=1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _even(codes: Codes) -> Codes:
    return np.ascontiguousarray(codes[: codes.shape[0] // 2 * 2, : codes.shape[1] // 2 * 2])


def _pack_hdr_video(path: Path, target: Path, *, most_bytes: int) -> Unit | None:
    frames = read_hdr_video(path, most_frames=FRAMES_PER_VIDEO, longest_side=LONGEST_SIDE).frames
    if len(frames) < FEWEST_FRAMES:
        return None
    if frames.shape[2] == 2 * frames.shape[1]:
        frames = frames[:, :, 1:-1]  # a picture twice as wide as high would pass for a panorama
    names = [f"frame_{number:04d}" for number in range(len(frames))]
    files = write_while_it_fits(
        names,
        free_name(target.with_suffix("")),
        write=lambda index, path: write_radiance(path, frames[index]),
        most_bytes=most_bytes,
    )
    changes = (AS_FRAMES, CUT_SHORTER) if len(files) < len(names) else (AS_FRAMES,)
    return Unit(kind=FRAMES_KIND, files=files, changes=changes)
