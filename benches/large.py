#!/usr/bin/env python3
"""Times the commands that read the whole backup list or the whole index, on a large repository.

    cargo run --release -p br-bench --example large_repository FOLDER 100000 10000000
    benches/large.py FOLDER

The first command takes about half an hour and 7 GB. `BR` names the program. Every command runs in turn, five times by default; the script prints the median and the
worst time, and the largest peak memory.
"""

import argparse
import os
import statistics
import subprocess
import time

COMMANDS = {
    "list": ["list"],
    "list --json": ["list", "--json"],
    "forget --dry-run": ["forget", "--dry-run", "--keep-daily", "7"],
    "prune --dry-run": ["prune", "--dry-run"],
}


def run(command):
    """Seconds, and the peak of memory in MB."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the repository")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    program = os.environ.get("BR", "target/release/br")
    found = {name: [] for name in COMMANDS}
    for _ in range(options.rounds):
        for name, words in COMMANDS.items():
            found[name].append(run([program, "-r", options.folder, *words]))
    print("| command | median, s | worst, s | peak, MB |\n|---|---|---|---|")
    for name, runs in found.items():
        seconds, memory = zip(*runs)
        print(f"| `{name}` | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {max(memory):.0f} |")


if __name__ == "__main__":
    main()
