"""Finds the root of a published set, reads its lists, and says which files are missing before anything is run."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from train.datasets.listed import shortened
from train.errors import DatasetError

ARCHIVE_ENDINGS = (".tgz", ".tar.gz", ".tar", ".zip", ".7z", ".rar", ".part")


def find_root(data_dir: Path | None, folder: str, *, marks: Sequence[str], source: str) -> Path:
    """Find the folder of a set: the one given, or the one of its published name in it.

    Args:
        data_dir: What the user passed.
        folder: Name of the folder as published.
        marks: What lies directly in it: files, or folders; `*` stands for any name.
        source: Page where the set is published.

    Raises:
        DatasetError: If neither is it.
    """
    if data_dir is None:
        raise DatasetError(f"no folder is given: fetch {folder} from {source} and pass it as --data-dir")
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir} is no folder: pass the folder {folder} (from {source}) as --data-dir")
    for root in (data_dir, data_dir / folder):
        if all(next(root.glob(mark), None) for mark in marks):
            return root
    lacking = ", ".join(mark for mark in marks if not next(_likeliest(data_dir, folder).glob(mark), None))
    raise DatasetError(
        f"{data_dir} is not {folder}: it has no {lacking}{_archive_hint(data_dir, folder)}; pass the unpacked folder "
        f"as --data-dir, the set is published at {source}"
    )


def read_rows(path: Path, *, columns: int, source: str) -> list[list[str]]:
    """Read a list: words in lines, empty lines left out.

    Args:
        path: The list.
        columns: Words that every line must have at least.
        source: Page where the set is published.

    Raises:
        DatasetError: If it is missing, empty, no text, or a line has fewer words.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"the list {path} is missing ({error.strerror}): fetch it from {source}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"the list {path} is no text ({error}): fetch it from {source}") from error
    rows = [line.split() for line in lines if line.strip()]
    if not rows:
        raise DatasetError(f"the list {path} is empty: fetch it from {source}")
    short = next((row for row in rows if len(row) < columns), None)
    if short is not None:
        raise DatasetError(f"the list {path} has a line {' '.join(short)!r}, {columns} words are needed: fetch it anew")
    return rows


def read_names(path: Path, *, source: str) -> list[str]:
    """Read the first word of each line; errors as of `read_rows`."""
    return [row[0] for row in read_rows(path, columns=1, source=source)]


def demand_files(paths: Iterable[Path], *, root: Path, source: str) -> None:
    """Look whether all files are there and none is empty.

    Raises:
        DatasetError: If not; the first few are named, and all are counted.
    """
    wanted = list(dict.fromkeys(paths))
    lacking = [path for path in wanted if not _has_content(path)]
    if lacking:
        named = shortened([str(path.relative_to(root)) for path in lacking])
        fetched = f", the set is published at {source}" if source else ""
        raise DatasetError(
            f"{root}: {len(lacking):,} of {len(wanted):,} files are missing or empty: {named}; unpack or copy the "
            f"whole set again{fetched}"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _likeliest(data_dir: Path, folder: str) -> Path:
    return data_dir / folder if (data_dir / folder).is_dir() else data_dir


def _archive_hint(data_dir: Path, folder: str) -> str:
    """Words about an archive that lies there and nobody has unpacked."""
    candidates = (data_dir / f"{folder}{ending}" for ending in ARCHIVE_ENDINGS)
    archive = next((path for path in candidates if path.exists()), None)
    return f" ({archive.name} is there, but not unpacked)" if archive else ""
