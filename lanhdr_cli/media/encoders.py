"""The encoders that lanhdr can use: what each takes, and where its stream may go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from av.codec import Codec
from av.codec.codec import UnknownCodecError

from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.formats import CONTAINERS, container_of
from lanhdr_cli.media.grading import Grading
from lanhdr_cli.media.yuv_planes import FORMATS

BT2020_PRIMARIES, PQ_TRANSFER, HLG_TRANSFER = 9, 16, 18  # ITU-T H.273 tables 2 and 3
# Colors and light are said by lanhdr, which knows them; names of x265 and SVT-AV1.
OURS = (
    "colorprim",
    "transfer",
    "colormatrix",
    "range",
    "chromaloc",
    "master-display",
    "max-cll",
    "hdr10",
    "videoformat",
    "color-primaries",
    "transfer-characteristics",
    "matrix-coefficients",
    "color-range",
    "chroma-sample-position",
    "mastering-display",
    "content-light",
    "x265-params",
    "svtav1-params",
)

NEEDS_NVIDIA = "it needs an NVIDIA GPU with an encoder and its driver: pass --codec {}"


@dataclass(frozen=True)
class Encoder:
    """One way to encode video.

    Args:
        library: FFmpeg's name of the encoder.
        decoder: FFmpeg's name of the decoder for what it makes.
        pixels: Pixel formats, the usual first.
        containers: FFmpeg's names of what its stream may go into.
        tag: Of its stream in mp4 and mov; None for FFmpeg's choice.
        presets: Whether it takes `--preset`, and the usual one.
        quality: Option that `--crf` stands for, None if it has none, and the usual value.
        parameters: Option that holds the library's own parameters, None if they are options themselves.
        fixed: Options that are always set.
        narrowest: Least width of a picture.
        advice: What to do if it does not start.
    """

    library: str
    decoder: str
    pixels: tuple[str, ...]
    containers: tuple[str, ...] = ("mp4", "mov", "matroska")
    tag: str | None = None
    preset: str | None = None
    quality: str | None = None
    usual_quality: float = 0.0
    parameters: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    narrowest: int = 16
    advice: str = "check --crf, --preset and --enc"


ENCODERS = {
    "hevc": Encoder(
        "libx265",
        "hevc",
        ("yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le"),
        tag="hvc1",  # Apple's players take no hev1
        narrowest=64,  # x265 4.2 writes behind its memory where a row of half size has less than four 8x8 blocks
        preset="medium",
        quality="crf",
        usual_quality=18,
        parameters="x265-params",
    ),
    "av1": Encoder(
        "libsvtav1",
        "libdav1d",
        ("yuv420p10le",),
        ("mp4", "matroska"),
        preset="8",
        quality="crf",
        usual_quality=22,
        parameters="svtav1-params",
    ),
    "prores-4444": Encoder("prores_ks", "prores", ("yuv444p10le",), ("mov", "matroska"), fixed={"profile": "4"}),
    "prores-422hq": Encoder("prores_ks", "prores", ("yuv422p10le",), ("mov", "matroska"), fixed={"profile": "3"}),
    "ffv1": Encoder(
        "ffv1",
        "ffv1",
        ("yuv444p12le", "yuv444p10le", "gbrp12le", "gbrp10le", "yuv422p10le", "yuv420p10le"),
        ("matroska",),
        fixed={"level": "3", "slicecrc": "1", "slices": "4"},
    ),
    "hevc_nvenc": Encoder(
        "hevc_nvenc",
        "hevc",
        ("p010le",),
        tag="hvc1",
        preset="p5",
        quality="cq",
        usual_quality=19,
        fixed={"profile": "main10", "rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("hevc"),
    ),
    "av1_nvenc": Encoder(
        "av1_nvenc",
        "libdav1d",
        ("p010le",),
        ("mp4", "matroska"),
        preset="p5",
        quality="cq",
        usual_quality=24,
        fixed={"rc": "vbr", "b": "0"},
        advice=NEEDS_NVIDIA.format("av1"),
    ),
}


@dataclass(frozen=True)
class EncodingWishes:
    """What the user says of encoding.

    Args:
        codec: A key of `ENCODERS`.
        crf: Constant quality, lower is better; None for the usual.
        preset: Speed, in the encoder's words; None for the usual.
        pixels: Pixel format; None for the usual.
        parameters: More parameters of the encoder.
        threads: Threads of the encoder, None for its own choice.
    """

    codec: str = "hevc"
    crf: float | None = None
    preset: str | None = None
    pixels: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    threads: int | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder itself."""
        return ENCODERS[self.codec]

    @property
    def pixel_format(self) -> str:
        """Pixel format, the usual one if none is wished."""
        return self.pixels or self.encoder.pixels[0]


