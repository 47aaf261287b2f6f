"""What pyproject.toml cannot say: the package assent_wire is made by the Thrift compiler, of the interface that this
source tree has. It is not kept here, so that it cannot differ from it."""

import os
import shutil
import subprocess
import tempfile

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.errors import SetupError

INTERFACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "thrift", "assent.thrift")
WIRE = "assent_wire"


class BuildWithWire(build_py):
    def run(self):
        super().run()
        if not os.path.exists(INTERFACE):
            raise SetupError(f"{os.path.normpath(INTERFACE)} is missing: install from a whole tree of Assent's source "
                             "(pip install --no-build-isolation ./client/python)")
        compiler = shutil.which("thrift")
        if compiler is None:
            raise SetupError("the Thrift compiler is missing: apt-get install thrift-compiler")
        with tempfile.TemporaryDirectory() as made:
            subprocess.run([compiler, "-strict", "--gen", "py", "-out", made, INTERFACE], check=True)
            target = os.path.join(self.build_lib, WIRE)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(os.path.join(made, WIRE), target, ignore=shutil.ignore_patterns("*-remote"))


setup(cmdclass={"build_py": BuildWithWire})
