#!/usr/bin/env python3
"""House rules that a compiler does not check: who may include what, and what may lie in the repository.

    include_rules.py [--self-test] ROOT

Reads the files that git tracks or would track under ROOT (all files where there is no git). Prints one line per
violation, `path:line: rule: what; why`, and exits with 1 if there is any. --self-test first plants violations in
a temporary directory and requires that each is flagged, and that a clean tree is not.

docs/ARCHITECTURE.md's table "Where things are" is held against RULES: both name the same folders and say the same.
"""

import fnmatch
import os
import re
import subprocess
import sys
import tempfile

# The names that an #include can have, beside a path of our own. A name is in the first class that lists it.
LIBRARIES = {
    "clock, thread, I/O, randomness": """chrono thread mutex shared_mutex condition_variable future atomic semaphore latch
        barrier stop_token random iostream fstream istream ostream sstream streambuf filesystem cstdio ctime csignal
        clocale locale print coroutine execution""",
    "unordered containers": "unordered_map unordered_set",
    "std": """algorithm any array bit bitset cassert cctype cerrno cfloat charconv cinttypes climits cmath compare
        concepts cstdarg cstddef cstdint cstdlib cstring cwchar deque exception functional initializer_list ios iterator
        limits list map memory memory_resource new numbers numeric optional queue ranges ratio set source_location
        span stack stdexcept string string_view system_error tuple type_traits typeinfo utility valarray variant
        vector version""",
    "posix": """unistd.h fcntl.h poll.h dirent.h signal.h pthread.h netdb.h dlfcn.h ifaddrs.h termios.h spawn.h arpa/* net/*
        netinet/* sys/* linux/* sched.h time.h""",
    "sqlite": "sqlite3.h",
    "xxhash": "xxhash.h",
    "thrift library": "thrift/*",
    "glog": "glog/*",
    "boost": "boost/*",
    "toml": "toml++/*",
    "cli11": "CLI/*",
    "json": "nlohmann/*",
    "histedit": "histedit.h",
    "libpq": "libpq-fe.h",
    "libmariadb": "mysql.h",
    "gtest": "gtest/* gmock/*",
}
# In words for the table below. "standard" is the whole standard library; "pure" what a protocol core may use.
STANDARD = ["std", "unordered containers", "clock, thread, I/O, randomness"]
PURE = ["std"]
ANY_LIBRARY = list(LIBRARIES)

