"""Conversion of a clip to EXR frames or HDR video, with a preview."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from lanhdr_cli.analysis import Analysis, first_findings
from lanhdr_cli.analysis_file import Asked, read_analysis
from lanhdr_cli.camera import CameraOptions, encoded_for_network
from lanhdr_cli.console import Advance, frame_progress
from lanhdr_cli.destination import Destination, ExrFrames, HdrWriter, clip_origin, plan_destination
from lanhdr_cli.exposures import keep_three
from lanhdr_cli.frame_ranges import Dropped, Share, decoded_range
from lanhdr_cli.media.background import StageTimes
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord, refuse_other_clips
from lanhdr_cli.media.faults import Faults, describe_numbers
from lanhdr_cli.media.paths import (
    check_landmark,
    check_output,
    check_preview,
    is_video,
    landmark,
    prepare_folder,
    refuse_existing,
    refuse_sources,
)
from lanhdr_cli.media.segments import Part
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.stream_reader import names_stream
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.options import ExposureOptions, FrameRange
from lanhdr_cli.pipeline import FrameReconstructor, Prefetch, ResultFrame, reconstructed
from lanhdr_cli.preview import PicturePreview, VideoPreview, open_preview
from lanhdr_cli.profile import Profile, ProfileClock
from lanhdr_cli.ranks import Ranks, rank_device, run_on_ranks
from model.device import resolve_device
from model.errors import DeviceError, ExposureError, WeightsError
from model.exposure import FrameExposures
from model.files import remove_unfinished
from model.network import NetworkConfig
from model.pretrained import Size, bundled_path, check_size, load_network
from model.reconstruct import Reconstructor
from train.acceleration import Precision, compute_dtype
from train.environment import lanhdr_version

DECODED_AHEAD = 2  # frames
MOST_EXPOSURES = 3  # that weights are made for

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
        devices: One for each process that shares the conversion on this machine; empty for one process on `device`.
        threads: Of each process; None for its share of the cores.
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
    devices: tuple[str, ...] = ()
    precision: Precision = "auto"
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
    dtype = convolution_type(job.precision, pretrained.network.config, device)
    logger.debug("convolutions in %s", str(dtype).removeprefix("torch."))
    reconstructor = Reconstructor(pretrained.network, device=device, precision=dtype)
    return ReadyNetwork(reconstructor=reconstructor, name=pretrained.name, margin=margin)


def convolution_type(precision: Precision, config: NetworkConfig, device: torch.device) -> torch.dtype:
    """Choose the number format of a network's convolutions.

    `auto` is bfloat16 where the device multiplies in it and the network only corrects a start within its deviation:
    what it loses then is far below the noise. Other networks need float32 for what they predict.
    """
    bounded = config.design in ("lite", "small")
    return compute_dtype("float32" if precision == "auto" and not bounded else precision, device)


Load = Callable[[ConvertJob, FrameExposures], ReadyNetwork]


def run(job: ConvertJob, *, load: Load = load_network_for) -> Summary:
    """Convert a clip; whatever can be refused is refused before the first frame is computed.

    Where several processes share the work, all of them return the same.

    Raises:
        LanHdrError: If an option, the clip or a file does not fit; where there are several processes, in rank 0.
    """
    if job.devices:  # before processes are started
        _refuse_sharing(job, len(job.devices))
    return run_on_ranks(partial(_run, job, load=load), job.devices)


def _refuse_sharing(job: ConvertJob, processes: int) -> None:
    """Refuse what several processes can't share."""
    if names_stream(job.source):
        raise MediaError(f"{job.source} comes once, {processes} processes can't read it: save it to a file first")
    if job.preview and is_video(job.preview):
        raise MediaError(f"--preview {job.preview} is made by one process, not by {processes}: pass a .png instead")


