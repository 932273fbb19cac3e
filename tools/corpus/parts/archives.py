"""Reads files out of .deb and .tgz packages in one pass, without unpacking to disk."""

import gzip
import re
import subprocess
import tarfile
import zlib


class Damaged(Exception):
    """The archive cannot be read to its end."""


def members(path, pattern):
    """(name, bytes) of the regular files whose names match; .gz and .dz ones inflated. Sorted by name."""
    wanted = re.compile(pattern)
    try:
        found = _deb_members(path, wanted) if str(path).endswith(".deb") else _tar_members(path, wanted)
        return sorted((name, _inflate(name, data)) for name, data in found)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise Damaged(f"{path}: {error}") from error


def _deb_members(path, wanted):
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            found = _matching(tar, wanted)
        process.stdout.read()
        said = process.stderr.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise OSError(said or "dpkg-deb failed")
    return found


def _tar_members(path, wanted):
    with tarfile.open(path, "r:gz") as tar:
        return _matching(tar, wanted)


def _matching(tar, wanted):
    # Links (symbolic or hard) name a file that is there under its own name already.
    return [(m.name, tar.extractfile(m).read()) for m in tar if m.isreg() and wanted.search(m.name)]


def _inflate(name, data):
    return gzip.decompress(data) if name.endswith((".gz", ".dz")) else data
