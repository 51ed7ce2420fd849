"""Conversion of a clip to EXR frames or HDR video, with a preview."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from lanhdr_cli.camera import Camera, CameraOptions, FirstLook, encoded_for_network, find_camera, in_rec709
from lanhdr_cli.console import frame_progress
from lanhdr_cli.destination import Destination, HdrWriter, clip_origin, plan_destination
from lanhdr_cli.exposures import BrightnessPass, checked_exposures, estimated_exposures, given_exposures
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord
from lanhdr_cli.media.paths import check_output, check_preview, prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import ExposureOptions, FrameRange
from lanhdr_cli.pipeline import FrameReconstructor, Prefetch, reconstructed
from lanhdr_cli.preview import open_preview
from model.device import resolve_device
from model.errors import DeviceError, WeightsError
from model.exposure import FrameExposures
from model.pretrained import Size, bundled_path, check_size, load_network
from model.reconstruct import Reconstructor
from train.environment import lanhdr_version

DECODED_AHEAD = 2  # frames
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConvertJob:
    """A conversion as the user asks for it; None stands for a default that depends on the clip or the machine.

    Args:
        source: A video file, a folder of pictures or a pattern of their names.
        output: A file, a pattern or a folder, as `-o` takes it.
        scale: File value of radiance 1.0; None is the longest exposure.
        start_number: Number of the first file, None to count from the clip's start.
        colorspace: Primaries of EXR files.
    """

    source: Path
    output: str
    reading: Reading = field(default_factory=Reading)
    exposures: ExposureOptions = field(default_factory=ExposureOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    video: VideoOptions = field(default_factory=VideoOptions)
    overwrite: bool = False
    frames: FrameRange = field(default_factory=FrameRange)
    preview: Path | None = None
    colorspace: str = "rec709"
    scale: float | None = None
    start_number: int | None = None
    weights: Path | None = None
    size: Size | None = None
    device: str = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    threads: int | None = None
    show_progress: bool = False


@dataclass(frozen=True, kw_only=True)
class ReadyNetwork:
    """A loaded network; `margin` is the number of frames that its results depend on at either side of a range."""

    reconstructor: FrameReconstructor
    name: str
    margin: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a conversion.

    Args:
        frames: Number of frames written.
        seconds: Time from the first frame's decoding to the last file.
        outcome: The files made, in words.
        exposures: Linear exposures of one cycle from the first frame on, the shortest 1.
        response: Name of the camera response.
        weights: Name of the weights.
    """

    frames: int
    seconds: float
    outcome: str
    exposures: tuple[float, ...]
    response: str
    weights: str

    def __str__(self) -> str:
        fps = self.frames / max(self.seconds, 1e-9)
        return f"{self.frames} frames in {self.seconds:.1f} s ({fps:.2f} fps): {self.outcome}"


def load_network_for(job: ConvertJob, exposures: FrameExposures) -> ReadyNetwork:
    """Load the weights that a job names, or the bundled ones for the number of exposures.

    Raises:
        WeightsError: If there are none, or they don't fit.
        DeviceError: If the device is not there.
    """
    device = resolve_device(job.device)
    nexps = len(set(exposures.cycle.ratios))
    path = job.weights or bundled_path(nexps=nexps, size=job.size, on_gpu=device.type != "cpu")
    pretrained = load_network(path, nexps=nexps)
    logger.debug("weights %s on %s", pretrained.name, device)
    # One period more than the window reaches: a frame's state may depend on the frame before.
    margin = pretrained.network.config.window_length // 2 + exposures.period
    reconstructor = Reconstructor(pretrained.network, device=device, precision=PRECISIONS[job.precision])
    return ReadyNetwork(reconstructor=reconstructor, name=pretrained.name, margin=margin)


