#!/usr/bin/env python3
"""Requires that each id which the repository cites has a definition, and that code cites each id that is defined.

    rule_ids.py [--self-test] ROOT

README.md's table defines the guarantees (`| G1 |`), docs/PROTOCOL.md the rules (`**R1 `, P, C, F), docs/TESTING.md the
invariants (`| I-A1 |`). --self-test first takes a definition away, doubles one, and takes a citation away, in a tree of
its own, and requires that each is flagged.
"""

import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True  # no __pycache__ in the source tree
from include_rules import repository_files  # noqa: E402

HOMES = {
    "G": ("README.md", re.compile(r"^\| (G\d+) \|", re.M)),
    "R": ("docs/PROTOCOL.md", re.compile(r"^\*\*(R\d+) ", re.M)),
    "P": ("docs/PROTOCOL.md", re.compile(r"^\*\*(P\d+) ", re.M)),
    "C": ("docs/PROTOCOL.md", re.compile(r"^\*\*(C\d+) ", re.M)),
    "F": ("docs/PROTOCOL.md", re.compile(r"^\*\*(F\d+) ", re.M)),
    "I": ("docs/TESTING.md", re.compile(r"^\| (I-[A-Z]\d+) \|", re.M)),
}
ID = re.compile(r"\b(?:I-[A-Z]\d+|[GRPC]\d+|F\d{1,2})\b")
CODE = (".cc", ".h", ".thrift", ".pml", ".py", ".cmake", "CMakeLists.txt")
# Adya's names of anomalies, G0 to G2, are in the checker; the self-test names ids of no meaning.
LEFT_OUT = ("sim/checker/", "tests/lint/")


def check_tree(root):
    """Problems found, and how many ids are defined."""
    texts = {}
    for path in repository_files(root):
        if path.endswith((*CODE, ".md")) and not path.startswith(LEFT_OUT):
            with open(os.path.join(root, path), encoding="utf-8") as file:
                texts[path] = file.read()
    problems = []
    defined = set()
    for home, pattern in HOMES.values():
        ids = pattern.findall(texts.get(home, ""))
        problems += [f"{home}: {name} is defined {ids.count(name)} times" for name in sorted(set(ids))
                     if ids.count(name) > 1]
        defined.update(ids)
    cited = set()
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            for name in ID.findall(line):
                if name not in defined:
                    problems.append(f"{path}:{number}: {name} has no definition in {HOMES[name[0]][0]}")
                if path.endswith(CODE):
                    cited.add(name)
    problems += [f"{HOMES[name[0]][0]}: {name} is cited nowhere in the code" for name in sorted(defined - cited)]
    return problems, len(defined)


# ---- Self-test ----

CLEAN = {
    "README.md": "| G1 | atomic |\n| G8 | bounded |\n",
    "docs/PROTOCOL.md": "**R1 Replicated.** It counts (G1).\n\n**R13 Store.** Later.\n\n**P1 Locks** on keys.\n\n"
                        "**C8 Marks.** x\n",
    "docs/TESTING.md": "| I-A1 | one outcome | at the end |\n",
    "common/a.h": "// G1, G8: R1-R13 and P1\n// no ids: c1 R2x kR2 0xC2 LC2-x G2_ XC2 I-a1\n",
    "tests/unit/a_test.cc": 'TEST(A, R4Name) { Check("I-A1: seed"); }  // C8\n',
}
# What is changed in one file, and the problem that this must be.
PLANTED = [
    ("README.md", "| G8 |", "| G9 |", "common/a.h:1: G8 has no definition in README.md"),
    ("README.md", "| G8 |", "| G9 |", "README.md: G9 is cited nowhere in the code"),
    ("docs/PROTOCOL.md", "**R13 ", "R13 ", "common/a.h:1: R13 has no definition in docs/PROTOCOL.md"),
    ("docs/PROTOCOL.md", "x\n", "x\n\n**C8 Again.** y\n", "docs/PROTOCOL.md: C8 is defined 2 times"),
    ("docs/TESTING.md", "I-A1", "I-A2", "tests/unit/a_test.cc:1: I-A1 has no definition in docs/TESTING.md"),
    ("tests/unit/a_test.cc", "// C8", "", "docs/PROTOCOL.md: C8 is cited nowhere in the code"),
    ("common/a.h", "P1", "P2", "common/a.h:1: P2 has no definition in docs/PROTOCOL.md"),
    ("docs/PROTOCOL.md", "(G1)", "(G7)", "docs/PROTOCOL.md:1: G7 has no definition in README.md"),
]


def self_test():
    def problems_of(files):
        with tempfile.TemporaryDirectory() as root:
            for path, content in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(content)
            return check_tree(root)[0]

    problems = [f"self-test: the clean tree is flagged: {problem}" for problem in problems_of(CLEAN)]
    for path, old, new, wanted in PLANTED:
        assert old in CLEAN[path]
        found = problems_of({**CLEAN, path: CLEAN[path].replace(old, new, 1)})
        if wanted not in found:
            problems.append(f"self-test: {old!r} for {new!r} in {path} is to give {wanted!r}, and gives {found}")
    return problems


def main(arguments):
    roots = [a for a in arguments if a != "--self-test"]
    if len(roots) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    problems = self_test() if "--self-test" in arguments else []
    found, count = check_tree(roots[0])
    problems += found
    print("\n".join(problems) if problems else f"{count} ids are defined, and cited")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
