"""Bounds on files of weights, checked before anything in them is read: their size, and what they would make."""

import pickletools
import re
import zipfile
import zlib
from pathlib import Path

from model.errors import WeightsError

LARGEST_FILE = 1 << 30  # bytes; the published network has 11 MB
LARGEST_HEADER = 1 << 24  # of safetensors: names, shapes and the record
LARGEST_PICKLE = 1 << 22  # of a checkpoint, without its tensors: 20,000 of them
MOST_ENTRIES = 100_000
INSTEAD = "pass .safetensors or ckpt.pt"
MOST_SHARED = 16  # tuples that are used again: of tuples in tuples, each doubles the time to compare them
# What a state dict is made of. `weights_only` knows more, e.g. arrays of bytes of any length.
NAMES = re.compile(
    r"collections OrderedDict|torch (Size|\w+Storage)|torch\.storage UntypedStorage|"
    r"torch\._utils _rebuild_(tensor_v2|parameter)"
)


def check_safetensors(path: Path, header: bytes) -> None:
    """Hold the stated length of a header against the file's.

    Args:
        header: The first 8 bytes of the file.

    Raises:
        WeightsError: If the header is longer than its file or than any that is known, or the file is too large.
        OSError: If the file is gone.
    """
    size, length = path.stat().st_size, int.from_bytes(header[:8], "little")
    _check_size(path, size)
    if length > min(size - 8, LARGEST_HEADER):
        raise WeightsError(f"{path} is damaged (of {size} bytes, {length} would be its header): fetch it again")


def check_checkpoint(path: Path) -> None:
    """Make sure that a checkpoint is a zip file as `torch.save` writes it: nothing compressed, and tensors alone.

    Compressed entries can hold a thousand times their size; a pickle can name functions and make large objects.

    Raises:
        WeightsError: If it is something else.
    """
    try:
        _check_size(path, path.stat().st_size)
        reason = _foreign_name(_pickle_of(path))
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{path} is no file of weights, nothing was run: {INSTEAD}") from error
    if reason:
        raise WeightsError(f"{path} is no file of weights, nothing was run ({reason}): {INSTEAD}")


def _pickle_of(path: Path) -> bytes:
    """Read the pickle of a checkpoint; a ValueError says that this is none."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
        if not stored or len(entries) > MOST_ENTRIES or len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise ValueError("not as torch.save writes it")
        return archive.read(pickles[0])


def _foreign_name(content: bytes) -> str:
    """Say what a pickle holds beside tensors; empty if it is nothing."""
    tuples, shared, last = set[object](), 0, ""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("GLOBAL", "INST") and not NAMES.fullmatch(str(argument)):
            return f"it names {str(argument).replace(' ', '.')[:60]}"
        if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            return "it makes up names"
        if "PUT" in opcode.name and last.startswith("TUPLE"):
            tuples.add(argument)
        shared += "GET" in opcode.name and argument in tuples
        last = opcode.name
    return "it holds lists in lists" if shared > MOST_SHARED else ""


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size >> 20} MiB, weights at most {LARGEST_FILE >> 20}: pass a file of weights")
