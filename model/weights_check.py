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
        raise WeightsError(f"{path} states a header of {length} bytes, it has {size}: fetch it again")


def check_checkpoint(path: Path) -> None:
    """Make sure that a checkpoint is a zip file as `torch.save` writes it: nothing compressed, and tensors alone.

    Compressed entries can hold a thousand times their size; a pickle can name functions and make large objects.

    Raises:
        WeightsError: If it is something else.
    """
    foreign = f"{path} is no file of weights, nothing was run: pass .safetensors or ckpt.pt"
    try:
        _check_size(path, path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
            if not stored or len(entries) > MOST_ENTRIES or len(pickles) != 1:
                raise WeightsError(foreign)
            if pickles[0].file_size > LARGEST_PICKLE:
                raise WeightsError(foreign)
            content = archive.read(pickles[0])
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST") and not NAMES.fullmatch(str(argument)):
                name = str(argument).replace(" ", ".")[:60]
                raise WeightsError(foreign.replace("nothing", f"it names {name}, nothing"))
            if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
                raise WeightsError(foreign)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(foreign) from error


def _check_size(path: Path, size: int) -> None:
    if size > LARGEST_FILE:
        raise WeightsError(f"{path} has {size >> 20} MiB, weights at most {LARGEST_FILE >> 20}: pass a file of weights")
