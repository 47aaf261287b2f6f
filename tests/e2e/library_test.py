"""The library as other projects see it: installed, found by CMake and by pkg-config alone, linked shared and static, and
built as a part of another project. The example is what uses it."""

import glob
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import DEADLINE, DIRECTORY, OK, Cluster  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "examples", "cpp")
BUILD, CMAKE, CXX = (os.environ["ASSENT_" + name] for name in ("BUILD", "CMAKE", "CXX"))
# Where it stays the same, a compiler cache knows what it built there.
HOME = os.path.join(DIRECTORY, "library")
PREFIX = os.path.join(HOME, "prefix")
LIB = os.path.join(PREFIX, "lib")
STRICT = ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(other LANGUAGES CXX)
{use}
add_{kind} {transfer})
target_link_libraries(other PRIVATE {target})
"""


def do(*command):
    """stdout of a command that succeeds."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * DEADLINE,
                          env={**os.environ, "PKG_CONFIG_PATH": os.path.join(LIB, "pkgconfig")})
    if done.returncode != OK:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def project(name, use, target, kind="executable(other"):
    """A project of the example's source; configured, and not built. Its build directory."""
    source = os.path.join(HOME, name)
    os.makedirs(source)
    with open(os.path.join(source, "CMakeLists.txt"), "w") as file:
        file.write(PROJECT.format(use=use, kind=kind, target=target, transfer=os.path.join(EXAMPLE, "transfer.cc")))
    return configure(source, os.path.join(source, "build"))


def configure(source, build):
    do(CMAKE, "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={PREFIX}", f"-DCMAKE_CXX_COMPILER={CXX}",
       "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON")
    return build


def dynamic_section(program):
    return do("readelf", "--dynamic", program)


