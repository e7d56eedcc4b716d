"""A small disk that a test may fill. Only root can mount one."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def small_disk():
    """Give a function that mounts a disk of a size at a folder of its own, such as `make("4m")`."""
    folder, mount = Path(tempfile.mkdtemp(prefix="flasky-disk-")), shutil.which("mount")

    def make(size):
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if not mount or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this machine lets nobody mount a disk here")
        return folder

    try:
        yield make
    finally:
        if os.path.ismount(folder):
            subprocess.run([shutil.which("umount"), "--lazy", folder], check=True)
        folder.rmdir()


def fill(folder):
    """Fill a disk to the last byte."""
    with suppress(OSError), open(folder / "full", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
