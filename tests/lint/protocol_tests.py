#!/usr/bin/env python3
"""Requires that every test which docs/PROTOCOL.md names exists: `Suite.Name`, or `.Name` for one of the suite before.

    protocol_tests.py ROOT
"""

import glob
import re
import sys


def main(root):
    tests = set()
    for path in glob.glob(f"{root}/tests/**/*_test.cc", recursive=True):
        with open(path, encoding="utf-8") as source:
            tests.update(re.findall(r"TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", source.read()))
    suites = {suite for suite, _ in tests}
    with open(f"{root}/docs/PROTOCOL.md", encoding="utf-8") as page:
        lines = page.read().splitlines()
    missing = []
    named = 0
    for number, line in enumerate(lines, 1):
        suite = None
        for given, name in re.findall(r"`([A-Z]\w+)?\.([A-Z]\w+|\*)`", line):
            suite = given or suite
            known = suite in suites if name == "*" else (suite, name) in tests
            named += 1
            if not known:
                missing.append(f"docs/PROTOCOL.md:{number}: no test {suite}.{name}")
    print("\n".join(missing) if missing else f"{named} tests are named, and exist")
    return 1 if missing or named == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
