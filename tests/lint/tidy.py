#!/usr/bin/env python3
"""clang-tidy over the tree.

    tidy.py ROOT BUILD [--jobs N] [--slice I/N | FILE...]

Checks each .cc file that BUILD/compile_commands.json compiles (or those given, by their path under ROOT), once each,
however many libraries are made of it. --slice takes every Nth of them, beginning at the Ith; with `today` for I,
another slice each day. Prints what clang-tidy finds, and exits with 1 if there is anything. The checks are those of .clang-tidy.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

# -Wno-error: warnings are GCC's business; here they would hide what clang-tidy looks for.
COMMAND = ["clang-tidy", "--quiet", "--extra-arg=-Wno-error", "--extra-arg=-Wno-unknown-warning-option"]


def commands_of(root, build):
    """One compile command for each file of the repository, by its path under `root`."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    root, build = os.path.realpath(root), os.path.realpath(build)
    one_each = {}
    for entry in entries:
        file = os.path.realpath(os.path.join(entry["directory"], entry["file"]))
        if file.startswith(root + os.sep) and not file.startswith(build + os.sep):
            one_each.setdefault(os.path.relpath(file, root), entry)
    return one_each


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("build")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--slice", default="1/1")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_intermixed_args()
    first, step = arguments.slice.split("/")
    step = int(step)
    first = datetime.date.today().toordinal() % step + 1 if first == "today" else int(first)

    commands = commands_of(arguments.root, arguments.build)
    strange = [path for path in arguments.files if path not in commands]
    if strange:
        print(f"left out, since {arguments.build} does not compile them: {', '.join(strange)}", file=sys.stderr)
    paths = [path for path in arguments.files or sorted(commands)[first - 1 :: step] if path in commands]
    if not paths and not arguments.files:
        print(f"nothing to check: {arguments.build} compiles no such file", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as database, ThreadPoolExecutor(arguments.jobs) as pool:
        with open(os.path.join(database, "compile_commands.json"), "w", encoding="utf-8") as file:
            json.dump([commands[path] for path in paths], file)

        def check(path):
            done = subprocess.run(COMMAND + ["-p", database, os.path.join(arguments.root, path)], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            # On stderr it counts the warnings of system headers; where it could not work, it says why there.
            if done.returncode == 0 or done.stdout.strip():
                return done.stdout
            return f"{path}: clang-tidy ended with {done.returncode}: {done.stderr}\n"

        found = [text for text in pool.map(check, paths) if text.strip()]
    print("".join(found), end="")
    print(f"{len(paths)} files, {len(found)} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
