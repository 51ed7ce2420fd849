"""Advice on input that can't be read: files that are not there, and kinds of files that need another program first."""

import os
import re
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from lanhdr_cli.media.paths import shell_word

PICTURE_KINDS = "PNG, TIFF, JPEG, OpenEXR, BMP and camera raw"
UNREAD_PICTURES = frozenset(
    {".webp", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".gif", ".tga", ".dpx", ".cin", ".hdr", ".ppm", ".psd"}
)
MOVING_PICTURES = frozenset({".gif"})  # of which one file may be a clip
UNREAD_VIDEO = {
    ".mlv": "raw video of Magic Lantern: export CinemaDNG with MLV App (or mlv_dump --dng), and pass its folder",
    ".braw": "raw video of Blackmagic: export it as ProRes 4444 with DaVinci Resolve",
    ".r3d": "raw video of RED: export it as ProRes 4444 with REDCINE-X PRO or DaVinci Resolve",
    ".crm": "raw video of Canon: export it as ProRes 4444 with Cinema RAW Development or DaVinci Resolve",
    ".ari": "raw video of ARRI: export it as ProRes 4444 with ARRI Reference Tool or DaVinci Resolve",
}


def missing_file(path: Path) -> str:
    """Say that a file is not there, and what to do if it is an address or a path of Windows."""
    text = str(path)
    if re.match(r"[a-z][a-z0-9+.-]+:/", text, re.IGNORECASE):
        address = re.sub(":/+", "://", text, count=1)  # Path took one of the slashes
        return f"{address} is an address, and only files are read: download it, and pass the file"
    if os.name != "nt" and re.match(r"[a-z]:[\\/]", text, re.IGNORECASE):
        windows = PureWindowsPath(text)
        mounted = Path("/mnt", windows.drive[0].lower(), *windows.parts[1:])
        return f"{text} is a path of Windows: pass it as it is called here, under WSL e.g. {shell_word(mounted)}"
    return f"no such file: {text}"


def unread_kind(path: Path) -> str | None:
    """Say what to do with a file of a kind that needs another program first; None if it may be read."""
    suffix = path.suffix.lower()
    if advice := UNREAD_VIDEO.get(suffix):
        return f"{path} is {advice}"
    if suffix in UNREAD_PICTURES and suffix not in MOVING_PICTURES:
        return f"{path} is a picture that is not read: {converted([path])}"
    return None


def converted(paths: Iterable[Path]) -> str:
    """Say how to make pictures that are read of others in one folder; no pictures among them need no advice."""
    unread = [path for path in paths if path.suffix.lower() in UNREAD_PICTURES]
    if not unread:
        return f"{PICTURE_KINDS} are read"
    folder, suffix = unread[0].parent, unread[0].suffix
    pattern = f"{shell_word(folder)}/*{suffix}"
    return f"make PNG of {suffix} first, e.g. by ImageMagick: magick mogrify -format png {pattern}"
