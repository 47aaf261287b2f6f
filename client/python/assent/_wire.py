"""The generated Thrift code, and what to do where it is missing."""

try:
    import thrift  # noqa: F401
except ImportError as error:
    raise ImportError("assent needs Thrift's Python library: apt-get install python3-thrift python3-six") from error

try:
    from assent_wire import TransactionManager, constants, ttypes
except ImportError as error:
    raise ImportError(
        "assent needs the code that the Thrift compiler makes of thrift/assent.thrift: either install the package "
        "(pip install --no-build-isolation ./client/python), or build Assent (cmake --build build --target "
        "assent_python) and put build/python on PYTHONPATH as well") from error

__all__ = ["TransactionManager", "constants", "ttypes"]
