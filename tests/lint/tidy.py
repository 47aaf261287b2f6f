#!/usr/bin/env python3
"""clang-tidy over the tree.

    tidy.py ROOT BUILD [--jobs N] [--tests I/N] [FILE...]

Checks each .cc file that BUILD/compile_commands.json compiles (or those given, by their path under ROOT), once each,
however many libraries are made of it. Those of one library are checked some at a time, as if they were one file: what
they include is then read once, which is most of the time. --tests takes of the tests' files, which stand alone, every
Nth, beginning at the Ith; with `today` for I, another slice each day. Prints what clang-tidy finds, and exits with 1 if
there is anything. The checks are those of .clang-tidy.
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

# -Wno-error: warnings are GCC's business; here they would hide what clang-tidy looks for.
COMMAND = ["clang-tidy", "--quiet", "--extra-arg=-Wno-error", "--extra-arg=-Wno-unknown-warning-option"]
TOGETHER_MAX = 8


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


def target_of(entry):
    """Names what the file is compiled for: the folder of its object file."""
    return re.search(r" -o (\S+\.dir)/", entry["command"]).group(1)


def batches_of(paths, commands):
    """Lists of files that are checked at once: those that one target compiles alike."""
    targets = {}
    for path in paths:
        alone = path.startswith("tests" + os.sep)
        targets.setdefault(path if alone else target_of(commands[path]), []).append(path)
    return [files[i : i + TOGETHER_MAX] for files in targets.values() for i in range(0, len(files), TOGETHER_MAX)]


def check(batch, root, commands):
    """What clang-tidy says of the files of a batch: one by one, where they do not compile as one."""
    said = run(batch, root, commands)
    if len(batch) > 1 and "[clang-diagnostic-error]" in said:
        return "".join(run([path], root, commands) for path in batch)
    return said


def run(batch, root, commands):
    with tempfile.TemporaryDirectory() as database:
        entry, checked, command = commands[batch[0]], os.path.join(root, batch[0]), COMMAND
        if len(batch) > 1:
            checked = os.path.join(database, "together.cc")
            with open(checked, "w", encoding="utf-8") as file:
                file.writelines(f'#include "{os.path.realpath(os.path.join(root, path))}"\n' for path in batch)
            entry = dict(entry, file=checked, command=entry["command"].replace(entry["file"], checked))
            command = COMMAND + ["--checks=-bugprone-suspicious-include"]
        with open(os.path.join(database, "compile_commands.json"), "w", encoding="utf-8") as file:
            json.dump([entry], file)
        done = subprocess.run(command + ["-p", database, checked], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    # On stderr it counts the warnings of system headers; where it could not work, it says why there.
    if done.returncode == 0 or done.stdout.strip():
        return done.stdout
    return f"{', '.join(batch)}: clang-tidy ended with {done.returncode}: {done.stderr}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("build")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--tests", default="1/1")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_intermixed_args()
    first, step = arguments.tests.split("/")
    step = int(step)
    first = datetime.date.today().toordinal() % step + 1 if first == "today" else int(first)

    commands = commands_of(arguments.root, arguments.build)
    strange = [path for path in arguments.files if path not in commands]
    if strange:
        print(f"left out, since {arguments.build} does not compile them: {', '.join(strange)}", file=sys.stderr)
    tests = [path for path in sorted(commands) if path.startswith("tests" + os.sep)]
    wanted = arguments.files or sorted(set(commands) - set(tests)) + tests[first - 1 :: step]
    paths = [path for path in wanted if path in commands]
    if not paths and not arguments.files:
        print(f"nothing to check: {arguments.build} compiles no such file", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(arguments.jobs) as pool:
        said = pool.map(lambda batch: check(batch, arguments.root, commands), batches_of(paths, commands))
        found = [text for text in said if text.strip()]
    print("".join(found), end="")
    print(f"{len(paths)} files{', with findings' if found else ', nothing found'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
