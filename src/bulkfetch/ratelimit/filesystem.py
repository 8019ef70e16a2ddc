"""Whether a folder can hold a database that several processes lock."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# f_type of file systems that may be mounted on several machines, or whose locks may not reach
# all of them (linux/magic.h and the file systems' own headers). FUSE is among them because sshfs
# and virtiofs are FUSE, and nothing tells them from a local one.
_SHARED = {
    0x00006969: "NFS",
    0x0000517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x0000564C: "NCP",
    0x01021997: "9P",
    0x65735546: "FUSE",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x19830326: "BeeGFS",
    0x786F4256: "a VirtualBox share",
    0xAAD7AAEA: "PanFS",
}
# More than any libc's struct statfs; f_type is its first member, a C long.
_STATFS_BYTES = 512


def shared_file_system(folder: Path) -> str | None:
    """Name the file system under a folder if other machines may share it. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if libc.statfs(os.fsencode(folder), found):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
    return _SHARED.get(ctypes.c_long.from_buffer(found).value & 0xFFFFFFFF)
