"""What `lanhdr convert` is asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from lanhdr_cli.camera import CameraWishes
from lanhdr_cli.media.hdr10 import VideoWishes
from lanhdr_cli.media.source import Reading
from lanhdr_cli.params import FrameRange
from model.bundled import Size
from model.exposure import ExposureCycle


@dataclass(frozen=True)
class Request:
    """What is to be converted, and how.

    Args:
        source: The clip.
        output: What `-o` says.
        cycle: Exposures, from the clip's first frame on; None to find them.
        exposure_list: File that lists them instead.
        slips: Whether to look for missing and doubled frames.
        deflicker: Whether given exposures may be corrected by what the frames show.
        overwrite: Whether existing files may be replaced.
        weights: File of weights, None for the bundled ones.
        size: Which of the bundled ones, None for the one that suits the device.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        frames: Which frames.
        preview: Where to put a preview, if anywhere.
        threads: Threads that compute and decode, None for the default.
        scale: Replaces the factor from radiance to file values, which is the longest exposure.
        start_number: Number of the first file, None to count from the clip's start.
        reading: How to read the clip.
        camera: What is known of the camera.
        colorspace: Primaries of EXR files.
        video: How to encode a video.
        show_progress: Whether to tell how far it is.
    """

    source: Path
    output: str
    cycle: ExposureCycle | None = None
    exposure_list: Path | None = None
    slips: bool = True
    deflicker: bool = True
    overwrite: bool = False
    weights: Path | None = None
    size: Size | None = None
    device: str = "auto"
    frames: FrameRange = field(default_factory=FrameRange)
    preview: Path | None = None
    threads: int | None = None
    scale: float | None = None
    start_number: int | None = None
    reading: Reading = field(default_factory=Reading)
    camera: CameraWishes = field(default_factory=CameraWishes)
    colorspace: str = "rec709"
    video: VideoWishes = field(default_factory=VideoWishes)
    show_progress: bool = False

    @property
    def factor(self) -> float:
        """What radiance is multiplied by; by default the clip level of the longest exposure becomes 1.0."""
        return self.scale or max(self.known_cycle.ratios)

    @property
    def known_cycle(self) -> ExposureCycle:
        """The exposures, once they are known."""
        assert self.cycle is not None
        return self.cycle
