"""`python -m tools.fuzz`: damaged inputs by the thousand, and a table of what they did."""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.fuzz.cases import FINDINGS, Case, Outcome, load_program, run_case
from tools.fuzz.seeds import Seed, all_seeds


def made_seeds(folder: Path) -> list[Seed]:
    """Make the intact inputs in a process of its own, as encoders start threads, which a fork would lose."""
    import pickle

    store = folder / "seeds.pickle"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # encoders talk
            store.write_bytes(pickle.dumps(all_seeds(folder, _inspected)))
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        sys.exit("the intact inputs could not be made")
    seeds: list[Seed] = pickle.loads(store.read_bytes())
    return seeds


def _inspected(path: Path) -> bytes:
    command = (sys.executable, "-m", "lanhdr_cli", "inspect", "-q", "--json", str(path))
    return subprocess.run(command, check=True, capture_output=True).stdout


def run_cases(
    seeds: Sequence[Seed], folder: Path, *, inputs: int, random_seed: int, first: int = 0
) -> Iterator[tuple[Case, tuple[str, ...], str, Outcome]]:
    """Run cases, the seeds in turn; yield each with its arguments, its damage and its outcome."""
    for number in range(first, first + inputs):
        seed = seeds[number % len(seeds)]
        case = Case(seed=seed, number=number, random_seed=random_seed)
        place = folder / "case"
        place.mkdir()
        try:
            arguments, how = case.prepare(place, [other for other in seeds if other.kind == seed.kind])
            stand_in = not {"checkpoint", "safetensors"} & {seed.kind} and case.number % 8 > 0
            outcome = run_case(arguments, place, frames=seed.frames, stand_in=stand_in)
            yield case, arguments, how, outcome
        finally:
            shutil.rmtree(place, ignore_errors=True)  # gone, if the run ends early


def main() -> None:
    """Fuzz, print findings as they come and a table at the end; exit with 1 if there were any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seconds", type=float, default=math.inf, help="time after which no case begins")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="name of an intact input, or several between commas")
    parser.add_argument("--keep", type=Path, help="folder for inputs with findings")
    options = parser.parse_args()
    load_program()
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        seeds = made_seeds(folder)
        if options.only:
            seeds = [seed for seed in seeds if seed.name in options.only.split(",")]
        cases = run_cases(seeds, folder, inputs=options.inputs, random_seed=options.seed, first=options.first)
        begin = time.monotonic()
        for case, arguments, how, outcome in cases:
            if time.monotonic() - begin > options.seconds:
                break
            count = counts.setdefault(case.seed.name, Counter())
            count["inputs"] += 1
            count[f"exit {outcome.code}"] += 1
            count[outcome.finding] += 1
            count["slowest"] = max(count["slowest"], round(1000 * outcome.seconds))
            count["largest"] = max(count["largest"], outcome.memory >> 20)
            if outcome.finding:
                _tell(case, arguments, how, outcome)
                if options.keep:
                    kept = options.keep / f"{case.seed.name}-{case.random_seed}-{case.number}"
                    shutil.copytree(folder / "case", kept, dirs_exist_ok=True)
    print_table(counts)
    sys.exit(any(count[finding] for count in counts.values() for finding in FINDINGS))


def _tell(case: Case, arguments: tuple[str, ...], how: str, outcome: Outcome) -> None:
    print(f"== {outcome.finding}: {case.seed.name}, case {case.number} of seed {case.random_seed}: {how}")
    print("  lanhdr", " ".join(arguments))
    print(f"  exit {outcome.code}, {outcome.seconds:.1f} s, {outcome.memory >> 20} MiB, {outcome.written} frames")
    print("  " + "\n  ".join(line[:300] for line in outcome.told.strip().splitlines()[-12:]), flush=True)


def print_table(counts: dict[str, Counter[str]]) -> None:
    """Print a row per intact input, and one of all."""
    columns = ("inputs", "exit 0", "exit 1", "exit 3", *FINDINGS, "slowest", "largest")
    print(f"{'':18}" + "".join(f"{column:>10}" for column in columns))
    total: Counter[str] = Counter()
    for name, count in counts.items():
        print(f"{name:18}" + "".join(f"{count[column]:>10}" for column in columns))
        largest = {key: max(total[key], count[key]) for key in ("slowest", "largest")}
        total += count
        total |= Counter()
        total.update({key: largest[key] - total[key] for key in largest})
    print(f"{'all':18}" + "".join(f"{total[column]:>10}" for column in columns) + "   (ms, MiB)")


if __name__ == "__main__":
    main()