# path pattern, what it may include (classes above, `generated` = code made from the IDL, patterns of our own
# paths), and why. The first pattern that matches a file is its rule; a file that none matches is a violation.
RULES = [
    ("include/*", STANDARD + ["include/*"],
     "an application includes this: it must not need more than the standard library"),
    ("common/*", STANDARD + ["include/*", "common/*"], "common/ is what everything rests on, so it rests on nothing"),
    ("wal/posix_file.*", STANDARD + ["posix", "common/*", "wal/*"],
     "the one place of wal/ that knows the operating system"),
    ("wal/*", STANDARD + ["xxhash", "common/*", "wal/*"],
     "the log reaches the disk through wal/file.h alone, so that a simulated disk can stand under it"),
    ("store/*", STANDARD + ["sqlite", "posix", "xxhash", "common/*", "store/*"],
     "the store knows SQLite and its file, and nothing of replication or protocols"),
    ("directory/*", STANDARD + ["posix", "xxhash", "common/*", "directory/*"], "views and placement only"),
    ("thrift/*", STANDARD + ["thrift library", "generated", "common/*", "thrift/*"],
     "the codec translates between wire structs and common/, and does nothing else"),
    ("backup/*", PURE + ["backup/*", "common/*"],
     "a protocol core is deterministic: no I/O, clock, thread, random source, logger, Thrift or SQLite"),
    ("coordinator/*", PURE + ["coordinator/*", "common/*"],
     "a protocol core is deterministic: no I/O, clock, thread, random source, logger, Thrift or SQLite"),
    ("participant/*", PURE + ["participant/*", "common/*"],
     "a protocol core is deterministic: no I/O, clock, thread, random source, logger, Thrift or SQLite"),
    ("runtime/transport/*", STANDARD + ["posix", "thrift library", "glog", "boost", "runtime/transport/*", "common/*"],
     "the transport carries any Thrift service: it knows none"),
    ("runtime/config/*", STANDARD + ["posix", "toml", "runtime/config/*", "runtime/transport/address.h", "directory/*",
     "common/*"],
     "configuration and data directories are read without starting anything"),
    ("driver/*", STANDARD + ["posix", "driver/*", "backup/*", "wal/*", "store/*", "common/*"],
     "the driver joins replication to an abstract role core, in the simulator, too: no threads, sockets or particular role"),
    ("runtime/*", STANDARD + ["posix", "thrift library", "glog", "boost", "generated", "runtime/*", "driver/*", "backup/*",
     "thrift/*", "wal/*", "store/*", "directory/*", "common/*"],
     "a node's threads, clocks and sockets know no particular role and no service"),
    ("rm/*", STANDARD + ["posix", "libpq", "libmariadb", "thrift library", "generated", "rm/*", "runtime/transport/*", "thrift/*", "common/*"],
     "a kind of resource manager is spoken to here, and nothing is decided"),
    ("server/*", STANDARD + ["posix", "thrift library", "glog", "boost", "generated", "server/*", "coordinator/*",
     "participant/*", "rm/*", "runtime/*", "driver/*", "thrift/*", "common/*"], "services stand on the node and its cores"),
    ("client/*", STANDARD + ["thrift library", "glog", "boost", "generated", "include/*", "client/*", "runtime/transport/*",
     "thrift/*", "common/*"], "the client library must not drag the server in"),
    ("cli/*", ANY_LIBRARY + ["generated", "cli/*", "bench/*", "include/*", "client/*", "coordinator/*", "participant/*", "backup/*",
     "driver/*", "rm/*", "runtime/*", "server/*", "thrift/*", "wal/*", "store/*", "directory/*", "common/*"], "the program is no place for sim/"),
    ("bench/*", ANY_LIBRARY + ["generated", "bench/*", "include/*", "client/*", "cli/*", "coordinator/*", "participant/*", "backup/*",
     "driver/*", "rm/*", "runtime/*", "server/*", "thrift/*", "wal/*", "store/*", "directory/*", "common/*"], "benchmarks run the real thing"),
    ("sim/*", ANY_LIBRARY + ["sim/*", "backup/*", "coordinator/*", "participant/*", "driver/*", "wal/*", "store/*",
     "client/outcome.h", "common/*"], "the simulator runs cores over its own world"),
    ("tests/*", ANY_LIBRARY + ["generated", "*"], "tests may look anywhere"),
    ("examples/*", ANY_LIBRARY + ["include/*"], "examples use what applications use"),
]
# Patterns of our own paths that are closed to a file although its rule's patterns match them.
CLOSED = [
    ("wal/posix_file.*", ["common/*", "store/*", "directory/*", "thrift/*", "backup/*", "coordinator/*", "participant/*",
     "driver/*", "wal/*", "sim/*"], "only a program chooses the real disk"),
]
CLOSED_EXEMPT = ["wal/posix_file.*"]

# Directories whose code must give the same result for the same input.
CORES = ["backup/*", "coordinator/*", "participant/*"]
CORE_TEXT = [
    (re.compile(r"\bunordered_(map|set|multimap|multiset)\b"), "the order of an unordered container is arbitrary"),
    (re.compile(r"\b(std::rand|random_device|gettimeofday|clock_gettime|getenv)\b"), "a core knows no world outside"),
]

