"""The job of `lanhdr convert`: from a clip to EXR frames or a video, and a preview."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from lanhdr_cli.camera import Camera, CameraWishes, encoded_for_network, find_camera, in_rec709
from lanhdr_cli.console import frame_progress
from lanhdr_cli.destination import Destination, HdrWriter, origin_of, plan_destination
from lanhdr_cli.device import DeviceError, resolve_device
from lanhdr_cli.exposures import Look, checked_exposures, estimated_exposures, flicker_told, known_exposures
from lanhdr_cli.first_look import FirstLook
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord
from lanhdr_cli.media.paths import check_output, check_preview, prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import FrameRange
from lanhdr_cli.pipeline import FrameReconstructor, Prefetch, reconstructed
from lanhdr_cli.preview import open_preview
from model.errors import WeightsError
from model.exposure import ExposureCycle, FrameExposures
from model.pretrained import Size, bundled_path, check_size, load_network
from model.reconstruct import Reconstructor
from train.environment import lanhdr_version


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
    video: VideoOptions = field(default_factory=VideoOptions)
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


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A network that is ready.

    Args:
        reconstructor: The network, streaming.
        name: Name of the weights.
        margin: Frames outside a range that its results depend on, at either side.
    """

    reconstructor: FrameReconstructor
    name: str
    margin: int


def check_weights(request: Request) -> None:
    """Refuse weights that are not there before the clip is looked at; which are needed, its exposures tell."""
    if request.weights and not request.weights.is_file():
        raise WeightsError(f"{request.weights} is not there: pass --weights with a .safetensors file or a ckpt.pt")
    if request.size and not request.weights:
        check_size(request.size)


def load_reconstructor(request: Request) -> Loaded:
    """Load the weights that a request names, or the bundled ones for its exposures.

    Raises:
        WeightsError: If there are none, or they don't fit.
        DeviceError: If the device is not there.
    """
    device = resolve_device(request.device)
    nexps = len(set(request.known_cycle.ratios))
    path = request.weights or bundled_path(nexps=nexps, size=request.size, on_gpu=device.type != "cpu")
    pretrained = load_network(path, nexps=nexps)
    logger.debug("weights %s on %s", pretrained.name, device)
    # One period more than the window reaches: a frame's state may depend on the frame before.
    margin = pretrained.network.config.window_length // 2 + request.known_cycle.period
    return Loaded(Reconstructor(pretrained.network, device=device), pretrained.name, margin)


DECODED_AHEAD = 2


@dataclass(frozen=True)
class Summary:
    """What was done.

    Args:
        frames: Number of frames written.
        seconds: Time from the first frame's decoding to the last file.
        outcome: What was made.
    """

    frames: int
    seconds: float
    outcome: str

    def __str__(self) -> str:
        fps = self.frames / max(self.seconds, 1e-9)
        return f"{self.frames} frames in {self.seconds:.1f} s ({fps:.2f} fps): {self.outcome}"


def run(request: Request, *, load: Callable[[Request], Loaded] = load_reconstructor) -> Summary:
    """Convert a clip.

    Everything that can be refused is refused before the first frame is computed.

    Args:
        request: What to do.
        load: Makes the network.

    Raises:
        LanHdrError: If anything of the user's does not fit.
    """
    check_output(request.output)
    if request.preview:
        check_preview(request.preview)
    check_weights(request)
    if request.threads:
        torch.set_num_threads(request.threads)
    with open_source(request.source, request.reading, threads=request.threads or 0) as reader:
        logger.debug("%s: %s", request.source, reader.info.description)
        destination = _plan(request, reader)
        reopen = partial(open_source, request.source, request.reading, threads=request.threads or 0)
        with FirstLook(reopen) as first:
            camera, known, look = _look(request, reader, first)
            exposures = known or estimated_exposures(look, camera.estimate, slips=request.slips)
            request = replace(request, cycle=exposures.cycle)
            loaded = load(request)
            for folder in {destination.folder, *([request.preview.parent] if request.preview else [])}:
                prepare_folder(folder)
            if known:
                exposures = checked_exposures(look, known)
                request = replace(request, cycle=exposures.cycle)
        try:
            return _convert(request, reader, loaded, destination=destination, camera=camera, exposures=exposures)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"{request.device} has too little memory: try --size lite or --device cpu") from error