class Library(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(HOME, ignore_errors=True)
        os.makedirs(HOME)
        do(CMAKE, "--install", BUILD, "--prefix", PREFIX)

    def check_transfer(self, program):
        """It makes a transfer, and its ways of failing are those that it documents."""
        env = {**os.environ, "LD_LIBRARY_PATH": LIB}

        def run(addresses, amount):
            done = subprocess.run([program, addresses, "a", "b", amount], capture_output=True, text=True, env=env,
                                  timeout=DEADLINE)
            return done.returncode, done.stdout, done.stderr

        cluster = Cluster("library")
        try:
            self.assertEqual(cluster.run("exec", "put a 100", "put b 0")[0], OK)
            code, out, err = run(cluster.connect, "10")
            self.assertEqual((code, err), (OK, ""))
            self.assertRegex(out, r"\Acommitted c1\.\S+\na = 90\nb = 10\n\Z")
            code, out, err = run(cluster.connect, "91")
            self.assertEqual((code, out), (3, ""))
            self.assertIn("below floor", err)
            self.assertEqual(cluster.stop(), OK)
            code, out, err = run(cluster.connect, "10")
            self.assertEqual((code, out), (1, ""))
            for address in cluster.addresses:
                self.assertIn(f"cannot connect to {address}: Connection refused", err)
        finally:
            cluster.close()

    def test_example_with_cmake(self):
        build = configure(EXAMPLE, os.path.join(HOME, "example"))
        do(CMAKE, "--build", build)
        program = os.path.join(build, "transfer")
        self.assertRegex(dynamic_section(program), r"NEEDED.*\[libassent\.so\.0\.2\]")
        self.check_transfer(program)

    def test_static_library_with_cmake(self):
        build = project("static", "find_package(assent 0.2 REQUIRED)", "assent::client_static")
        do(CMAKE, "--build", build)
        self.assertNotIn("libassent", dynamic_section(os.path.join(build, "other")))

    def test_example_with_pkg_config_alone(self):
        for package, static in (("assent", ""), ("assent-static", "1")):
            with self.subTest(package=package):
                folder = os.path.join(HOME, package)
                shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("transfer"))
                do("make", "-C", folder, f"STATIC={static}", f"CXX={CXX}", "CXXFLAGS=" + " ".join(STRICT[1:]))
                program = os.path.join(folder, "transfer")
                self.assertEqual("libassent" in dynamic_section(program), not static)
                self.check_transfer(program)

    def test_pkg_config_with_static(self):
        options = do("pkg-config", "--cflags", "--libs", "--static", "assent-static").split()
        program = os.path.join(HOME, "with-static")
        do(CXX, "-std=c++20", os.path.join(EXAMPLE, "transfer.cc"), "-o", program, *options)
        self.assertNotIn("libassent", dynamic_section(program))

    def test_headers_compile_alone(self):
        headers = glob.glob(os.path.join(PREFIX, "include", "assent", "*.h"))
        self.assertEqual(sorted(os.path.basename(h) for h in headers),
                         sorted(os.listdir(os.path.join(ROOT, "include", "assent"))))
        source = os.path.join(HOME, "alone.cc")
        for header in headers:
            with open(source, "w") as file:
                file.write(f"#include <assent/{os.path.basename(header)}>\n")
            do(CXX, *STRICT, "-fsyntax-only", f"-I{PREFIX}/include", source)
            depends = do(CXX, "-std=c++20", "-M", f"-I{PREFIX}/include", source)
            self.assertNotRegex(depends, r"/(thrift|boost|glog)/")

    def test_exports_the_api_alone(self):
        names = [line.split(" ", 2) for line in do("nm", "-D", "-C", "--defined-only",
                                                   os.path.join(LIB, "libassent.so")).splitlines()]
        self.assertEqual([name for _, _, name in names if not name.startswith("assent::")], [])
        for inner in ("assent::wire::", "assent::codec::", "::Impl", "Session", "Server", "Loop", "LogRecord"):
            self.assertEqual([name for _, _, name in names if inner in name], [])
        self.assertIn("assent::Client::Execute", " ".join(name for _, _, name in names))
        # Every function that a header marks is there: the shared library is linked whole.
        self.assertIn("assent::ParseTxnId", " ".join(name for _, _, name in names))

    def test_version_is_one(self):
        version = do("pkg-config", "--modversion", "assent").strip()
        self.assertRegex(version, r"\A\d+\.\d+\.\d+\Z")
        self.assertEqual(do("pkg-config", "--modversion", "assent-static").strip(), version)
        self.assertIn(version, do(os.path.join(PREFIX, "bin", "assent"), "--version"))
        soname = "libassent.so." + version.rsplit(".", 1)[0]
        self.assertIn(f"soname: [{soname}]", dynamic_section(os.path.join(LIB, "libassent.so")))

    def test_as_a_part_of_another_project(self):
        for name, use in (("subdirectory", f"add_subdirectory({ROOT} assent)"),
                          ("fetched", "include(FetchContent)\n"
                                      f"FetchContent_Declare(assent SOURCE_DIR {ROOT})\nFetchContent_MakeAvailable(assent)")):
            with self.subTest(name):
                # An object library: its source is compiled as that of a program would be, and Assent is not.
                build = project(name, use, "assent::client", kind="library(other OBJECT")
                targets = do(CMAKE, "--build", build, "--target", "help")
                self.assertIn("assent_shared:", targets)
                self.assertNotRegex(targets, r"(?m)^(assent|assent-sim|unit_tests|assent_python):")
                with open(os.path.join(build, "compile_commands.json")) as file:
                    commands = {entry["file"]: entry["command"] for entry in json.load(file)}
                self.assertNotIn(" -W", commands[os.path.join(EXAMPLE, "transfer.cc")])
                self.assertNotIn("-Werror", " ".join(commands.values()))
                do(CMAKE, "--build", build, "--target", "other")
                do(CMAKE, "--install", build, "--prefix", os.path.join(HOME, name, "prefix"))
                self.assertFalse(os.path.exists(os.path.join(HOME, name, "prefix")), "the part installs itself")

    def test_idl_is_one_for_other_languages(self):
        idl = os.path.join(PREFIX, "share", "assent", "assent.thrift")
        for language, made in (("java", "org/assent/wire/TransactionManager.java"), ("go", "assent/assent.go"),
                               ("js:node", "TransactionManager.js"), ("py", "assent_wire/TransactionManager.py")):
            with self.subTest(language):
                out = os.path.join(HOME, "idl-" + language.replace(":", "-"))
                os.makedirs(out)
                do("thrift", "-strict", "--gen", language, "-out", out, idl)
                self.assertTrue(os.path.exists(os.path.join(out, made)), os.listdir(out))


if __name__ == "__main__":
    unittest.main(verbosity=2)
