"""Intact inputs that a fuzzer damages: small clips, sequences of pictures, files beside a clip, and weights."""

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model.network import LanHdr, NetworkConfig
from model.pretrained import PUBLISHED_PREFIXES, build_network, save_network

Kind = Literal["clip", "pictures", "text", "json", "table", "safetensors", "checkpoint"]
SIZE = (64, 48)
EXPOSURES = (1.0, 8.0) * 4
SLASH = "{folder}/"  # stands for the folder of a case in its arguments


@dataclass(frozen=True, kw_only=True)
class Seed:
    """An intact input.

    Args:
        name: What it is, e.g. `h264.mp4`.
        files: Content by name below the folder of a case.
        damaged: Names of the files that may be damaged.
        commands: Arguments of `lanhdr`, one of which is chosen per case.
        frames: Number of frames that a conversion makes of it; None where this says nothing.
    """

    name: str
    kind: Kind
    files: dict[str, bytes]
    damaged: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    frames: int | None = None


def scene(exposure: float, place: int) -> NDArray[np.uint8]:
    """A picture of a ramp with a moving square, R, G, B, (H, W, 3)."""
    width, height = SIZE
    light = (
        np.exp2(np.linspace(-7, 0, width))[None, :, None] * np.linspace(0.6, 1, 3)[None, None] * np.ones((height, 1, 1))
    )
    light[10:26, 4 + 3 * place : 20 + 3 * place] = (0.02, 0.05, 0.12)
    codes: NDArray[np.uint8] = ((light * exposure).clip(0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8)
    return codes


def scenes() -> list[NDArray[np.uint8]]:
    """The pictures of the clip."""
    return [scene(exposure, place) for place, exposure in enumerate(EXPOSURES)]


def linear(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn codes into light."""
    return np.asarray((codes / 255.0) ** 2.2, np.float32)


# Encoder, layout, suffix, options. Short groups of pictures, so that damage has somewhere to go.
ENCODINGS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "h264.mp4": ("libx264", "yuv420p", "mp4", {"preset": "ultrafast", "crf": "12", "g": "4"}),
    "h264.mkv": ("libx264", "yuv420p", "mkv", {"preset": "veryfast", "crf": "12", "bf": "2"}),
    "h264.ts": ("libx264", "yuv420p", "ts", {"preset": "ultrafast", "crf": "12", "g": "4"}),
    "hevc.mp4": ("libx265", "yuv420p", "mp4", {"preset": "ultrafast", "x265-params": "log-level=none:pools=none"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", "avi", {"qscale": "2", "g": "4"}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", "ts", {"qscale": "2", "g": "4"}),
    "prores.mov": ("prores_ks", "yuv422p10le", "mov", {"profile": "2"}),
    "ffv1.mkv": ("ffv1", "yuv444p", "mkv", {"level": "3", "slicecrc": "1"}),
    "mjpeg.avi": ("mjpeg", "yuvj422p", "avi", {"qscale": "2"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "webm", {"cpu-used": "8", "deadline": "realtime", "crf": "12"}),
    "av1.mkv": ("libsvtav1", "yuv420p", "mkv", {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}),
    "dnxhr.mxf": ("dnxhd", "yuv422p", "mxf", {"profile": "dnxhr_sq"}),
    "raw.mov": ("rawvideo", "yuyv422", "mov", {}),
}


def write_clip(path: Path, codec: str, layout: str, options: dict[str, str]) -> None:
    """Encode the scenes, 24 frames per second."""
    size = (256, 120) if codec == "dnxhd" else SIZE  # the smallest that it takes
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = (*size, layout)
        context = stream.codec_context
        context.colorspace, context.color_range = 1, 2 if layout.startswith("yuvj") else 1  # else there is a warning
        for number, codes in enumerate(scenes()):
            frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(*size, format=layout)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            frame.colorspace, frame.color_range = context.colorspace, context.color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def convert(*arguments: str, output: str = SLASH + "out/") -> tuple[str, ...]:
    """Arguments of a conversion on one thread."""
    return ("convert", *arguments, "-o", output, "--threads", "1", "--device", "cpu", "--no-progress")


def _clip(name: str, folder: Path) -> Seed:
    codec, layout, suffix, options = ENCODINGS[name]
    path = folder / f"clip.{suffix}"
    write_clip(path, codec, layout, options)
    source = f"{SLASH}{path.name}"
    # Encoders take their time: of one clip alone, whose times are easily damaged.
    video = (convert(source, "--exposures", "1,8", output=SLASH + "out.mkv"),) if name == "mpeg4.avi" else ()
    return Seed(
        name=name,
        kind="clip",
        files={path.name: path.read_bytes()},
        damaged=(path.name,),
        commands=(
            convert(source, "--exposures", "1,8"),
            convert(source),
            convert(source, "--exposures", "1,8", "--frames", "2-5"),
            convert(source, "--exposures", "1,8", "--strict"),
            ("inspect", source),
            *video,
        ),
        frames=len(EXPOSURES),
    )


def _pictures(name: str, suffix: str, encoded: Callable[[NDArray[np.uint8]], bytes]) -> Seed:
    files = {f"p/{number:04d}.{suffix}": encoded(codes) for number, codes in enumerate(scenes())}
    return Seed(
        name=name,
        kind="pictures",
        files=files,
        damaged=tuple(files),
        commands=(
            convert(SLASH + "p", "--exposures", "1,8"),
            convert(SLASH + "p", "--exposures", "1,8", "--on-missing", "repeat"),
            ("inspect", SLASH + "p"),
        ),
        frames=len(EXPOSURES),
    )


def encoded_picture(codes: NDArray[np.uint8], codec: str, layout: str) -> bytes:
    """Encode one picture by FFmpeg."""
    context = av.CodecContext.create(codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(format=layout)
    context.width, context.height, context.pix_fmt, context.time_base = (*SIZE, layout, Fraction(1, 24))
    return b"".join(bytes(packet) for packet in (*context.encode(frame), *context.encode(None)))


def _exr(codes: NDArray[np.uint8], folder: Path) -> bytes:
    import OpenEXR

    pixels = linear(codes).astype(np.float16)
    path = folder / "one.exr"
    with OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": pixels}) as file:
        file.write(str(path))
    return path.read_bytes()


def tiff_of_pages(pages: Sequence[NDArray[np.generic]], *, big: bool) -> bytes:
    """Write pages uncompressed, little-endian, one strip each: uint8, uint16 or floats, (H, W, 3)."""
    import struct

    wide = "Q" if big else "I"
    body = bytearray(b"II+\0\x08\0\0\0" + bytes(8) if big else b"II*\0" + bytes(4))
    link = len(body) - struct.calcsize(wide)
    for pixels in pages:
        data, bits = pixels.tobytes(), pixels.dtype.itemsize * 8
        offset = len(body)
        body += data
        three = len(body)
        body += struct.pack("<3H", bits, bits, bits) + bytes(2)
        kind = 3 if pixels.dtype.kind == "f" else 1
        entries = [
            *((256, 4, 1, pixels.shape[1]), (257, 4, 1, pixels.shape[0]), (258, 3, 3, three), (259, 3, 1, 1)),
            *((262, 3, 1, 2), (273, 16 if big else 4, 1, offset), (277, 3, 1, 3), (278, 4, 1, pixels.shape[0])),
            *((279, 16 if big else 4, 1, len(data)), (284, 3, 1, 1), (339, 3, 1, kind)),
        ]
        if big:  # three shorts fit into the entry itself
            entries[2] = (258, 3, 3, bits | bits << 16 | bits << 32)
        struct.pack_into("<" + wide, body, link, len(body))
        body += struct.pack("<Q" if big else "<H", len(entries))
        for tag, form, count, value in entries:
            body += struct.pack(f"<HH{wide}{wide}", tag, form, count, value)
        link = len(body)
        body += bytes(struct.calcsize(wide))
    return bytes(body)


def _pages(name: str, pages: Sequence[NDArray[np.generic]], *, big: bool) -> Seed:
    return Seed(
        name=name,
        kind="pictures",
        files={"pages.tif": tiff_of_pages(pages, big=big)},
        damaged=("pages.tif",),
        commands=(convert(SLASH + "pages.tif", "--exposures", "1,8"), ("inspect", SLASH + "pages.tif")),
        frames=len(pages),
    )


def _beside_clip(name: str, kind: Kind, content: bytes, option: str, clip: Seed) -> Seed:
    """A file that an option of `convert` and `inspect` names."""
    ((clip_name, data),) = clip.files.items()
    arguments = (SLASH + clip_name, option, SLASH + name)
    return Seed(
        name=name,
        kind=kind,
        files={clip_name: data, name: content},
        damaged=(name,),
        commands=(convert(*arguments),) if option == "--analysis" else (convert(*arguments), ("inspect", *arguments)),
    )


def _files_beside(folder: Path, clip: Seed, analysis: bytes) -> Iterable[Seed]:
    import scipy.io

    table = (np.linspace(0, 1, 256)[:, None] ** 2.2).repeat(3, 1)
    scipy.io.savemat(folder / "curve.mat", {"BaslerCRF": table})
    rows = "\n".join(",".join(f"{value:.6f}" for value in row) for row in table)
    cube = 'TITLE "x"\nLUT_1D_SIZE 256\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n' + rows.replace(",", " ")
    listed = "frame,exposure_time,iso\n" + "".join(f"{n},1/{400 if n % 2 else 50},100\n" for n in range(len(EXPOSURES)))
    stops = "".join(f"{0 if n % 2 else 3}\n" for n in range(len(EXPOSURES)))
    yield _beside_clip("stops.txt", "text", stops.encode(), "--exposures", clip)
    yield _beside_clip("cycle.txt", "text", b"0 3\n", "--exposures", clip)
    yield _beside_clip("list.csv", "text", listed.encode(), "--exposures", clip)
    yield _beside_clip("analysis.json", "json", analysis, "--analysis", clip)
    yield _beside_clip("curve.mat", "table", (folder / "curve.mat").read_bytes(), "--response", clip)
    yield _beside_clip("curve.csv", "text", rows.encode(), "--response", clip)
    yield _beside_clip("curve.cube", "text", cube.encode(), "--response", clip)


def save_tiny(path: Path) -> None:
    """Save the published network, narrow, with random weights."""
    torch.manual_seed(0)
    network = build_network(NetworkConfig(nexps=2, channels=8, pyramid_channels=4))
    save_network(network, path, record={"name": "tiny"}, half=False)


def _published(path: Path) -> None:
    """Save a checkpoint as the authors' program does."""
    torch.manual_seed(0)
    state = LanHdr(NetworkConfig(nexps=2, channels=8, pyramid_channels=4)).state_dict()
    renamed = {}
    for key, value in state.items():
        for theirs, ours in reversed(PUBLISHED_PREFIXES):
            key = key.replace(ours, theirs)
        renamed[key] = value
    torch.save({"iter": 7, "epoch": 1, "g": renamed}, path)


def _weights(name: str, content: bytes, clip: Seed) -> Seed:
    ((clip_name, data),) = clip.files.items()
    return Seed(
        name=name,
        kind="safetensors" if name.endswith(".safetensors") else "checkpoint",
        files={clip_name: data, name: content},
        damaged=(name,),
        commands=(
            ("weights", "verify", SLASH + name),
            ("weights", "import", SLASH + name, "-o", SLASH + "imported.safetensors"),
            convert(SLASH + clip_name, "--exposures", "1,8", "--weights", SLASH + name),
        ),
    )


def _bomb(folder: Path) -> bytes:
    """A checkpoint with an entry of 256 MiB of nothing, in 256 KiB."""
    path = folder / "bomb.pt"
    with zipfile.ZipFile(folder / "ckpt.pt") as intact, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in intact.namelist():
            content = bytes(1 << 28) if entry.endswith("/data/0") else intact.read(entry)
            bomb.writestr(entry, content)
    return path.read_bytes()


def all_seeds(folder: Path, inspected: Callable[[Path], bytes]) -> list[Seed]:
    """Make every seed.

    Args:
        folder: For files on the way; `tiny.safetensors` stays there.
        inspected: Runs `lanhdr inspect --json` on a clip.
    """
    save_tiny(folder / "tiny.safetensors")
    _published(folder / "ckpt.pt")
    clips = [_clip(name, folder) for name in ENCODINGS]
    lossless = next(clip for clip in clips if clip.name == "ffv1.mkv")
    floats = [linear(codes) for codes in scenes()]
    (folder / "clip.mkv").write_bytes(lossless.files["clip.mkv"])
    analysis = inspected(folder / "clip.mkv")
    assert json.loads(analysis)["conversion"]
    return [
        *clips,
        _pictures("png", "png", lambda codes: encoded_picture(codes, "png", "rgb24")),
        _pictures("png16", "png", lambda codes: encoded_picture(codes, "png", "rgb48be")),
        _pictures("jpeg", "jpg", lambda codes: encoded_picture(codes, "mjpeg", "yuvj444p")),
        _pictures("tiff", "tif", lambda codes: encoded_picture(codes, "tiff", "rgb48le")),
        _pictures("bmp", "bmp", lambda codes: encoded_picture(codes, "bmp", "bgr24")),
        _pictures("exr", "exr", lambda codes: _exr(codes, folder)),
        _pictures(
            "float.tiff", "tif", lambda codes: tiff_of_pages([((codes / 255.0) ** 2.2).astype(np.float32)], big=False)
        ),
        _pages("pages.tiff", scenes(), big=False),
        _pages("bigtiff", floats, big=True),
        *_files_beside(folder, lossless, analysis),
        _weights("tiny.safetensors", (folder / "tiny.safetensors").read_bytes(), lossless),
        _weights("ckpt.pt", (folder / "ckpt.pt").read_bytes(), lossless),
        _weights("bomb.pt", _bomb(folder), lossless),
    ]