def _look(request: Request, reader: Source, first: FirstLook) -> tuple[Camera, FrameExposures | None, Look]:
    """Find the camera, and the exposures as far as somebody says them."""
    known = known_exposures(reader, cycle=request.cycle, file=request.exposure_list)
    camera = find_camera(reader, request.camera, exposures=known, look=first)
    look = Look(
        *(first, camera.curve, reader.info.frames),
        last=request.frames.last,
        slips=request.slips,
        deflicker=request.deflicker,
        show_progress=request.show_progress,
    )
    return camera, known, look


def _plan(request: Request, reader: Source) -> Destination:
    first, last = request.frames.first, request.frames.last
    promised = reader.faults.promised
    if promised is not None and first >= promised:
        raise MediaError(f"--frames begins at {first}, {request.source} has only frames 0-{promised - 1}")
    destination = plan_destination(
        request.output,
        reader,
        frames=request.frames,
        start_number=request.start_number,
        video=request.video,
        colorspace=request.colorspace,
        preview=request.preview,
    )
    there = destination.existing(first, last) + [path for path in (request.preview,) if path and path.exists()]
    refuse_sources(there, reader.paths)
    if not request.overwrite:
        refuse_existing(there)
    return destination


def _convert(
    request: Request,
    reader: Source,
    loaded: Loaded,
    *,
    destination: Destination,
    camera: Camera,
    exposures: FrameExposures,
) -> Summary:
    first, last = request.frames.first, request.frames.last
    start, stop = _span(request, loaded.margin, exposures)
    total = _expected(request.frames, reader.info.frames)
    origin = origin_of(reader, sound=request.video.sound, cut=last is not None)
    shown = first + ((total or 1) - 1) // 2
    precision = camera.curve.precision(bits=reader.info.bits, lossy=reader.info.lossy)
    begin = time.monotonic()
    writer = destination.writer(_record(request, reader, loaded, response=camera.curve.name), reader)
    frames = encoded_for_network(reader.frames(start=start, stop=stop), camera.curve)
    try:
        with (
            Prefetch(frames, depth=DECODED_AHEAD) as decoded,
            frame_progress(total, show=request.show_progress) as advance,
            open_preview(request.preview, origin, target=shown, threads=request.threads) as preview,
            writer,
            closing(reconstructed(decoded, loaded.reconstructor, cycle=exposures, precision=precision)) as results,
        ):
            for result in in_rec709(flicker_told(results, period=exposures.period), camera.gamut):
                if result.index >= first:
                    writer.write(result.hdr, index=result.index, exposure=result.ldr.exposure)
                    preview.consider(result)
                    advance()
                if result.index == last:
                    break
    except KeyboardInterrupt:
        raise KeyboardInterrupt(writer.left_behind) from None
    _tell(request, reader, writer)
    return Summary(writer.written, time.monotonic() - begin, writer.outcome)


def _span(request: Request, margin: int, exposures: FrameExposures) -> tuple[int, int | None]:
    """Frames to decode: those around the range as well, from the start of an exposure period on."""
    period = exposures.period
    margin += 0 if exposures.regular else period  # windows reach farther where frames are missing
    start = max(0, request.frames.first - margin) // period * period
    return start, None if request.frames.last is None else request.frames.last + 1 + margin


def _expected(frames: FrameRange, in_clip: int | None) -> int | None:
    if in_clip is None:
        return frames.count
    last = in_clip - 1 if frames.last is None else min(frames.last, in_clip - 1)
    return max(1, last - frames.first + 1)


def _record(request: Request, reader: Source, loaded: Loaded, *, response: str) -> ClipRecord:
    return ClipRecord(
        rate=reader.info.rate,
        timecode=reader.info.timecode,
        pixel_aspect=reader.info.pixel_aspect,
        scale=request.factor,
        exposures=request.known_cycle.ratios,
        weights=loaded.name,
        version=lanhdr_version(),
        colorspace=request.colorspace,
        response=response,
    )


def _tell(request: Request, reader: Source, writer: HdrWriter) -> None:
    for message in reader.faults.messages():
        logger.warning("%s: %s", request.source.name, message)
    if writer.nan_frames:
        logger.warning("%d frames held values that are no numbers; they are 0 in the files", writer.nan_frames)
    last = request.frames.first + writer.written - 1
    if request.frames.last is not None and last < request.frames.last:
        logger.warning("--frames asks for frames up to %d, the clip ends with %d", request.frames.last, last)