def _run(job: ConvertJob, ranks: Ranks, *, load: Load) -> Summary:
    check_output(job.output)
    if job.preview:
        check_preview(job.preview)
    if job.weights and not job.weights.is_file():
        raise WeightsError(f"{job.weights} is not there: pass --weights with a .safetensors file or a ckpt.pt")
    if job.size and not job.weights:
        check_size(job.size)
    if ranks.size > 1:
        job = _job_of_rank(job, ranks)
    if job.threads:
        torch.set_num_threads(job.threads)
    with open_source(job.source, job.reading, threads=job.threads or 0) as clip, ExitStack() as stack:
        findings, network = None, None
        if ranks.leads:
            logger.debug("%s: %s", job.source, clip.info.description)
            destination = _plan(job, clip)
            stack.callback(remove_unfinished, destination.folder, ranks.pids)
            network, analysis = _look(job, clip, destination, load=load)
            findings = _Findings(
                destination=destination,
                analysis=analysis,
                faults=clip.faults if clip.faults.finished else None,
                frames=job.frames.count(in_clip=clip.info.frames if ranks.size == 1 else _counted(job, clip)),
                source_id=clip.id,
                mark=stack.enter_context(landmark(destination.folder)) if ranks.size > 1 else None,
            )
        findings = ranks.share(findings)
        if not ranks.leads:
            assert findings.mark is not None
            check_landmark(findings.mark)
            stack.push(partial(_remove_on_error, findings.mark))
            if clip.id != findings.source_id:
                raise MediaError(f"{job.source} is not the clip that rank 0 reads: name one that all machines share")
            clip.index = findings.analysis.index
        network = network or load(job, findings.analysis.exposures)
        try:
            return ranks.share(_convert(job, clip, network, findings, ranks=ranks))
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"{job.device} has too little memory: try --size lite or --device cpu") from error


@dataclass(frozen=True, kw_only=True)
class _Findings:
    """What rank 0 has found and planned, for all ranks.

    Args:
        frames: Number of frames to convert, None if unknown.
        faults: Of a pass over the whole clip, None if there was none.
        source_id: Of the clip.
        mark: A file in the folder of the results, while they are made; None for one process.
    """

    destination: Destination
    analysis: Analysis
    frames: int | None
    faults: Faults | None
    source_id: str
    mark: Path | None