def check_wishes(wishes: EncodingWishes, target: PurePath) -> None:
    """Make sure that an encoder can do what is wished, and that its stream fits the file.

    Raises:
        MediaError: If not.
    """
    encoder, codec = wishes.encoder, wishes.codec
    container = container_of(target)
    if container not in encoder.containers:
        fitting = " or ".join(suffix for suffix, name in CONTAINERS.items() if name in encoder.containers)
        other = next(name for name, other in ENCODERS.items() if container in other.containers)
        raise MediaError(
            f"-o {target}: {codec} does not go into {container}: name a {fitting} file or pass --codec {other}"
        )
    if wishes.crf is not None and encoder.quality is None:
        raise MediaError(f"--crf {wishes.crf:g}: {codec} has no such setting: leave it out")
    if wishes.preset is not None and encoder.preset is None:
        raise MediaError(f"--preset {wishes.preset}: {codec} has no presets: leave it out")
    if wishes.pixel_format not in encoder.pixels:
        raise MediaError(f"--pix-fmt {wishes.pixels}: {codec} takes {', '.join(encoder.pixels)}")
    for key, value in wishes.parameters:
        if key in OURS:
            raise MediaError(f"--enc {key}={value}: lanhdr sets this itself: leave it out (see lanhdr convert --help)")
        if encoder.parameters and ":" in value:
            raise MediaError(f"--enc {key}={value}: a colon begins another parameter: pass --enc once for each")
    try:
        Codec(encoder.library, "w")
    except UnknownCodecError:
        raise MediaError(f"--codec {codec}: this build of PyAV has no {encoder.library}: pass another codec") from None


def encoder_options(wishes: EncodingWishes, grading: Grading) -> dict[str, str]:
    """Options for FFmpeg."""
    encoder = wishes.encoder
    options = dict(encoder.fixed)
    if encoder.quality is not None:
        options[encoder.quality] = f"{encoder.usual_quality if wishes.crf is None else wishes.crf:g}"
    if encoder.preset is not None:
        options["preset"] = wishes.preset or encoder.preset
    if encoder.parameters is None:
        return options | dict(wishes.parameters)
    own = _library_parameters(wishes, grading)
    options[encoder.parameters] = ":".join(f"{key}={value}" for key, value in (*wishes.parameters, *own.items()))
    return options


def _library_parameters(wishes: EncodingWishes, grading: Grading) -> dict[str, str]:
    """What x265 and SVT-AV1 write into the stream; chroma on the top left, as ITU-R BT.2020-2 table 4 has it."""
    subsampled = FORMATS[wishes.pixel_format].down == 2
    transfer = HLG_TRANSFER if grading.hlg else PQ_TRANSFER
    threads = str(wishes.threads) if wishes.threads else None
    if wishes.encoder.library == "libsvtav1":
        lines = {"color-primaries": "9", "transfer-characteristics": str(transfer), "matrix-coefficients": "9"}
        lines |= {"color-range": "0", "chroma-sample-position": "2"}
        return lines | ({"lp": threads} if threads else {})
    lines = {"colorprim": "bt2020", "transfer": "arib-std-b67" if grading.hlg else "smpte2084"}
    lines |= {"colormatrix": "bt2020nc", "range": "limited", "info": "0", "log-level": "none"}
    if subsampled:
        lines["chromaloc"] = "2"
    if not grading.hlg:
        lines["hdr10-opt"] = "1"
    return lines | ({"pools": threads} if threads else {})
