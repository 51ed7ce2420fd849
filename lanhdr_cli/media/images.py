"""Single pictures: reading of PNG, TIFF, JPEG, OpenEXR, BMP and camera raw, writing of PNG."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from PIL.BmpImagePlugin import BmpImageFile
from torch import Tensor

from lanhdr_cli.media.advice import PICTURE_KINDS
from lanhdr_cli.media.camera_raw import WhiteBalance, read_raw, read_raw_header
from lanhdr_cli.media.details import RAW
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import complete_file, is_camera_raw
from lanhdr_cli.media.yuv import coding_of, is_transparent, to_rgb
from model.exposure import to_ldr
from train.data.exif import (
    IMAGE_LENGTH,
    IMAGE_WIDTH,
    ORIENTATION,
    TILE_WIDTH,
    ShotExposure,
    image_tags,
    open_image,
    read_tags,
    shot_exposure,
)

EXR_MAGIC = b"\x76\x2f\x31\x01"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
RAW_BITS = 12  # encoded with 1/2.2 they tell as many shadows apart as the 14 linear ones of a sensor
SIDEWAYS = (5, 6, 7, 8)  # values of the orientation tag that swap width and height
DAMAGED = "replace it, or remove it and pass --on-missing skip or repeat"


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """Size of an upright picture, its exposure, and the camera's white balance where it is raw."""

    width: int
    height: int
    shot: ShotExposure
    white_balance: WhiteBalance | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


def read_header(path: Path) -> PictureHeader:
    """Read the header of a picture; its content decides of which kind it is, not its name, except for camera raw.

    Raises:
        MediaError: If it is none of them, or damaged.
    """
    try:
        if is_camera_raw(path):
            raw = read_raw_header(path)
            return PictureHeader(**vars(raw))
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            header = _exr_header(file) if magic == EXR_MAGIC else _coded_header(file, is_tiff=magic in TIFF_MAGICS)
    except (OSError, SyntaxError, KeyError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "its header is damaged"
        raise MediaError(f"{path} can't be read as a picture ({reason}): replace or remove it") from error
    if header is None:
        reason = f"it is none of {PICTURE_KINDS}" if magic else "it is empty"
        raise MediaError(f"{path} can't be read as a picture ({reason}): replace or remove it")
    return header


def _coded_header(file: BinaryIO, *, is_tiff: bool) -> PictureHeader | None:
    if is_tiff:
        tags = read_tags(file)
        if TILE_WIDTH in tags:  # FFmpeg would make black of them
            raise MediaError(f"{file.name} is a TIFF in tiles, which can't be read: write it in strips")
        width, height = int(tags[IMAGE_WIDTH]), int(tags[IMAGE_LENGTH])
    elif image := open_image(file):
        tags, (width, height) = image_tags(image), image.size
    elif file.read(2) == b"BM":
        file.seek(0)
        tags, (width, height) = {}, BmpImageFile(file).size
    else:
        return None
    if width < 1 or height < 1:
        raise ValueError("no size")
    if tags.get(ORIENTATION) in SIDEWAYS:
        width, height = height, width
    return PictureHeader(width=width, height=height, shot=shot_exposure(tags))


def _exr_header(file: BinaryIO) -> PictureHeader:
    import OpenEXR

    with OpenEXR.File(file, header_only=True) as picture:
        header = dict(picture.header())  # the file empties its own on closing
    lowest, highest = header["dataWindow"]
    width, height = (int(high - low) + 1 for low, high in zip(lowest, highest, strict=True))
    values = (header.get(name) for name in ("expTime", "isoSpeed", "aperture"))
    time, iso, stop = (float(value) if isinstance(value, int | float) and value > 0 else None for value in values)
    return PictureHeader(width=width, height=height, shot=ShotExposure(time_s=time, iso=iso, f_number=stop))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a file.

    Args:
        image: Encoded R, G, B, 0..1, upright, float32, (3, H, W).
        format: Codec and layout of the samples in words.
        bits: Bits of a code.
        share_above_one: Share of linear values above 1.0, which are clipped here; 0 for encoded pictures.
        transparent: Whether it has an alpha that is not opaque, which is left out.
    """

    image: Tensor
    format: str
    bits: int = 8
    share_above_one: float = 0.0
    transparent: bool = False


def read_picture(
    path: Path, *, reformatter: VideoReformatter | None = None, white_balance: WhiteBalance | None = None
) -> Picture:
    """Decode a picture.

    OpenEXR and camera raw are linear already, and are encoded with 1/2.2, as if a camera of this response had made
    them. A clip level can't be seen in OpenEXR; 1.0 is taken for it.

    Args:
        reformatter: Keeps swscale's state from picture to picture.
        white_balance: For camera raw, None for daylight.

    Raises:
        MediaError: If it can't be read.
    """
    if is_camera_raw(path):
        return Picture(image=to_ldr(read_raw(path, white_balance), 1.0), format=f"{RAW} rgb48le", bits=RAW_BITS)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} can't be read ({error.strerror}): check the file") from error
    if data.startswith(EXR_MAGIC):
        return _read_exr(path, data)
    # From memory: FFmpeg would read a % in a file's name as the number of a sequence.
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            if stream.codec_context.name == "mjpeg":
                # Without it the end of a JPEG that was cut off is filled in with gray, silently.
                stream.codec_context.options = {"err_detect": "explode"}
            frame = next(container.decode(stream))
            name = stream.codec_context.name
    except (av.FFmpegError, IndexError, StopIteration) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error
    try:
        coding = coding_of(frame)
        image = to_rgb(frame, coding, reformatter=reformatter or VideoReformatter())
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    turns = round(frame.rotation / 90) % 4
    upright = torch.rot90(image, turns, (1, 2)).contiguous() if turns else image
    return Picture(
        image=upright,
        format=f"{name} {frame.format.name}",
        bits=max(8, coding.bits),
        transparent=is_transparent(frame),
    )


def _read_exr(path: Path, data: bytes) -> Picture:
    import OpenEXR

    try:
        with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
            channels = {name: np.array(channel.pixels, np.float32) for name, channel in file.channels().items()}
            kind = next(iter(file.channels().values())).type()
    except (RuntimeError, ValueError, StopIteration) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error
    names = ("R", "G", "B") if "R" in channels else ("Y", "Y", "Y")
    if not set(names) <= set(channels):
        others = ", ".join(sorted(channels))
        raise MediaError(f"{path} has no channels R, G and B ({others}): write them as its first layer")
    linear = torch.from_numpy(np.stack([channels[name] for name in names])).nan_to_num_(nan=0.0)  # (3, H, W)
    kind_name = str(kind).rpartition(".")[2].lower()
    above = float((linear > 1).float().mean())
    return Picture(image=to_ldr(linear, 1.0), format=f"exr {kind_name}", share_above_one=above)


def write_png(path: Path, picture: Tensor) -> None:
    """Write an 8-bit picture, sRGB-encoded, 0..1, (3, H, W); the file appears only when complete."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    codes = picture.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()  # (H, W, 3)
    tags = PngInfo()
    tags.add(b"sRGB", b"\0")
    with complete_file(path) as unfinished:
        Image.fromarray(codes.numpy()).save(unfinished, format="PNG", pnginfo=tags)
