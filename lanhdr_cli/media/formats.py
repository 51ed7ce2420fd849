"""What a suffix says; nothing else in the house looks at one."""

from pathlib import PurePath

from lanhdr_cli.media.errors import MediaError

EXR_SUFFIX = ".exr"
PREVIEW_SUFFIX = ".png"
WEIGHTS_SUFFIX = ".safetensors"
PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr"})
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # of video that is written, as FFmpeg says them


def check_output(target: str) -> None:
    """Make sure that `-o` names EXR frames (a folder with a slash at its end, or a name ending in .exr), or a video.

    Raises:
        MediaError: If it names anything else.
    """
    suffix = PurePath(target).suffix.lower()
    if not target.endswith("/") and suffix != EXR_SUFFIX and suffix not in CONTAINERS:
        raise MediaError(
            f"-o {target}: can't write {suffix or 'a name without suffix'}; "
            "pass out.mp4, .mov or .mkv for video, out.exr, or out/ for a folder"
        )


def check_preview(path: PurePath) -> None:
    """Make sure that the preview is to be a PNG, or a video.

    Raises:
        MediaError: If it names anything else.
    """
    if path.suffix.lower() != PREVIEW_SUFFIX and not is_video(path):
        raise MediaError(f"--preview {path}: can only write PNG and video; pass e.g. preview.png or preview.mp4")


def is_video(path: PurePath) -> bool:
    """Tell whether a name to write to is that of a video."""
    return path.suffix.lower() in CONTAINERS


def container_of(path: PurePath) -> str:
    """FFmpeg's name of the format of a video to write."""
    return CONTAINERS[path.suffix.lower()]


def is_picture(path: PurePath) -> bool:
    """Tell whether a file is one of those that make up image sequences."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def check_plot(path: PurePath) -> None:
    """Make sure that a drawing is to be a PNG.

    Raises:
        MediaError: If it names anything else.
    """
    if path.suffix.lower() != PREVIEW_SUFFIX:
        raise MediaError(f"--plot {path}: can only write PNG; pass e.g. --plot plot.png")


def check_weights(path: PurePath) -> None:
    """Make sure that weights are to be written as safetensors.

    Raises:
        MediaError: If not.
    """
    if path.suffix.lower() != WEIGHTS_SUFFIX:
        raise MediaError(f"-o {path}: weights are written as {WEIGHTS_SUFFIX}; pass e.g. weights{WEIGHTS_SUFFIX}")
