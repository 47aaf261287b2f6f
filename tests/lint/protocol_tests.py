#!/usr/bin/env python3
"""Requires that what docs/PROTOCOL.md says of the rules' places and tests is so.

    protocol_tests.py [--self-test] ROOT

Each test that it names exists: `Suite.Name`, or `.Name` for one of the suite before in the same list item. Each rule
(`**R1 ...`) has one section (`### R1 ...`), which names a test, in the rules' order. The files (`folder/file.cc`) that
any page of docs/, README.md or CONTRIBUTING.md names exist; NAME stands for one that is to be made. In the section
WALK of ARCHITECTURE each file of a step has the functions that are named after it.
--self-test first breaks each of these in a small page, and requires that it is flagged.
"""

import glob
import os
import re
import sys

PAGE = "docs/PROTOCOL.md"
WALK = ("docs/ARCHITECTURE.md", "## The same in code")


def read(path):
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def items(page):
    """List items, paragraphs, headings and rows of tables, each with the number of its first line."""
    found = []
    for number, line in enumerate(page.splitlines(), 1):
        if not found or re.match(r"\s*$|- |#|\|", line) or re.match(r"\s*$|#|\|", found[-1][1]):
            found.append((number, line))
        else:
            found[-1] = (found[-1][0], found[-1][1] + "\n" + line)
    return found


def check_files(where, page, exists):
    return [f"{where}:{number}: no file {path}" for number, line in enumerate(page.splitlines(), 1)
            for path in re.findall(r"`(\w+/[\w/]+\.\w+)`", line) if "NAME" not in path and not exists(path)]


def check_walk(page, text_of):
    """Problems found, and how many functions are named. `text_of`: of a file; empty if there is none."""
    problems = []
    count = 0
    section = page.partition(WALK[1] + "\n")[2].partition("\n## ")[0]
    for step in re.split(r"\n(?=\d+\. )", section):
        path = None
        for name in re.findall(r"`([^`]+)`", step) if step[:1].isdigit() else []:
            if re.fullmatch(r"\w+/[\w/]+\.\w+", name):
                path = name
            else:
                count += 1
                if path is None or not re.search(r"\b" + re.escape(name) + r"(?!\w)", text_of(path)):
                    problems.append(f"{WALK[0]}: {WALK[1]}: no {name} in {path}")
    return problems if count else [f"{WALK[0]}: {WALK[1]}: names no functions"], count


def check_page(page, tests):
    """Problems found, and the tests named. `tests`: (suite, name)."""
    suites = {suite for suite, _ in tests}
    problems = []
    named = []
    rules = re.findall(r"^\*\*([RPCF]\d+) ", page, re.M)
    sections = {}
    section = None
    for number, text in items(page):
        heading = re.match(r"#+ ([RPCF]\d+\b)?", text)
        if heading:
            section = heading[1]
            if section:
                sections[section] = 0
        suite = None
        for given, name in re.findall(r"`([A-Z]\w+)?\.([A-Z]\w+|\*)`", text):
            suite = given or suite
            named.append((suite, name))
            if not (suite in suites if name == "*" else (suite, name) in tests):
                problems.append(f"{PAGE}:{number}: no test {suite}.{name}")
            if section:
                sections[section] += 1
    if list(sections) != rules:
        problems.append(f"{PAGE}: rules are {' '.join(rules)}, and their sections {' '.join(sections)}")
    problems += [f"{PAGE}: no test of {rule}" for rule, count in sections.items() if count == 0]
    return problems, named


def self_test():
    page = ("**R1 A.** x\n\n**P1 B** y\n\n### R1 A\n\nWhere: `wal/a.cc`\n\n- `One.First`,\n  `.Second`\n- `Two.*`\n\n"
            "### P1 B\n\n- `Two.Third`\n")
    tests = {("One", "First"), ("One", "Second"), ("Two", "Third")}
    planted = [("`.Second`", "`.Third`", f"{PAGE}:9: no test One.Third"),
               ("`One.First`", "`One.Last`", f"{PAGE}:9: no test One.Last"),
               ("`Two.*`", "`Ten.*`", f"{PAGE}:11: no test Ten.*"),
               ("- `Two.*`", "- `.Second`", f"{PAGE}:11: no test None.Second"),
               ("wal/a", "wal/b", f"{PAGE}:7: no file wal/b.cc"),
               ("**P1 ", "**P2 ", f"{PAGE}: rules are R1 P2, and their sections R1 P1"),
               ("- `Two.Third`", "none", f"{PAGE}: no test of P1")]

    walk = (WALK[1] + "\n\nOf `X`.\n\n1. x: `wal/a.cc` `A::Run`,\n   `Go(B& b)`\n2. y: `wal/b.cc` `Run`\n\n"
            "## Next\n\n1. `C`\n")
    sources = {"wal/a.cc": "void A::Run() {}\nvoid Go(B& b) {}", "wal/b.cc": "Run();"}
    walked = [("", "", None), ("A::Run", "A::Ru", "no A::Ru in wal/a.cc"), ("wal/b", "wal/c", "no Run in wal/c.cc"),
              ("`wal/a.cc` ", "", "no A::Run in None"), (WALK[1], "## Gone", "names no functions")]

    def problems_of(text):
        return check_page(text, tests)[0] + check_files(PAGE, text, {"wal/a.cc", "wal/NAME.cc"}.__contains__)

    problems = [f"self-test: the clean page is flagged: {problem}" for problem in problems_of(page)]
    for old, new, wanted in planted:
        found = problems_of(page.replace(old, new, 1))
        if wanted not in found:
            problems.append(f"self-test: {old!r} for {new!r} is to give {wanted!r}, and gives {found}")
    for old, new, wanted in walked:
        found = check_walk(walk.replace(old, new, 1), lambda path: sources.get(path, ""))[0]
        if not any(problem.endswith(wanted) for problem in found) if wanted else found:
            problems.append(f"self-test: {old!r} for {new!r} in the walk is to give {wanted!r}, and gives {found}")
    return problems


def main(arguments):
    roots = [a for a in arguments if a != "--self-test"]
    if len(roots) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    root = roots[0]
    tests = set()
    for path in glob.glob(f"{root}/tests/**/*_test.cc", recursive=True):
        with open(path, encoding="utf-8") as source:
            tests.update(re.findall(r"TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\)", source.read()))
    with open(f"{root}/{PAGE}", encoding="utf-8") as page:
        problems, named = check_page(page.read(), tests)
    for path in sorted([*glob.glob(f"{root}/docs/*.md"), f"{root}/README.md", f"{root}/CONTRIBUTING.md"]):
        with open(path, encoding="utf-8") as page:
            problems += check_files(os.path.relpath(path, root), page.read(),
                                    lambda name: os.path.isfile(os.path.join(root, name)))
    with open(f"{root}/{WALK[0]}", encoding="utf-8") as page:
        wrong, walked = check_walk(page.read(), lambda path: read(os.path.join(root, path)))
    problems += wrong
    if "--self-test" in arguments:
        problems += self_test()
    print("\n".join(problems) if problems else f"{len(set(named))} tests are named ({len(named)} times), and exist; "
          f"{walked} functions are where ARCHITECTURE says")
    return 1 if problems or not named else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
