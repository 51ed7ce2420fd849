"""Conversion of a clip to EXR frames or HDR video, with a preview."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType

import torch

from lanhdr_cli.analysis import Analysis, first_findings
from lanhdr_cli.analysis_file import Asked, read_analysis
from lanhdr_cli.camera import CameraOptions, encoded_for_network
from lanhdr_cli.claim import Findings, claim
from lanhdr_cli.console import Advance, frame_progress
from lanhdr_cli.destination import Destination, ExrFrames, HdrWriter, clip_origin, plan_destination
from lanhdr_cli.events import Events
from lanhdr_cli.exposures import keep_three
from lanhdr_cli.frame_ranges import Share, decoded_range
from lanhdr_cli.interruption import Interruption
from lanhdr_cli.media.background import StageTimes
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import refuse_other_clips
from lanhdr_cli.media.paths import (
    check_landmark,
    check_output,
    check_preview,
    is_video,
    prepare_folder,
    refuse_existing,
    refuse_sources,
)
from lanhdr_cli.media.source import Reading, Source, open_source
from lanhdr_cli.media.video_reader import VideoInfo
from lanhdr_cli.media.video_writer import VideoOptions
from lanhdr_cli.memory import fitting_tiles, warn_of_memory
from lanhdr_cli.options import ExposureOptions, FrameRange
from lanhdr_cli.pipeline import FrameReconstructor, Prefetch, ResultFrame, reconstructed
from lanhdr_cli.preview import PicturePreview, VideoPreview, open_preview
from lanhdr_cli.profile import ProfileClock
from lanhdr_cli.ranks import Ranks, run_on_ranks
from lanhdr_cli.run_options import SafetyOptions
from lanhdr_cli.settings import clip_record
from lanhdr_cli.sharing import job_of_rank, refuse_sharing
from lanhdr_cli.space import check_space, sampled_frame
from lanhdr_cli.summary import Made, Summary, Tally
from model.device import resolve_device
from model.errors import DeviceError, ExposureError, LanHdrError, WeightsError
from model.exposure import FrameExposures
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
        resume: Whether what an interrupted run has finished with the same settings is kept.
        start_number: Number of the first file, None to count from the clip's start.
        colorspace: Primaries of EXR files.
        devices: One for each process that shares the conversion on this machine; empty for one process on `device`.
        threads: Of each process; None for its share of the cores.
        events: Where events are told.
        again: How to go on after an interruption, for messages; nothing to leave it out.
    """

    source: Path
    output: str
    reading: Reading = field(default_factory=Reading)
    analysis: Path | None = None
    exposures: ExposureOptions = field(default_factory=ExposureOptions)
    camera: CameraOptions = field(default_factory=CameraOptions)
    video: VideoOptions = field(default_factory=VideoOptions)
    overwrite: bool = False
    resume: bool = False
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
    again: str = ""
    safety: SafetyOptions = field(default_factory=SafetyOptions)
    events: Events = field(default_factory=Events)


@dataclass(frozen=True, kw_only=True)
class ReadyNetwork:
    """A loaded network.

    Args:
        margin: Number of frames that its results depend on at either side of a range.
        identity: Tells it from all others by its numbers, and by those it computes with.
    """

    reconstructor: FrameReconstructor
    name: str
    margin: int
    identity: str = ""


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
    identity = f"{hashlib.sha256(path.read_bytes()).hexdigest()} in {dtype}"
    return ReadyNetwork(reconstructor=reconstructor, name=pretrained.name, margin=margin, identity=identity)


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
        refuse_sharing(job, len(job.devices))
    return run_on_ranks(partial(_run, job, load=load), job.devices)