SOURCE = (".h", ".cc", ".py", ".sh", ".cmake", "CMakeLists.txt")  # not the IDL, which is mostly documentation
LINES_MAX = 600  # beyond it, a file has a seam to be cut at
COLUMNS_MAX = 110  # .clang-format's ColumnLimit: the formatter leaves lists and diagrams in comments as they are
# Words in pieces, so that this file does not flag itself.
TEXT = [
    (re.compile(r"\b(TO" r"DO|FIX" r"ME)\b"), "unfinished", "finish it, or write down what is missing as an issue"),
    (re.compile(r"(/wo" r"rk/|\.\./sha" r"red\b|\bsha" r"red/(?=\w+\.(md|sh|pml)\b|model/|hooks/|fresh-))"), "foreign-path",
     "the repository stands on its own"),
]
GENERATED_NAMES = ["*/gen-*/*", "gen-*/*", "*_types.cpp", "*_constants.cpp", "*.o", "*.a", "*.so", "*.pyc", "*.gch",
                   "build*/*", "*/CMakeCache.txt", "*.ninja", "compile_commands.json"]
GENERATED_TEXT = b"Autogenerated by " + b"Thrift Compiler"

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def library_of(name):
    for library, names in LIBRARIES.items():
        if matches(name, names.split()):
            return library
    return None


def repository_files(root):
    try:
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True).stdout.decode().split("\0")
        return sorted({path for path in listed if path and os.path.isfile(os.path.join(root, path))})
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith(("build", "."))]
            found += [os.path.relpath(os.path.join(folder, f), root) for f in files]
        return sorted(found)


def generated_headers(root, files):
    """Names under which code generated from the IDL is included: no file of the repository has them."""
    names = set()
    for path in files:
        if not path.endswith(".thrift"):
            continue
        stem = os.path.basename(path)[: -len(".thrift")]
        names |= {f"{stem}_types.h", f"{stem}_constants.h"}
        with open(os.path.join(root, path), encoding="utf-8") as idl:
            names |= {f"{service}.h" for service in re.findall(r"^service\s+(\w+)", idl.read(), re.M)}
    return names


def check_include(path, name, quoted, files, generated):
    """The rule broken by this include and why, or None."""
    rule = next((r for r in RULES if fnmatch.fnmatchcase(path, r[0])), None)
    if rule is None:
        return "no-rule", "no row of RULES covers this file: add one, with its reason"
    _, allowed, why = rule
    if not quoted and name.startswith("assent/"):
        name, quoted = f"include/{name}", True
    elif name.startswith("include/"):
        return "include-path", f'"{name}" is to be included as <{name[len("include/"):]}>, as applications do'
    if not quoted:
        library = library_of(name)
        if library is None:
            return "unknown-library", f"<{name}> is in no class of LIBRARIES: is it a dependency of the project?"
        return None if library in allowed else ("include", f"<{name}> ({library}); {why}")
    if os.path.basename(name) in generated and name not in files:
        return None if "generated" in allowed else ("include", f'"{name}" (generated); {why}')
    if name not in files:
        beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if beside in files and path.startswith("tests/"):
            return None
        return "include-path", f'"{name}" is no path from the root of the repository'
    if not matches(name, allowed):
        return "include", f'"{name}"; {why}'
    for closed, to, closed_why in CLOSED:
        if fnmatch.fnmatchcase(name, closed) and matches(path, to) and not matches(path, CLOSED_EXEMPT):
            return "include", f'"{name}"; {closed_why}'
    return None


def check_file(root, path, files, generated):
    with open(os.path.join(root, path), "rb") as file:
        raw = file.read()
    if matches(path, GENERATED_NAMES) or GENERATED_TEXT in raw[:2000]:
        yield 1, "generated", "made by a tool; it belongs into the build tree"
        return
    if b"\0" in raw:
        yield 1, "binary", "a reviewer cannot read it"
        return
    try:
        lines = raw.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        yield 1, "binary", "not UTF-8"
        return
    if path.endswith(SOURCE) and len(lines) > LINES_MAX:
        yield LINES_MAX, "too-long", f"{len(lines)} lines, more than {LINES_MAX}: look for the seam"
    is_cpp = path.endswith((".h", ".cc"))
    is_core = is_cpp and matches(path, CORES)
    for number, line in enumerate(lines, 1):
        for pattern, rule, why in TEXT:
            if pattern.search(line):
                yield number, rule, why
        if not is_cpp:
            continue
        if line.lstrip().startswith("//") and len(line) > COLUMNS_MAX:
            yield number, "too-wide", f"{len(line)} columns, more than {COLUMNS_MAX}"
        include = INCLUDE.match(line)
        if include:
            broken = check_include(path, include[2], include[1] == '"', files, generated)
            if broken:
                yield number, *broken
        elif is_core:
            for pattern, why in CORE_TEXT:
                if pattern.search(line.split("//")[0]):
                    yield number, "core-text", why
    if is_cpp and not any(fnmatch.fnmatchcase(path, rule[0]) for rule in RULES):
        yield 1, "no-rule", "no row of RULES covers this file: add one, with its reason"


