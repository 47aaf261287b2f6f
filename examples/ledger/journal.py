"""An append-only journal of JSON records that survives kill -9 and power loss.

One record a line: CRC-32 of the JSON in 8 hex digits, a blank, the JSON, a newline. append() returns once the record is
on disk. On open, a bad last line without a newline is a torn tail, never acknowledged, and is cut; any other bad line
is damage, and the journal refuses to open rather than guess.
"""

import fcntl
import json
import os
import zlib


class Damaged(Exception):
    pass


def encode(record):
    body = json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line):
    """The record of one whole line, or None."""
    crc, _, body = line.rstrip(b"\n").partition(b" ")
    if line[-1:] != b"\n" or crc != b"%08x" % zlib.crc32(body):
        return None
    return json.loads(body)


class Journal:
    def __init__(self, path):
        self._path = path
        created = not os.path.exists(path)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:  # two processes with one journal would each believe that its own view is the whole
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise Damaged(f"{path}: in use by another process") from None
        if created:  # the file's name must be durable before anything in it counts
            self._sync_directory()
        self._records = self._load()

    def records(self):
        """What was in the journal when it was opened, in order."""
        return self._records

    def append(self, record):
        data = encode(record)
        try:
            while data:
                data = data[os.write(self._fd, data):]
            os.fsync(self._fd)
        except OSError as error:
            # After a failed write or fsync nobody knows what is on disk. Only a restart, which reads it, can say.
            print(f"{self._path}: {error}; stopping", flush=True)
            os._exit(1)

    def _load(self):
        with open(self._path, "rb") as file:
            lines = file.readlines()
        records, offset = [], 0
        for number, line in enumerate(lines, start=1):
            record = decode(line)
            if record is None:
                if number < len(lines) or line.endswith(b"\n"):
                    raise Damaged(f"{self._path}: line {number} is damaged; restore the file from a copy")
                os.ftruncate(self._fd, offset)  # a torn tail
                os.fsync(self._fd)
                break
            records.append(record)
            offset += len(line)
        # The process that wrote these records may not have forced them, and answers will depend on them.
        os.fsync(self._fd)
        return records

    def _sync_directory(self):
        directory = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
