"""Training data for a machine that has OpenCV and little else: `python -m tools.pack DATA -o packed/train`."""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from model.errors import LanHdrError
from tools.pack_images import (
    MIB,
    Part,
    Unit,
    deal_out,
    fill_folder,
    pack_bracket,
    pack_frames,
    pack_hdr_picture,
    pack_ldr_picture,
    pack_listed,
)
from tools.pack_videos import pack_video
from train.data import hdr_patches, vimeo90k
from train.data.brackets import bracket_files
from train.data.clips import Findings, evenly, shortened, split_runs
from train.data.folder import Listing, list_folder
from train.data.videos import pyav_available
from train.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Options of packing."""

    most_bytes: int  # largest size of a part
    split: str = "train"  # which list of a set that has several is used, `train` or `validation`
    clips: int | None = None  # most clips of a set that has a list, evenly chosen; None for all


@dataclass(frozen=True, kw_only=True)
class PackResult:
    """The parts that data was packed into."""

    parts: tuple[tuple[str, Part], ...]  # each with its folder's name, in order
    left_out: tuple[str, ...]  # videos that training would leave out as well
    missing: tuple[str, ...]  # what is empty or unfinished in the data


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the parts; made here.")
@click.option("--part-mib", type=click.FloatRange(min=0, min_open=True), default=55, show_default=True,
              help="Largest size of a part.")  # fmt: skip
@click.option("--clips", type=click.IntRange(min=1), default=200, show_default=True,
              help="Most clips of a set like Vimeo-90K, evenly chosen.")  # fmt: skip
@click.option("--held-out", is_flag=True, help="Take the test lists of such sets: data to validate on.")
def main(data: Path, output: Path, *, part_mib: float, clips: int, held_out: bool) -> None:
    """Pack a folder of training data into part1, part2 ... of limited size, in forms that OpenCV alone reads.

    The folder of the parts is again a folder of training data, with the same pictures and clips.
    """
    options = PackOptions(most_bytes=int(part_mib * MIB), split="validation" if held_out else "train", clips=clips)
    try:
        result = pack(data, output, options)
    except LanHdrError as error:
        raise click.ClickException(str(error)) from error
    for line in report(result, output):
        click.echo(line)


def pack(data: Path, output: Path, options: PackOptions) -> PackResult:
    """Pack a folder of training data, see `train.data.folder.find_sources`; `output` appears when all is packed.

    Raises:
        DatasetError: If there is nothing to pack, something cannot be read, or the output is there already.
    """
    if not data.is_dir():
        raise DatasetError(f"{data} is not a folder: pass one that holds training data")
    if output.exists():
        raise DatasetError(f"{output} exists: remove it, or pass another -o")
    listing = list_folder(data)
    if listing.videos and not pyav_available():
        raise DatasetError(f"packing {len(listing.videos)} videos needs the package av: pip install av")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
            staged, made = Path(folder) / "staged", Path(folder) / "made"
            packed = list(units_of(listing, data, staged=staged, options=options))
            units = [unit for _, unit in packed if unit]
            if not units:
                raise DatasetError(f"{data} holds no usable picture or video: pass a folder of training data")
            dealt = deal_out(units, most_bytes=options.most_bytes)
            parts = tuple((f"part{number}", part) for number, part in enumerate(dealt, 1))
            for name, part in parts:
                fill_folder(part.units, made / name, origin=staged)
            made.rename(output)
    except OSError as error:
        raise DatasetError(f"{output} cannot be written ({error}): check free space and permissions") from error
    left_out = tuple(name for name, unit in packed if unit is None)
    return PackResult(parts=parts, left_out=left_out, missing=tuple(listing.missing))


def units_of(listing: Listing, data: Path, *, staged: Path, options: PackOptions) -> Iterator[tuple[str, Unit | None]]:
    """Convert everything in a listing of `data` into a form that OpenCV reads, one unit after the other, in `staged`.

    Yields:
        The name of each picture or clip, with its unit, or None if it is left out.

    Raises:
        DatasetError: If something cannot be read, or not made small enough.
    """
    findings = Findings()  # of no interest here: training reports them
    runs, singles = split_runs(listing.hdr, findings=findings)
    most = options.most_bytes

    def target(path: Path) -> Path:
        return staged / path.relative_to(data)

    for run in runs:
        yield run.name, pack_frames(run, target(Path(run.folder)), most_bytes=most)
    for path in singles:
        yield path.name, pack_hdr_picture(path, target(path), most_bytes=most)
    loose = list(listing.ldr)
    for folder in listing.brackets:
        try:
            yield folder.name, pack_bracket(folder, target(folder), most_bytes=most)
        except DatasetError:
            loose += bracket_files(folder)  # as training takes them
    for path in loose:
        yield path.name, pack_ldr_picture(path, target(path), most_bytes=most)
    for path in listing.videos:
        yield path.name, pack_video(path, target(path), most_bytes=most)
    septuplets = ("Vimeo-90K septuplets", vimeo90k.find_septuplets, vimeo90k.LISTS[options.split])
    patches = ("HDR video patches", hdr_patches.find_patches, hdr_patches.LISTS[options.split][0])
    for folders, (kind, find_clips, list_name) in ((listing.vimeo90k, septuplets), (listing.patches, patches)):
        for folder in folders:
            clips = find_clips(folder, options.split, findings=findings)
            chosen = [clips[index] for index in evenly(len(clips), limit=options.clips)]
            for unit in pack_listed(chosen, folder=folder, target=target(folder), list_name=list_name, kind=kind):
                yield unit.name, unit


def report(result: PackResult, output: Path) -> list[str]:
    """Report what was packed: a line per part, and one per kind of change."""
    total = sum(part.size for _, part in result.parts) / MIB
    lines = [f"{output}: {total:.1f} MiB in {len(result.parts)} parts"]
    changed: dict[str, list[str]] = defaultdict(list)
    for name, part in result.parts:
        counts = sorted(Counter(unit.kind for unit in part.units).items())
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts)
        lines.append(f"  {name}: {part.size / MIB:.1f} MiB, {kinds}")
        for unit in part.units:
            for change in unit.changes:
                changed[change].append(unit.name)
    lines += [f"{change}: {len(names)} ({shortened(names)})" for change, names in sorted(changed.items())]
    if result.left_out:
        lines.append(f"left out, too short: {len(result.left_out)} ({shortened(result.left_out)})")
    return [*lines, *result.missing]


if __name__ == "__main__":
    main()