def check_tree(root):
    paths = repository_files(root)
    files = set(paths)
    generated = generated_headers(root, paths)
    found = [(path, *violation) for path in paths for violation in check_file(root, path, files, generated)]
    if TABLE in files:
        with open(os.path.join(root, TABLE), encoding="utf-8") as page:
            found += check_table(page.read(), paths)
    return found


# ---- The table of docs/ARCHITECTURE.md ----

TABLE = "docs/ARCHITECTURE.md"


def own_patterns(pattern, allowed):
    """What of our own tree this rule's files may include beside themselves, as the table writes it."""
    own = {name[:-2] if name.endswith("/*") else name for name in allowed
           if name != "generated" and name not in LIBRARIES}
    return own - {os.path.dirname(pattern), "*"} if pattern.endswith("/*") else own - {"*"}


def check_table(page, paths):
    """Problems found in the rows `| `folder/`, ... | owns | may include |` of the page."""
    rules = {pattern: own_patterns(pattern, allowed) for pattern, allowed, _ in RULES}
    listed = set()
    problems = []
    before = set()
    for number, line in enumerate(page.splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not re.match(r"\| `[\w.]+/", line) or len(cells) != 3:
            continue
        names = [name + "*" if name.endswith("/") else name for name in re.findall(r"`([^`]+)`", cells[0])]
        says = set(re.findall(r"`([^`]+)`", cells[2]))
        if cells[2].startswith("the same"):
            says |= before
        before = says
        listed.update(names)
        for name in names:
            top = name.split("/")[0] + "/*"
            if name not in rules and (top in rules or says):
                problems.append((TABLE, number, "table", f"{name}: no row of RULES"))
            elif name in rules and rules[name] - {name.split("/")[0]} != says - {name.split("/")[0]}:
                problems.append((TABLE, number, "table", f"{name} may include {', '.join(sorted(rules[name]))}"))
    wanted = {path.split("/")[0] + "/*" for path in paths if "/" in path and not path.startswith((".", "docs/"))}
    wanted |= {pattern for pattern in rules if pattern.endswith("/*")}
    problems += [(TABLE, 1, "table", f"no row for {name}") for name in sorted(wanted - listed)]
    return problems


# ---- Self-test ----

# A small tree that keeps every rule.
CLEAN = {
    "common/ids.h": "#include <assent/ids.h>\n#include <unordered_map>\n",
    "wal/file.h": '#include "common/ids.h"\n',
    "wal/log.cc": '#include <xxhash.h>\n#include "wal/file.h"\n',
    "wal/posix_file.h": '#include "wal/file.h"\n',
    "wal/posix_file.cc": '#include "wal/posix_file.h"\n#include <fcntl.h>\n',
    "store/store.h": '#include <sqlite3.h>\n#include "common/ids.h"\n',
    "thrift/assent.thrift": "service Peer {\n}\n",
    "thrift/codec.cc": '#include "assent_types.h"\n#include "common/ids.h"\n',
    "backup/replication.h": '#include <map>\n#include "common/ids.h"\n',
    "coordinator/coordinator.h": '#include <map>\n#include "common/ids.h"\n// not an unordered_map: see there\n',
    "server/transaction_manager.cc": '#include <mutex>\n#include <glog/logging.h>\n#include "coordinator/coordinator.h"\n'
                             '#include "runtime/loop.h"\n#include "Peer.h"\n',
    "participant/participant.h": '#include "common/ids.h"\n',
    "runtime/loop.h": "#include <thread>\n",
    "driver/replica.cc": '#include "backup/replication.h"\n#include "wal/file.h"\n#include "store/store.h"\n',
    "runtime/node.cc": '#include "driver/replica.cc"\n#include "wal/posix_file.h"\n',
    "runtime/transport/server.h": "#include <thrift/TProcessor.h>\n",
    "include/assent/client.h": "#include <assent/ids.h>\n#include <string>\n",
    "include/assent/ids.h": "#include <string>\n",
    "client/client.cc": '#include <assent/client.h>\n#include "runtime/transport/server.h"\n',
    "cli/main.cc": '#include <CLI/CLI.hpp>\n#include "server/transaction_manager.cc"\n#include "wal/posix_file.h"\n',
    "sim/disk.h": '#include "wal/file.h"\n',
    "tests/unit/x_test.cc": '#include <gtest/gtest.h>\n#include "sim/disk.h"\n#include "helper.h"\n',
    "tests/unit/helper.h": "#include <random>\n",
    "docs/PROTOCOL.md": "Locks are sha" + "red/exclusive.\n" + "line\n" * 700,
}

# path, content, and the rule that must flag it.
PLANTED = [
    ("common/a.h", '#include "wal/file.h"\n', "include"),
    ("common/a.h", "#include <boost/asio.hpp>\n", "include"),
    ("wal/a.cc", "#include <unistd.h>\n", "include"),
    ("wal/a.cc", '#include "wal/posix_file.h"\n', "include"),
    ("wal/a.cc", '#include "store/store.h"\n', "include"),
    ("store/a.cc", '#include "wal/file.h"\n', "include"),
    ("store/a.cc", "#include <glog/logging.h>\n", "include"),
    ("directory/a.cc", "#include <sqlite3.h>\n", "include"),
    ("thrift/a.cc", '#include "runtime/loop.h"\n', "include"),
    ("backup/a.cc", "#include <chrono>\n", "include"),
    ("backup/a.cc", '#include "wal/file.h"\n', "include"),
    ("coordinator/a.cc", "#include <unordered_map>\n", "include"),
    ("coordinator/a.cc", "#include <random>\n", "include"),
    ("coordinator/a.cc", "  # include <iostream>\n", "include"),
    ("coordinator/a.cc", "#include <thrift/TProcessor.h>\n", "include"),
    ("coordinator/a.cc", '#include "Peer.h"\n', "include"),
    ("coordinator/a.cc", '#include "participant/participant.h"\n', "include"),
    ("coordinator/a.cc", '#include "server/transaction_manager.cc"\n', "include"),
    ("coordinator/a.cc", "std::unordered_set<int> open_;\n", "core-text"),
    ("participant/a.cc", "#include <thread>\n", "include"),
    ("participant/a.cc", "#include <sqlite3.h>\n", "include"),
    ("participant/a.cc", "int now = clock_gettime(0, &t);\n", "core-text"),
    ("server/a.cc", '#include "client/client.cc"\n', "include"),
    ("server/a.cc", '#include "store/store.h"\n', "include"),
    ("runtime/a.cc", '#include "coordinator/coordinator.h"\n', "include"),
    ("runtime/a.cc", "#include <sqlite3.h>\n", "include"),
    ("runtime/a.cc", '#include "server/transaction_manager.cc"\n', "include"),
    ("driver/a.cc", '#include "runtime/loop.h"\n', "include"),
    ("driver/a.cc", '#include "participant/participant.h"\n', "include"),
    ("driver/a.cc", '#include "wal/posix_file.h"\n', "include"),
    ("driver/a.cc", "#include <thrift/TProcessor.h>\n", "include"),
    ("sim/a.cc", '#include "runtime/loop.h"\n', "include"),
    ("runtime/transport/a.cc", '#include "runtime/loop.h"\n', "include"),
    ("runtime/transport/a.cc", '#include "Peer.h"\n', "include"),
    ("runtime/config/a.cc", "#include <glog/logging.h>\n", "include"),
    ("include/assent/a.h", '#include "common/ids.h"\n', "include"),
    ("include/assent/a.h", "#include <thrift/TProcessor.h>\n", "include"),
    ("backup/a.cc", "#include <assent/client.h>\n", "include"),
    ("common/a.h", "#include <assent/no_such.h>\n", "include-path"),
    ("common/a.h", '#include "include/assent/ids.h"\n', "include-path"),
    ("client/a.cc", '#include "runtime/loop.h"\n', "include"),
    ("cli/a.cc", '#include "sim/disk.h"\n', "include"),
    ("bench/a.cc", '#include "sim/disk.h"\n', "include"),
    ("sim/a.cc", '#include "wal/posix_file.h"\n', "include"),
    ("common/a.h", '#include "ids.h"\n', "include-path"),
    ("common/a.h", "#include <curl/curl.h>\n", "unknown-library"),
    ("novel/a.h", "int x;\n", "no-rule"),
    ("common/a.h", "// TO" + "DO: more\n", "unfinished"),
    ("docs/a.md", "see sha" + "red/design.md\n", "foreign-path"),
    ("scripts/a", "cd /wo" + "rk/main\n", "foreign-path"),
    ("common/a.h", "//\n" * (LINES_MAX + 1), "too-long"),
    ("common/a.h", "//   " + "x" * COLUMNS_MAX + "\n", "too-wide"),
    ("docs/a.bin", "a\0b", "binary"),
    ("thrift/gen-cpp/Peer.h", "int x;\n", "generated"),
    ("thrift/Peer.cc", "/**\n * " + GENERATED_TEXT.decode() + " (0.17.0)\n", "generated"),
]


def self_test():
    """Problems found, as text."""
    problems = []

    def tree_with(extra):
        with tempfile.TemporaryDirectory() as root:
            for path, content in {**CLEAN, **extra}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(content)
            return check_tree(root)

    for path, line, rule, why in tree_with({}):
        problems.append(f"self-test: the clean tree is flagged: {path}:{line}: {rule}: {why}")
    for path, content, wanted in PLANTED:
        found = [(p, rule) for p, _, rule, _ in tree_with({path: content})]
        if (path, wanted) not in found or any(p != path for p, _ in found):
            problems.append(f"self-test: planted {wanted} in {path} ({content[:40]!r}), flagged: {found}")

    rows = []
    for pattern, allowed, _ in RULES:
        may = [f"`{name}`" for name in sorted(own_patterns(pattern, allowed))]
        rows.append(f"| `{pattern[:-1] if pattern.endswith('/*') else pattern}` | x | {', '.join(may)} |\n")
    page = "".join(rows)
    for old, new, wanted in [("", "", None),
                             ("| `wal/` | x | `common` |", "| `wal/` | x | `common`, `store` |", "wal/* may"),
                             ("`client/outcome.h`", "", "sim/* may"),
                             (", `driver`", "", "runtime/* may"),
                             ("| `store/`", "| `stores/`", "no row for store/*"),
                             ("| `store/`", "| `stores/`", "stores/*: no row"),
                             ("| `runtime/config/`", "| `runtime/conf/`", "no row for runtime/config/*")]:
        assert old in page
        found = [why for _, _, _, why in check_table(page.replace(old, new, 1), ["common/a.h", "docs/a.md"])]
        if not any(why.startswith(wanted) for why in found) if wanted else found:
            problems.append(f"self-test: {old!r} for {new!r} in the table, flagged: {found}")
    if not check_table(page, ["novel/a"]):
        problems.append("self-test: a folder without a row in the table is not flagged")
    return problems


def main(arguments):
    roots = [a for a in arguments if a != "--self-test"]
    if len(roots) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    problems = self_test() if "--self-test" in arguments else []
    problems += [f"{path}:{line}: {rule}: {why}" for path, line, rule, why in check_tree(roots[0])]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} violations", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
