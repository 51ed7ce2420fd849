"""What a suffix says; nothing else in the house looks at one."""

from pathlib import PurePath

from lanhdr_cli.media.errors import MediaError

EXR_SUFFIX = ".exr"
PREVIEW_SUFFIX = ".png"
PICTURE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".exr"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".m4v"})


def check_output(target: str) -> None:
    """Make sure that `-o` names EXR frames: a folder with a slash at its end, or a name ending in .exr.

    Raises:
        MediaError: If it names anything else.
    """
    suffix = PurePath(target).suffix.lower()
    if target.endswith("/") or suffix == EXR_SUFFIX:
        return
    if suffix in VIDEO_SUFFIXES:
        raise MediaError(f"-o {target}: HDR10 output comes in a later release; use .exr, e.g. -o out.exr")
    raise MediaError(
        f"-o {target}: can't write {suffix or 'a name without suffix'}; pass out.exr, or out/ for a folder"
    )


def check_preview(path: PurePath) -> None:
    """Make sure that the preview is to be a PNG.

    Raises:
        MediaError: If it names anything else.
    """
    if path.suffix.lower() != PREVIEW_SUFFIX:
        raise MediaError(f"--preview {path}: can only write PNG; pass e.g. --preview preview.png")


def is_picture(path: PurePath) -> bool:
    """Tell whether a file is one of those that make up image sequences."""
    return path.suffix.lower() in PICTURE_SUFFIXES