def run(job: ConvertJob, *, load: Callable[[ConvertJob, FrameExposures], ReadyNetwork] = load_network_for) -> Summary:
    """Convert a clip; whatever can be refused is refused before the first frame is computed.

    Raises:
        LanHdrError: If an option, the clip or a file does not fit.
    """
    check_output(job.output)
    if job.preview:
        check_preview(job.preview)
    if job.weights and not job.weights.is_file():
        raise WeightsError(f"{job.weights} is not there: pass --weights with a .safetensors file or a ckpt.pt")
    if job.size and not job.weights:
        check_size(job.size)
    if job.threads:
        torch.set_num_threads(job.threads)
    with open_source(job.source, job.reading, threads=job.threads or 0) as clip:
        logger.debug("%s: %s", job.source, clip.info.description)
        destination = _plan(job, clip)
        look = FirstLook(clip)
        if job.reading.bayer is None:
            look.refuse_mosaics()
        given = given_exposures(clip, job.exposures)
        camera = find_camera(clip, job.camera, exposures=given, look=look)
        brightness = BrightnessPass(
            look=look,
            curve=camera.curve,
            total=clip.info.frames,
            last=job.frames.last,
            show_progress=job.show_progress,
        )
        exposures = given or estimated_exposures(brightness, camera.estimate, slips=job.exposures.slips)
        network = load(job, exposures)
        for folder in {destination.folder, *([job.preview.parent] if job.preview else [])}:
            prepare_folder(folder)
        if given:
            exposures = checked_exposures(brightness, given, options=job.exposures)
        try:
            return _convert(job, clip, network, destination=destination, camera=camera, exposures=exposures)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"{job.device} has too little memory: try --size lite or --device cpu") from error


def _plan(job: ConvertJob, clip: Source) -> Destination:
    first, last = job.frames.first, job.frames.last
    promised = clip.faults.promised
    if promised is not None and first >= promised:
        raise MediaError(f"--frames begins at {first}, {job.source} has only frames 0-{promised - 1}")
    encoding = job.video.encoding
    video = replace(job.video, encoding=replace(encoding, threads=job.threads or encoding.threads))
    destination = plan_destination(
        job.output,
        clip,
        frames=job.frames,
        start_number=job.start_number,
        video=video,
        colorspace=job.colorspace,
        preview=job.preview,
    )
    there = destination.existing(first, last) + [path for path in (job.preview,) if path and path.exists()]
    refuse_sources(there, clip.paths)
    if not job.overwrite:
        refuse_existing(there)
    return destination


def _convert(
    job: ConvertJob,
    clip: Source,
    network: ReadyNetwork,
    *,
    destination: Destination,
    camera: Camera,
    exposures: FrameExposures,
) -> Summary:
    first, last = job.frames.first, job.frames.last
    total = job.frames.count(in_clip=clip.info.frames)
    # Frames around the range are decoded as well, from the start of an exposure period on. Windows reach farther where
    # frames are missing.
    margin = network.margin + (0 if exposures.regular else exposures.period)
    start = max(0, first - margin) // exposures.period * exposures.period
    decoded = clip.frames(start=start, stop=None if last is None else last + 1 + margin)
    precision = camera.curve.precision(bits=clip.info.bits, lossy=clip.info.lossy)
    record = ClipRecord(
        rate=clip.info.rate,
        timecode=clip.info.timecode,
        pixel_aspect=clip.info.pixel_aspect,
        scale=job.scale or max(exposures.cycle.ratios),
        exposures=exposures.cycle.ratios,
        weights=network.name,
        version=lanhdr_version(),
        colorspace=job.colorspace,
        response=camera.curve.name,
    )
    origin = clip_origin(clip, sound=job.video.sound, cut=last is not None)
    shown = first + ((total or 1) - 1) // 2
    begin = time.monotonic()
    writer = destination.writer(record, clip)
    try:
        with (
            Prefetch(encoded_for_network(decoded, camera.curve), depth=DECODED_AHEAD) as frames,
            frame_progress(total, show=job.show_progress) as advance,
            open_preview(job.preview, origin, target=shown, threads=job.threads) as preview,
            writer,
            closing(reconstructed(frames, network.reconstructor, exposures=exposures, precision=precision)) as results,
        ):
            for result in in_rec709(results, camera.gamut):
                if result.index >= first:
                    writer.write(result.hdr, index=result.index, exposure=result.ldr.exposure)
                    if preview:
                        preview.consider(result)
                    advance()
                if result.index == last:
                    break
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(writer.left_behind)
        raise
    _warn(job, clip, writer)
    return Summary(
        frames=writer.written,
        seconds=time.monotonic() - begin,
        outcome=writer.outcome,
        exposures=exposures.ratios,
        response=camera.curve.name,
        weights=network.name,
    )


def _warn(job: ConvertJob, clip: Source, writer: HdrWriter) -> None:
    for message in clip.faults.messages():
        logger.warning("%s: %s", job.source.name, message)
    if writer.nan_frames:
        logger.warning("%d frames contained NaN, which is written as 0", writer.nan_frames)
    last = job.frames.first + writer.written - 1
    if job.frames.last is not None and last < job.frames.last:
        logger.warning("--frames asks for frames up to %d, the clip ends with %d", job.frames.last, last)