def _remove_on_error(
    path: Path, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Remove what rank 0 would, if it is gone."""
    if error:
        path.unlink(missing_ok=True)


def _job_of_rank(job: ConvertJob, ranks: Ranks) -> ConvertJob:
    """Give a process its device, and its share of the cores.

    Raises:
        LanHdrError: If the job can't be shared, or there are too few devices.
    """
    _refuse_sharing(job, ranks.size)
    device = rank_device(ranks, job.devices, default=job.device)
    show_progress = job.show_progress and ranks.leads
    return replace(job, device=device, threads=job.threads or ranks.threads, show_progress=show_progress)


def _counted(job: ConvertJob, clip: Source) -> int | None:
    """Count the frames of a clip: as its index, a pass or the header has it, else by reading them if that is needed."""
    if clip.index:
        return len(clip.index.times)
    if clip.faults.finished:
        return clip.faults.decoded
    if clip.faults.promised or job.frames.last is not None:
        return clip.faults.promised
    return sum(1 for _ in clip.frames())


def _look(job: ConvertJob, clip: Source, destination: Destination, *, load: Load) -> tuple[ReadyNetwork, Analysis]:
    """Look at the clip, or at what has been noted of it, and load the network as soon as it is known which."""
    network: ReadyNetwork | None = None
    if job.analysis:
        asked = Asked(exposures=job.exposures, camera=job.camera, reading=job.reading)
        analysis = read_analysis(job.analysis, clip, asked)
    else:
        found = first_findings(clip, exposures=job.exposures, camera=job.camera, reading=job.reading)
        if found.given:  # what is wrong with weights or folders shows before all frames are looked at
            network = _prepared(job, destination, found.given, load=load)
        analysis = found.complete(show_progress=job.show_progress)
    return network or _prepared(job, destination, analysis.exposures, load=load), analysis


def _prepared(job: ConvertJob, destination: Destination, exposures: FrameExposures, *, load: Load) -> ReadyNetwork:
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
    job: ConvertJob, clip: Source, network: ReadyNetwork, findings: _Findings, *, ranks: Ranks
) -> Summary | None:
    """Convert what falls to this process; rank 0 completes the result and sums it up."""
    camera, exposures, total = findings.analysis.camera, findings.analysis.exposures, findings.frames
    dropped = Dropped.of(exposures, clip.info) if job.exposures.doubled == "drop" else Dropped()
    share = Share.of(job.frames, ranks, total=total, dropped=dropped, step=findings.destination.step)
    if share is None:
        ranks.gather(_Made())
        return None
    start, stop = decoded_range(share.frames, exposures, margin=network.margin)
    clock, decoding = ProfileClock(), StageTimes(depth=DECODED_AHEAD)
    decoded = encoded_for_network(decoding.timed(clip.frames(start=start, stop=stop), "read"), camera.curve)
    precision = camera.curve.precision(bits=clip.info.bits, lossy=clip.info.lossy)
    in_order = partial(reconstructed, exposures=exposures, precision=precision, primaries=camera.gamut)
    info = dropped.retimed(clip.info)
    record = _clip_record(job, clip, info, exposures=exposures, weights=network.name, response=camera.curve.name)
    origin = replace(clip_origin(clip, sound=job.video.sound, cut=job.frames.last is not None), info=info)
    writer = findings.destination.writer(record, origin, position=share.position, joins=ranks.leads)
    tally = _Tally(wanted=share.frames, dropped=dropped)
    preview_path = job.preview if share.shows else None
    try:
        with frame_progress(total, show=job.show_progress) as advance, writer:
            with (
                Prefetch(decoded, depth=DECODED_AHEAD, times=decoding) as frames,
                open_preview(preview_path, origin, target=share.shown, threads=job.threads) as preview,
                closing(in_order(frames, network.reconstructor)) as results,
            ):
                _write(results, tally, writer=writer, preview=preview, advance=ranks.counting(advance))
                clock.last_frame()
            made = ranks.gather(_Made.of(tally, writer.finish(), clip.faults))
            if not ranks.leads:
                return None
            whole = _Made.together(made, faults=findings.faults if ranks.size > 1 else None)
            writer.take(whole.part)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(writer.left_behind)
        raise
    _warn(job, whole)
    sinks = {"write": writer.times} | ({"preview": preview.times} if isinstance(preview, VideoPreview) else {})
    profile = clock.profile(made[0].part.frames, decoding=decoding, sinks=sinks) if job.profile else None
    return Summary(
        frames=writer.written,
        seconds=clock.seconds,
        outcome=writer.outcome,
        exposures=exposures.ratios,
        response=record.response,
        weights=record.weights,
        doubled=tuple(index for index in sorted(exposures.doubled) if job.frames.holds(index)),
        dropped=whole.left_out,
        unmerged=whole.unmerged,
        decoded=whole.faults.decoded,
        concealed=whole.faults.corrupt,
        rate=info.rate,
        profile=profile,
    )


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What one process has made, and what has become of the frames that it read; nothing by default."""

    part: Part = field(default_factory=Part)
    left_out: int = 0
    unmerged: tuple[int, ...] = ()
    faults: Faults = field(default_factory=Faults)

    @classmethod
    def of(cls, tally: "_Tally", part: Part, faults: Faults) -> "_Made":
        """Take stock of one process."""
        return cls(part=part, left_out=tally.left_out, unmerged=tuple(tally.unmerged), faults=faults)

    @classmethod
    def together(cls, made: Sequence["_Made"], *, faults: Faults | None) -> "_Made":
        """Sum up all processes; faults are those of a whole pass, or else of the process that came to the end."""
        some = [one.faults for one in made if one.part.frames or one.left_out]
        if not some:
            raise MediaError(f"the clip has only {made[0].faults.decoded} frames, all before those of --frames")
        return cls(
            part=Part.together([one.part for one in made]),
            left_out=sum(one.left_out for one in made),
            unmerged=tuple(index for one in made for index in one.unmerged),
            faults=faults or some[-1],
        )


@dataclass(kw_only=True)
class _Tally:
    """Frames that are wanted, those of them that are dropped, and what has become of all so far."""

    wanted: FrameRange
    dropped: Dropped
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


def _warn(job: ConvertJob, made: _Made) -> None:
    for message in made.faults.messages():
        logger.warning("%s: %s", job.source.name, message)
    if made.part.nan_frames:
        logger.warning("%d frames contained NaN, which is written as 0", made.part.nan_frames)
    if made.left_out:
        logger.warning("%d frames that show the frame before them again are left out", made.left_out)
    if made.unmerged:
        where = f"frame{'s' if len(made.unmerged) > 1 else ''} {describe_numbers(made.unmerged)}"
        logger.warning("%s: converted alone, no frame of another exposure is near", where)
    last = job.frames.first + made.part.frames + made.left_out - 1
    if job.frames.last is not None and last < job.frames.last:
        logger.warning("--frames asks for frames up to %d, the clip ends with %d", job.frames.last, last)