def _run(job: ConvertJob, ranks: Ranks, *, load: Load) -> Summary:
    check_output(job.output)
    if job.preview:
        check_preview(job.preview)
    if job.weights and not job.weights.is_file():
        raise WeightsError(f"{job.weights} is not there: pass --weights with a .safetensors file or a ckpt.pt")
    if job.size and not job.weights:
        check_size(job.size)
    if ranks.size > 1:
        job = job_of_rank(job, ranks)
    if job.threads:
        torch.set_num_threads(job.threads)
    with open_source(job.source, job.reading, threads=job.threads or 0) as clip, ExitStack() as stack:
        findings, network = None, None
        if ranks.leads:
            logger.debug("%s: %s", job.source, clip.info.description)
            destination = _plan(job, clip)
            stack.callback(lambda: destination.tidy(ranks.pids))
            network, analysis = _look(job, clip, destination, load=load)
            network = _kept_within_memory(job, network, clip.info, ranks=ranks)
            findings = claim(job, clip, destination, network, analysis, ranks=ranks, stack=stack)
            destination = findings.destination
            _check_space(job, clip, findings)
            _tell_start(job, clip, findings, weights=network.name)
        findings = ranks.share(findings)
        if not ranks.leads:
            assert findings.mark is not None
            check_landmark(findings.mark)
            stack.push(partial(_remove_on_error, findings.mark))
            if clip.id != findings.source_id:
                raise MediaError(f"{job.source} is not the clip that rank 0 reads: name one that all machines share")
            clip.index = findings.analysis.index
        if network is None:
            network = _kept_within_memory(job, load(job, findings.analysis.exposures), clip.info, ranks=ranks)
        try:
            return ranks.share(_convert(job, clip, network, findings, ranks=ranks))
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(f"{job.device} has too little memory: try --size lite or --device cpu") from error


