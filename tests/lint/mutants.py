#!/usr/bin/env python3
"""Requires that mutants and situations are what common/mutant.h and common/coverage.h say, and in no product.

    mutants.py ROOT               each Mutant has a number of its own, is used in code that the simulator runs, and has
                                  one row in sim/mutants.cc; each Situation is reached somewhere there, and has a name
    mutants.py --program NM FILE  the program has no symbol that only a simulator's build has. Exit code 77 if the
                                  program was not built
"""

import glob
import os
import re
import subprocess
import sys

# The folders that have a twin for the simulator (assent_library(... TWIN)).
FOLDERS = ["common", "wal", "store", "backup", "participant", "coordinator", "driver"]
HOME = {"common/mutant.h", "common/coverage.h", "common/coverage.cc"}
SIMULATOR_SYMBOLS = ["active_mutant", "situation_counts"]
PRODUCT_SYMBOL = "assent::Replica::"  # a program without it was stripped, or is another one: nm proves nothing


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def enumerators(text, enum):
    body = re.search(r"enum class " + enum + r"\b[^{]*\{(.*?)\n\};", text, re.S)[1]
    return re.findall(r"^\s*(k\w+)\s*(?:=\s*(\d+))?,", body, re.M)


def production_sources(root):
    for folder in FOLDERS:
        for path in sorted(glob.glob(f"{root}/{folder}/**/*", recursive=True)):
            relative = os.path.relpath(path, root)
            if path.endswith((".h", ".cc")) and relative not in HOME:
                yield relative


def check_sources(root):
    mutants = [(name, int(number)) for name, number in enumerators(read(root, "common/mutant.h"), "Mutant")]
    situations = [name for name, _ in enumerators(read(root, "common/coverage.h"), "Situation")]
    problems = []
    numbers = [number for _, number in mutants]
    if numbers != sorted(set(numbers)) or mutants[0] != ("kNone", 0):
        problems.append("common/mutant.h: mutants have rising numbers from kNone = 0 on")

    used = {}
    for path in production_sources(root):
        text = re.sub(r"//.*", "", read(root, path))
        for kind, name in re.findall(r"\b(Mutant|Situation)::(k\w+)", text):
            used.setdefault((kind, name), []).append(path)
        if re.search(r"\bASSENT_MUTANTS\b|\bactive_mutant\b|\bsituation_counts\b", text):
            problems.append(f"{path}: only common/mutant.h and common/coverage.h know how a simulator's build differs")
    rows = re.findall(r"\bMutantInfo\{\s*Mutant::(k\w+)", read(root, "sim/mutants.cc"))
    names = re.findall(r"Situation::(k\w+):", read(root, "common/coverage.cc"))
    for name, number in mutants[1:]:
        if ("Mutant", name) not in used:
            problems.append(f"mutant {number}, {name}: used nowhere in {', '.join(FOLDERS)}")
        if rows.count(name) != 1:
            problems.append(f"mutant {number}, {name}: {rows.count(name)} rows in sim/mutants.cc")
    for name in situations:
        if ("Situation", name) not in used:
            problems.append(f"situation {name}: reached nowhere")
        if names.count(name) != 1:
            problems.append(f"situation {name}: {names.count(name)} names in common/coverage.cc")
    print(f"{len(mutants) - 1} mutants, {len(situations)} situations")
    return problems


def check_program(nm, program):
    if not os.path.exists(program):
        print(f"{program} was not built")
        sys.exit(77)
    symbols = subprocess.run([nm, "--demangle", program], check=True, capture_output=True).stdout.decode()
    if PRODUCT_SYMBOL not in symbols:
        return [f"{program} has no symbol {PRODUCT_SYMBOL}*: it cannot be judged"]
    return [f"{program} has the symbol {name}: a library of the simulator's is in it" for name in SIMULATOR_SYMBOLS
            if name in symbols]


def main(arguments):
    if len(arguments) == 3 and arguments[0] == "--program":
        problems = check_program(*arguments[1:])
    elif len(arguments) == 1:
        problems = check_sources(arguments[0])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    print("\n".join(problems) if problems else "as they should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
