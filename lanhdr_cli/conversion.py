"""The job of `lanhdr convert`: from a clip to EXR frames or a video, and a preview."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import torch

from lanhdr_cli.camera import Camera, find_camera, in_rec709
from lanhdr_cli.console import frame_progress
from lanhdr_cli.deflicker import flicker_told
from lanhdr_cli.destination import Destination, HdrWriter, origin_of, plan_destination
from lanhdr_cli.device import DeviceError
from lanhdr_cli.exposures import Look, checked_exposures, estimated_exposures, known_exposures
from lanhdr_cli.first_look import FirstLook
from lanhdr_cli.loading import Loaded, check_weights, load_reconstructor
from lanhdr_cli.media.errors import MediaError
from lanhdr_cli.media.exr import ClipRecord
from lanhdr_cli.media.formats import check_output, check_preview
from lanhdr_cli.media.output import prepare_folder, refuse_existing, refuse_sources
from lanhdr_cli.media.response import encoded_for_network
from lanhdr_cli.media.source import Source, open_source
from lanhdr_cli.params import FrameRange
from lanhdr_cli.pipeline import Prefetch, reconstructed
from lanhdr_cli.preview_output import open_preview
from lanhdr_cli.request import Request
from model.cycle import FrameExposures
from train.environment import lanhdr_version

DECODED_AHEAD = 2

logger = logging.getLogger(__name__)


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
    if writer.frames_with_gaps:
        logger.warning("%d frames held values that are no numbers; they are 0 in the files", writer.frames_with_gaps)
    last = request.frames.first + writer.written - 1
    if request.frames.last is not None and last < request.frames.last:
        logger.warning("--frames asks for frames up to %d, the clip ends with %d", request.frames.last, last)
