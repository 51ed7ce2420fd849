"""Single pictures: reading of PNG, TIFF, JPEG, OpenEXR, BMP and camera raw, writing of PNG."""

import io
import struct
from dataclasses import dataclass, replace
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
from lanhdr_cli.media.containers import LARGEST_PICTURE, open_media, too_large
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.paths import complete_file, is_camera_raw
from lanhdr_cli.media.stated_colors import (
    LINEAR_FLOATS,
    LINEAR_RAW,
    NOT_STATED,
    StatedColors,
    of_exr,
    of_icc,
    of_png,
    of_tiff,
)
from lanhdr_cli.media.tiff import BITS, ICC_PROFILE, MAGICS, PRIMARIES, WHITE_POINT, TiffPage, open_alone, read_pages
from lanhdr_cli.media.yuv import coding_of, is_transparent, to_rgb
from train.data.exif import ORIENTATION, ShotExposure, image_tags, open_image, read_tags, shot_exposure

EXR_MAGIC = b"\x76\x2f\x31\x01"
SIDEWAYS = (5, 6, 7, 8)  # values of the orientation tag that swap width and height
FLOAT_BITS = 16
DAMAGED = "replace it, or remove it and pass --on-missing skip or repeat"


@dataclass(frozen=True, kw_only=True)
class PictureHeader:
    """An upright picture before it is decoded: size, exposure and colors.

    Args:
        pages: The pages of a TIFF file, each of which is a frame.
        white_balance: Of the camera, where the picture is raw.
    """

    width: int
    height: int
    shot: ShotExposure
    colors: StatedColors = NOT_STATED
    pages: tuple[TiffPage | None, ...] = (None,)
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
            return PictureHeader(**vars(read_raw_header(path)), colors=LINEAR_RAW)
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            header = _exr_header(file) if magic == EXR_MAGIC else _coded_header(file, path, is_tiff=magic in MAGICS)
    except (OSError, SyntaxError, KeyError, ValueError, RuntimeError, struct.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "its header is damaged"
        raise MediaError(f"{path} can't be read as a picture ({reason}): replace or remove it") from error
    if header and header.width * header.height > LARGEST_PICTURE:
        raise MediaError(too_large(path, header.width, header.height))
    if header is None:
        reason = f"it is none of {PICTURE_KINDS}" if magic else "it is empty"
        raise MediaError(f"{path} can't be read as a picture ({reason}): replace or remove it")
    return header


def _coded_header(file: BinaryIO, path: Path, *, is_tiff: bool) -> PictureHeader | None:
    pages: tuple[TiffPage | None, ...] = (None,)
    if is_tiff:
        pages = read_pages(path)
        tags = read_tags(file)
        (width, height), turned, colors = pages[0].size, pages[0].value(ORIENTATION), _tiff_colors(pages[0])
    elif image := open_image(file):
        tags, (width, height) = image_tags(image), image.size
        turned, profile = int(tags.get(ORIENTATION, 0)), image.info.get("icc_profile")
        colors = of_png(file) if image.format == "PNG" else of_icc(profile) if profile else NOT_STATED
    elif file.read(2) == b"BM":
        file.seek(0)
        tags, turned, colors = {}, 0, NOT_STATED
        width, height = BmpImageFile(file).size
    else:
        return None
    if width < 1 or height < 1:
        raise ValueError("no size")
    if turned in SIDEWAYS:
        width, height = height, width
    return PictureHeader(width=width, height=height, shot=shot_exposure(tags), colors=colors, pages=pages)


def _tiff_colors(page: TiffPage) -> StatedColors:
    _, profile = page.fields.get(ICC_PROFILE, (0, b""))
    stated = of_icc(profile) if profile else of_tiff(page.values(WHITE_POINT), page.values(PRIMARIES))
    return replace(LINEAR_FLOATS, gamut=stated.gamut) if page.is_float else stated


def _exr_header(file: BinaryIO) -> PictureHeader:
    import OpenEXR

    with OpenEXR.File(file, header_only=True) as picture:
        header = dict(picture.header())  # the file empties its own on closing
    lowest, highest = header["dataWindow"]
    width, height = (int(high - low) + 1 for low, high in zip(lowest, highest, strict=True))
    values = (header.get(name) for name in ("expTime", "isoSpeed", "aperture"))
    time, iso, stop = (float(value) if isinstance(value, int | float) and value > 0 else None for value in values)
    shot = ShotExposure(time_s=time, iso=iso, f_number=stop)
    return PictureHeader(width=width, height=height, shot=shot, colors=of_exr(header.get("chromaticities")))


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a file.

    Args:
        image: R, G, B as they are encoded, 0..1, upright, float32, (3, H, W).
        format: Codec and layout of the samples in words.
        bits: Bits of a code; half floats count as 16 bits, others too.
        is_float: Whether it holds linear light, not codes.
        share_above_one: Share of floats above 1.0, which are clipped here.
        no_numbers: Number of floats that are NaN or infinite.
        transparent: Whether it has an alpha that is not opaque, which is left out.
    """

    image: Tensor
    format: str
    bits: int = 8
    is_float: bool = False
    share_above_one: float = 0.0
    no_numbers: int = 0
    transparent: bool = False


def read_picture(
    path: Path,
    page: TiffPage | None = None,
    *,
    reformatter: VideoReformatter | None = None,
    white_balance: WhiteBalance | None = None,
) -> Picture:
    """Decode a picture.

    Floats of OpenEXR and TIFF and camera raw are linear. A clip level can't be seen in floats; 1.0 is taken for it.

    Args:
        page: One of the header's pages, None for the first.
        reformatter: Keeps swscale's state from picture to picture.
        white_balance: For camera raw, None for daylight.

    Raises:
        MediaError: If it can't be read.
    """
    if is_camera_raw(path):
        return _of_floats(read_raw(path, white_balance), "raw rgb48le")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            data = io.BytesIO() if magic in MAGICS else io.BytesIO(magic + file.read())
        if magic == EXR_MAGIC:
            return _read_exr(path, data.getvalue())
        if magic in MAGICS:
            page = page or read_pages(path)[0]
            data = open_alone(path, page)
    except OSError as error:
        raise MediaError(f"{path} can't be read ({error.strerror}): check the file") from error
    except (ValueError, struct.error) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error
    try:
        return _decoded(data, page, reformatter=reformatter or VideoReformatter())
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error
    except (av.FFmpegError, IndexError, StopIteration, ValueError) as error:
        raise MediaError(f"{path} is damaged or of an unknown kind: {DAMAGED}") from error


def _decoded(data: BinaryIO, page: TiffPage | None, *, reformatter: VideoReformatter) -> Picture:
    # From memory: FFmpeg would read a % in a file's name as the number of a sequence.
    with open_media(data) as container:
        stream = container.streams.video[0]
        options = {"max_pixels": str(LARGEST_PICTURE)}
        if stream.codec_context.name == "mjpeg":
            # Without it the end of a JPEG that was cut off is filled in with gray, silently.
            options["err_detect"] = "explode"
        stream.codec_context.options = options
        frame = next(container.decode(stream))
        name = stream.codec_context.name
    turns = round(frame.rotation / 90) % 4
    if page and page.is_float:
        values = page.floats(np.asarray(frame.to_ndarray(format="gray"), np.uint8))
        linear = torch.from_numpy(values[..., :3] if page.channels > 2 else values[..., :1].repeat(3, -1))
        picture = _of_floats(linear.permute(2, 0, 1), f"{name} float{page.value(BITS)}")
    else:
        coding = coding_of(frame)
        image = to_rgb(frame, coding, reformatter=reformatter)
        picture = Picture(
            image=image,
            format=f"{name} {frame.format.name}",
            bits=max(8, coding.bits),
            transparent=is_transparent(frame),
        )
    return replace(picture, image=torch.rot90(picture.image, turns, (1, 2)).contiguous()) if turns else picture


def _of_floats(linear: Tensor, name: str) -> Picture:
    """Clip floats, (3, H, W), to 0..1; NaN becomes 0, as negative infinity does."""
    no_numbers = int(linear.isfinite().logical_not_().sum())
    linear = linear.nan_to_num(nan=0.0)
    above = float((linear > 1).float().mean())
    image = linear.clamp(0, 1).contiguous()
    return Picture(
        image=image, format=name, bits=FLOAT_BITS, is_float=True, share_above_one=above, no_numbers=no_numbers
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
    linear = torch.from_numpy(np.stack([channels[name] for name in names]))  # (3, H, W)
    return _of_floats(linear, f"exr {str(kind).rpartition('.')[2].lower()}")


def write_png(path: Path, picture: Tensor) -> None:
    """Write an 8-bit picture, sRGB-encoded, 0..1, (3, H, W); the file appears only when complete."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    codes = picture.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous()  # (H, W, 3)
    tags = PngInfo()
    tags.add(b"sRGB", b"\0")
    with complete_file(path) as unfinished:
        Image.fromarray(codes.numpy()).save(unfinished, format="PNG", pnginfo=tags)
