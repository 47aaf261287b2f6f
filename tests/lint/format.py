#!/usr/bin/env python3
"""clang-format over the tree: format.py ROOT [--jobs N]. Prints what it would change; exits with 1 if anything."""

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # nothing is written beside the sources
from include_rules import repository_files  # noqa: E402

AT_ONCE = 16  # files


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    files = [path for path in repository_files(arguments.root) if path.endswith((".cc", ".h"))]

    def check(some):
        return subprocess.run(["clang-format", "--dry-run", "--Werror", *some], cwd=arguments.root, check=False).returncode

    with ThreadPoolExecutor(arguments.jobs) as pool:
        bad = any(list(pool.map(check, [files[at:at + AT_ONCE] for at in range(0, len(files), AT_ONCE)])))
    print(f"{len(files)} files, " + ("some are not formatted" if bad else "all formatted"))
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
