"""Conversion of a clip to EXR frames or HDR video, with a preview."""

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from lanhdr_cli.analysis import first_findings
from lanhdr_cli.analysis_file import Asked, read_analysis
from lanhdr_cli.camera import Camera, CameraOptions, encoded_for_network
from lanhdr_cli.console import Advance, frame_progress
from lanhdr_cli.destination import Destination, ExrFrames, HdrWriter, clip_origin, plan_destination
from lanhdr_cli.exposures import keep_three
from lanhdr_cli.media.background import StageTimes
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, refuse_other_clips
from lanhdr_cli.media.image_sequence import describe_numbers
from lanhdr_cli.media.paths import check_output, check_preview, prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import ExposureOptions, FrameRange
from lanhdr_cli.pipeline import FrameReconstructor, Prefetch, ResultFrame, reconstructed
from lanhdr_cli.preview import PicturePreview, VideoPreview, open_preview
from lanhdr_cli.profile import Profile, ProfileClock
from model.analysis.doubled_frames import true_rate
from model.device import resolve_device
from model.errors import DeviceError, ExposureError, WeightsError
from model.exposure import FrameExposures
from model.pretrained import Size, bundled_path, check_size, load_network
from model.reconstruct import Reconstructor
from train.environment import lanhdr_version

DECODED_AHEAD = 2  # frames
MOST_EXPOSURES = 3  # that weights are made for
TICKS = 1000  # of a clock, per frame
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConvertJob:
    """A conversion as the user asks for it; None stands for a default that depends on the clip or the machine.

    Args:
        source: A video file, a folder of pictures or a pattern of their names.
        output: A file, a pattern or a folder, as `-o` takes it.
        analysis: What `lanhdr inspect --json` has printed of the clip; None to look at the clip.
        scale: File value of radiance 1.0; None is the longest exposure.
        start_number: Number of the first file, None to count from the clip's start.
        colorspace: Primaries of EXR files.
    """

    source: Path
    output: str
    reading: Reading = field(default_factory=Reading)
    analysis: Path | None = None
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
    profile: bool = False


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
        doubled: Frames that show the frame before them again.
        dropped: Number of these that were left out.
        unmerged: Frames that were converted from themselves alone.
        decoded: Number of frames read for the result.
        concealed: Number of them that were damaged.
        rate: Frames per second of the result.
        profile: Where the time went, if the job asks for it.
    """

    frames: int
    seconds: float
    outcome: str
    exposures: tuple[float, ...]
    response: str
    weights: str
    doubled: tuple[int, ...] = ()
    dropped: int = 0
    unmerged: tuple[int, ...] = ()
    decoded: int = 0
    concealed: int = 0
    rate: Fraction | None = None
    profile: Profile | None = None

    def record(self) -> dict[str, Any]:
        """Return the whole outcome as values that JSON knows."""
        return asdict(self) | {"rate": str(self.rate) if self.rate else None}

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
    if nexps > MOST_EXPOSURES and not job.weights:
        raise ExposureError(keep_three(exposures, job.source))
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
        network: ReadyNetwork | None = None
        if job.analysis:
            asked = Asked(exposures=job.exposures, camera=job.camera, reading=job.reading)
            analysis = read_analysis(job.analysis, clip, asked)
        else:
            found = first_findings(clip, exposures=job.exposures, camera=job.camera, reading=job.reading)
            if found.given:  # what is wrong with weights or folders shows before all frames are looked at
                network = _prepared(job, destination, found.given, load=load)
            analysis = found.complete(show_progress=job.show_progress)
        network = network or _prepared(job, destination, analysis.exposures, load=load)
        camera, exposures = analysis.camera, analysis.exposures
        try:
            return _convert(job, clip, network, destination=destination, camera=camera, exposures=exposures)
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"{job.device} has too little memory: try --size lite or --device cpu") from error


def _prepared(
    job: ConvertJob,
    destination: Destination,
    exposures: FrameExposures,
    *,
    load: Callable[[ConvertJob, FrameExposures], ReadyNetwork],
) -> ReadyNetwork:
    network = load(job, exposures)
    for folder in {destination.folder, *([job.preview.parent] if job.preview else [])}:
        prepare_folder(folder)
    return network


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
    # Without doubled frames, results have lower numbers than the frames asked for.
    lowest = 0 if job.exposures.doubled == "drop" else first
    results = destination.existing(lowest, last)
    there = results + [path for path in (job.preview,) if path and path.exists()]
    refuse_sources(there, clip.paths)
    if isinstance(destination, ExrFrames):
        refuse_other_clips(results, clip.id)
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
    start, stop = _decoded_range(job.frames, exposures, margin=network.margin)
    clock, decoding = ProfileClock(), StageTimes(depth=DECODED_AHEAD)
    decoded = encoded_for_network(decoding.timed(clip.frames(start=start, stop=stop), "read"), camera.curve)
    precision = camera.curve.precision(bits=clip.info.bits, lossy=clip.info.lossy)
    in_order = partial(reconstructed, exposures=exposures, precision=precision, primaries=camera.gamut)
    dropped = _Dropped.of(exposures, clip.info) if job.exposures.doubled == "drop" else _Dropped()
    info = dropped.retimed(clip.info)
    record = _clip_record(job, clip, info, exposures=exposures, weights=network.name, response=camera.curve.name)
    origin = replace(clip_origin(clip, sound=job.video.sound, cut=last is not None), info=info)
    shown = first + ((total or 1) - 1) // 2
    writer = destination.writer(record, origin)
    tally = _Tally(wanted=job.frames, dropped=dropped)
    try:
        with (
            Prefetch(decoded, depth=DECODED_AHEAD, times=decoding) as frames,
            frame_progress(total, show=job.show_progress) as advance,
            open_preview(job.preview, origin, target=shown, threads=job.threads) as preview,
            writer,
            closing(in_order(frames, network.reconstructor)) as results,
        ):
            _write(results, tally, writer=writer, preview=preview, advance=advance)
            clock.last_frame()
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(writer.left_behind)
        raise
    _warn(job, clip, writer, tally)
    sinks = {"write": writer.times} | ({"preview": preview.times} if isinstance(preview, VideoPreview) else {})
    profile = clock.profile(writer.written, decoding=decoding, sinks=sinks) if job.profile else None
    return Summary(
        frames=writer.written,
        seconds=clock.seconds,
        outcome=writer.outcome,
        exposures=exposures.ratios,
        response=record.response,
        weights=record.weights,
        doubled=tuple(index for index in sorted(exposures.doubled) if job.frames.holds(index)),
        dropped=tally.left_out,
        unmerged=tuple(tally.unmerged),
        decoded=clip.faults.decoded,
        concealed=clip.faults.corrupt,
        rate=info.rate,
        profile=profile,
    )


@dataclass(kw_only=True)
class _Tally:
    """Frames that are wanted, those of them that are dropped, and what has become of all so far."""

    wanted: FrameRange
    dropped: "_Dropped"
    left_out: int = 0
    unmerged: list[int] = field(default_factory=list)


def _write(
    results: Iterable[ResultFrame],
    tally: _Tally,
    *,
    writer: HdrWriter,
    preview: PicturePreview | VideoPreview | None,
    advance: Advance,
) -> None:
    """Write the frames that are wanted, and go no farther."""
    for result in results:
        if tally.wanted.holds(result.index):
            advance()
            if result.index in tally.dropped.frames:
                tally.left_out += 1
            else:
                kept = tally.dropped.moved(result)
                writer.write(kept.hdr, index=kept.index, exposure=kept.ldr.exposure)
                if not kept.hdr.merged:
                    tally.unmerged.append(result.index)
                if preview:
                    preview.consider(kept)
        if result.index == tally.wanted.last:
            return


def _clip_record(
    job: ConvertJob, clip: Source, info: VideoInfo, *, exposures: FrameExposures, weights: str, response: str
) -> ClipRecord:
    return ClipRecord(
        rate=info.rate,
        timecode=info.timecode,
        pixel_aspect=info.pixel_aspect,
        scale=job.scale or max(exposures.cycle.ratios),
        exposures=exposures.cycle.ratios,
        weights=weights,
        version=lanhdr_version(),
        colorspace=job.colorspace,
        response=response,
        source=clip.paths[0].name,
        source_id=clip.id,
    )


def _decoded_range(wanted: FrameRange, exposures: FrameExposures, *, margin: int) -> tuple[int, int | None]:
    """Choose the frames to decode around those wanted, from the start of an exposure period on.

    Windows reach farther where frames are missing, and past doubled ones.
    """
    behind = margin if exposures.regular else 2 * margin
    margin += 0 if exposures.regular else exposures.period
    start, before = wanted.first, 0
    while start > 0 and before < behind:
        start -= 1
        before += start not in exposures.doubled
    if not exposures.doubled:
        start -= start % exposures.period
    if wanted.last is None:
        return start, None
    stop, after = wanted.last + 1, 0
    while after < margin:
        after += stop not in exposures.doubled
        stop += 1
    return start, stop


@dataclass(frozen=True, kw_only=True)
class _Dropped:
    """Frames that are left out since they show others again, and the rate of those that stay, None to keep times."""

    frames: frozenset[int] = frozenset()
    rate: Fraction | None = None

    @classmethod
    def of(cls, exposures: FrameExposures, info: VideoInfo) -> "_Dropped":
        if not exposures.doubled:
            return cls()
        rate = info.rate and true_rate(info.rate, exposures.doubled, count=len(exposures.phases))
        if rate:
            logger.info("%g frames per second without doubled frames", float(rate))
        else:
            logger.warning("frames are doubled at no steady rate: the others keep their times")
        return cls(frames=exposures.doubled, rate=rate)

    def retimed(self, info: VideoInfo) -> VideoInfo:
        """Describe a clip without these frames."""
        return replace(info, rate=self.rate, time_base=1 / (self.rate * TICKS)) if self.rate else info

    def moved(self, result: ResultFrame) -> ResultFrame:
        """Number a frame that stays, and time it, as if the others had never been there."""
        if not self.frames:
            return result
        index = result.index - sum(place < result.index for place in self.frames)
        hdr = replace(result.hdr, time=index / self.rate) if self.rate else result.hdr
        return replace(result, index=index, hdr=hdr)


def _warn(job: ConvertJob, clip: Source, writer: HdrWriter, tally: _Tally) -> None:
    for message in clip.faults.messages():
        logger.warning("%s: %s", job.source.name, message)
    if writer.nan_frames:
        logger.warning("%d frames contained NaN, which is written as 0", writer.nan_frames)
    if tally.left_out:
        logger.warning("%d frames that show the frame before them again are left out", tally.left_out)
    if tally.unmerged:
        where = f"frame{'s' if len(tally.unmerged) > 1 else ''} {describe_numbers(tally.unmerged)}"
        logger.warning("%s: converted alone, no frame of another exposure is near", where)
    last = job.frames.first + writer.written + tally.left_out - 1
    if job.frames.last is not None and last < job.frames.last:
        logger.warning("--frames asks for frames up to %d, the clip ends with %d", job.frames.last, last)