def _remove_on_error(
    path: Path, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    """Remove what rank 0 would, if it is gone."""
    if error:
        path.unlink(missing_ok=True)


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
    if not (job.overwrite or job.resume):
        refuse_existing(there, resumable=isinstance(destination, ExrFrames) and bool(results))
    return destination


def _check_space(job: ConvertJob, clip: Source, findings: Findings) -> None:
    """Refuse a result that can't fit on the disk, beside what is kept."""
    analysis, frames = findings.analysis, findings.frames
    existing = [] if job.resume else findings.destination.existing(job.frames.first, job.frames.last)
    scale = job.scale or max(analysis.exposures.cycle.ratios)
    check_space(
        findings.destination,
        clip.info,
        frames=frames and max(0, frames - findings.kept.part.frames),
        sampled=partial(sampled_frame, clip, analysis, first=job.frames.first, scale=scale),
        replaced=existing,
        sound=clip.video if job.video.sound else None,
        force=job.safety.force,
    )


def _tell_start(job: ConvertJob, clip: Source, findings: Findings, *, weights: str) -> None:
    info = clip.info
    values: dict[str, object] = {"version": lanhdr_version(), "source": str(job.source), "output": job.output}
    values |= {
        "frames": findings.frames,
        "width": info.width,
        "height": info.height,
        "rate": str(info.rate) if info.rate else None,
    }
    exposures, camera = findings.analysis.exposures, findings.analysis.camera
    values |= {"exposures": exposures.ratios, "response": camera.curve.name, "weights": weights}
    job.events.tell("start", values)


def _kept_within_memory(job: ConvertJob, network: ReadyNetwork, info: VideoInfo, *, ranks: Ranks) -> ReadyNetwork:
    """Compute in tiles where whole frames exceed the budget of memory; without a budget, warn where memory is short."""
    reconstructor = network.reconstructor
    if not isinstance(reconstructor, Reconstructor) or reconstructor.device.type != "cpu":
        if job.safety.max_memory is not None and ranks.leads:
            logger.warning("--max-memory is for networks on a CPU: tiles are taken up where memory runs out")
        return network
    config, encoding = reconstructor.network.config, job.video.encoding if is_video(Path(job.output)) else None
    if job.safety.max_memory is None:
        if ranks.leads:
            warn_of_memory(config, info, processes=ranks.local_size, encoding=encoding)
        return network
    budget = job.safety.max_memory // ranks.local_size
    tiling = fitting_tiles(config, info, budget=budget, encoding=encoding, told=ranks.leads)
    reconstructor.divide(tiling)
    # Tiles change results a little: frames of another division are not theirs.
    return replace(network, identity=f"{network.identity} in {len(tiling)} tiles")


def _convert(
    job: ConvertJob, clip: Source, network: ReadyNetwork, findings: Findings, *, ranks: Ranks
) -> Summary | None:
    """Convert what falls to this process; rank 0 completes the result and sums it up."""
    exposures, dropped = findings.analysis.exposures, findings.dropped
    total, kept = findings.frames, findings.kept
    share = Share.of(job.frames, ranks, total=total, dropped=dropped, step=findings.destination.step, kept=kept.numbers)
    if not (share.runs or ranks.leads):
        ranks.gather(Made())
        return None
    clock, decoding = ProfileClock(), StageTimes(depth=DECODED_AHEAD)
    info = dropped.retimed(clip.info)
    record = clip_record(job, clip, info, findings.analysis, weights=network.name, settings=findings.settings)
    origin = replace(clip_origin(clip, sound=job.video.sound, cut=job.frames.last is not None), info=info)
    writer = findings.destination.writer(
        record,
        origin,
        position=share.position,
        begin=dropped.moved_index(job.frames.first),
        joins=ranks.leads,
        verify=job.safety.verify,
    )
    tally = Tally(dropped=dropped)
    preview_path = findings.preview if share.shows else None
    try:
        to_make = total and total - kept.part.frames
        with frame_progress(to_make, show=job.show_progress) as show, writer:
            advance = ranks.counting(job.events.counting(show, to_make))
            with open_preview(preview_path, origin, target=share.shown, threads=job.threads) as preview:
                write = partial(_write, tally=tally, writer=writer, preview=preview, advance=advance)
                for run in share.runs:
                    with _results(run, clip, network, findings.analysis, decoding=decoding) as results:
                        write(results, run=run, interruption=Interruption(ranks))
                clock.last_frame()
            made = ranks.gather(Made.of(tally, writer.finish(), clip.faults))
            if not ranks.leads:
                return None
            whole = Made.together(made, faults=findings.faults if ranks.size > 1 or kept.steps else None)
            whole = whole.beside(kept, wanted=job.frames, total=total, dropped=dropped)
            whole.refuse_none()
            writer.take(whole.part)
    except (KeyboardInterrupt, LanHdrError) as error:
        _note_remains(error, writer.left_behind(kept.part.frames, shared=ranks.size > 1), job)
        raise
    whole.warn(job.source.name, job.frames)
    sinks = {"write": writer.times} | ({"preview": preview.times} if isinstance(preview, VideoPreview) else {})
    profile = clock.profile(made[0].part.frames, decoding=decoding, sinks=sinks) if job.profile else None
    return Summary.of(
        whole,
        exposures,
        wanted=job.frames,
        writer=writer,
        record=record,
        seconds=clock.seconds,
        profile=profile,
        kept=kept.part.frames,
    )


def _note_remains(error: BaseException, remains: str, job: ConvertJob) -> None:
    """Say with an error what is finished, if anything is, and how to go on."""
    if remains:
        error.add_note(remains)
        if job.again:
            error.add_note(job.again)
    elif isinstance(error, KeyboardInterrupt):
        error.add_note(f"nothing was written to {job.output}")


@contextmanager
def _results(
    run: FrameRange, clip: Source, network: ReadyNetwork, analysis: Analysis, *, decoding: StageTimes
) -> Iterator[Iterator[ResultFrame]]:
    """Decode and reconstruct a range of frames, and those beside it that it depends on."""
    camera, exposures = analysis.camera, analysis.exposures
    start, stop = decoded_range(run, exposures, margin=network.margin)
    decoded = encoded_for_network(decoding.timed(clip.frames(start=start, stop=stop), "read"), camera.curve)
    with Prefetch(decoded, depth=DECODED_AHEAD, times=decoding) as frames:
        results = reconstructed(
            frames,
            network.reconstructor,
            exposures=exposures,
            precision=camera.curve.precision(bits=clip.info.bits, lossy=clip.info.lossy),
            primaries=camera.gamut,
        )
        with closing(results):
            yield results


def _write(
    results: Iterable[ResultFrame],
    *,
    run: FrameRange,
    tally: Tally,
    writer: HdrWriter,
    preview: PicturePreview | VideoPreview | None,
    advance: Advance,
    interruption: Interruption,
) -> None:
    """Write the frames of a run, and go no farther."""
    with interruption.between_frames():
        for result in results:
            if run.holds(result.index):
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
            interruption.check(settle=writer.settle)
            if result.index == run.last:
                return
