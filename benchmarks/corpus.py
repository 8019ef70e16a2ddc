"""The bodies that are fetched and unpacked: made from a seed, once, and kept.

A body's two-digit code is its file's name and the beginning of every job id that asks for it (see
`nginx`). Its one member is named as its first job's would be.
"""

# ruff: noqa: SIM905  (word lists are easier to read as running text)

from __future__ import annotations

import gzip
import json
import os
import random
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from benchmarks.model import Contents

SEED = 20240611
# Changed with everything that changes the bytes.
EDITION = 2

STREAM, STREAM_TENTH = "10", "11"
CRM = ("20", "21", "22", "23")
TINY = "30"

_WORDS = (
    "account asked budget call contract customer delivery demo discount email follow invoice later "
    "lead licence meeting month offer order partner price product project quarter quote renewal "
    "review sales sent support team trial update urgent visit waiting week yes"
).split()
_NAMES = (
    "Ana Bauer Chen Dvorak Eriksen Fischer Garcia Hansen Ito Jansen Kowalska Lopez Meyer Novak "
    "Okafor Petrov Quist Rossi Sato Tanaka Urban Varga Weiss Xu Yilmaz Zimmer"
).split()
_COLUMNS = (
    "Id,First_Name,Last_Name,Email,Phone,Company,Lead_Source,Lead_Status,Rating,Annual_Revenue,"
    "No_of_Employees,Street,City,Zip_Code,Country,Owner,Created_Time,Modified_Time,External_Id,"
    "Description"
)


@dataclass(frozen=True, slots=True)
class Body:
    """One ZIP: its own size and CRC-32, and those of the file within."""

    code: str
    zip_bytes: int
    zip_crc32: int
    bytes: int
    crc32: int

    def job_ids(self, count: int, first: int = 0) -> list[str]:
        """Give distinct job ids that are answered with this body."""
        return [job_id(self.code, first + number) for number in range(count)]


def job_id(code: str, number: int) -> str:
    """Give the `number`-th job id of a body."""
    return f"{code}{number:017d}"


class Corpus:
    """All bodies of one size of run, in one folder."""

    def __init__(self, folder: Path, bodies: dict[str, Body]) -> None:
        self.folder = folder
        self.bodies = bodies

    def path(self, code: str) -> Path:
        """Give a ZIP's path."""
        return self.folder / f"{code}.zip"

    def load(self) -> None:
        """Read all through once, so that the page cache has it."""
        for path in self.folder.iterdir():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass

    def gzip_path(self, code: str) -> Path:
        """Give the path of the same deflated data as a gzip file."""
        return self.folder / f"{code}.gz"

    def zips(self, codes: list[str]) -> Contents:
        """Say what fetching these bodies leaves."""
        return Counter((self.bodies[c].zip_bytes, self.bodies[c].zip_crc32) for c in codes)

    def files(self, codes: list[str]) -> Contents:
        """Say what fetching and unpacking these bodies leaves."""
        return Counter((self.bodies[c].bytes, self.bodies[c].crc32) for c in codes)


def prepare(data: Path, *, quick: bool, tell: Callable[[str], None]) -> Corpus:
    """Make the bodies where they are not there yet. `quick` makes them a tenth to a twentieth."""
    folder = data / ("quick" if quick else "full")
    manifest = folder / "bodies.json"
    if manifest.exists():
        found = json.loads(manifest.read_text())
        if found["edition"] == EDITION:
            return Corpus(folder, {b["code"]: Body(**b) for b in found["bodies"]})
    tell(f"making the data in {folder} …")
    folder.mkdir(parents=True, exist_ok=True)
    stream_bytes = 50_000_000 if quick else 500_000_000
    rows = 20_000 if quick else 200_000
    plans: dict[str, tuple[int, Callable[[], Iterator[bytes]]]] = {
        STREAM: (zipfile.ZIP_STORED, lambda: noise(STREAM, stream_bytes)),
        STREAM_TENTH: (zipfile.ZIP_STORED, lambda: noise(STREAM_TENTH, stream_bytes // 10)),
        TINY: (zipfile.ZIP_DEFLATED, lambda: csv(TINY, 3)),
    }
    for code in CRM:
        plans[code] = (zipfile.ZIP_DEFLATED, lambda code=code: csv(code, rows))  # type: ignore[misc]
    bodies = [_make(folder, code, *plan) for code, plan in plans.items()]
    for code in CRM:
        _as_gzip(folder / f"{code}.zip", folder / f"{code}.gz")
    manifest.write_text(
        json.dumps({"edition": EDITION, "bodies": [asdict(body) for body in bodies]}, indent=1)
    )
    return Corpus(folder, {body.code: body for body in bodies})


def noise(code: str, size: int) -> Iterator[bytes]:
    """Give bytes that do not compress."""
    dice = random.Random(f"{SEED} {code}")
    while size > 0:
        piece = dice.randbytes(min(size, 1 << 20))
        size -= len(piece)
        yield piece


def csv(code: str, rows: int) -> Iterator[bytes]:
    """Give a CRM-like table of 20 columns, some 300 bytes a row, that deflates to a quarter."""
    dice = random.Random(f"{SEED} {code}")
    lines = _rows(dice, rows)
    yield f"{_COLUMNS}\n".encode()
    while block := list(islice(lines, 2000)):
        yield "".join(block).encode()


def _rows(dice: random.Random, rows: int) -> Iterator[str]:
    pick, below = dice.choice, dice.randrange
    sources = ("Cold Call", "Web Form", "Trade Show", "Partner", "Advertisement", "")
    states = ("Contacted", "Not Contacted", "Lost Lead", "Junk Lead", "Pre-Qualified", "")
    cities = ("Berlin", "Chennai", "Krakow", "Lisbon", "Malmo", "Osaka", "Austin", "Zurich")
    lands = ("Germany", "India", "Poland", "Portugal", "Sweden", "Japan", "USA", "Switzerland")
    for number in range(rows):
        first, last, company = pick(_NAMES), pick(_NAMES), pick(_NAMES)
        city = below(8)
        note = " ".join(dice.choices(_WORDS, k=below(4, 12)))
        day, moment = below(1, 29), below(86_400)
        stamp = f"2024-{below(1, 13):02d}-{day:02d}T{moment // 3600:02d}:{moment // 60 % 60:02d}"
        yield (
            f"5540230000{number * 7 + below(7):09d},{first},{last},"
            f"{first.lower()}.{last.lower()}{below(1000)}@example.com,+49 {below(10**9):09d},"
            f'"{company} & {last}, Ltd",{pick(sources)},{pick(states)},,{below(10**7)},'
            f"{below(500)},{last} Street {below(200)},{cities[city]},{below(10**5):05d},"
            f"{lands[city]},5540230000000{below(40):06d},{stamp}:00+02:00,"
            f"{stamp}:{below(60):02d}+02:00,{dice.getrandbits(40):010x},"
            f'"{note}"\n'
        )


def _make(folder: Path, code: str, method: int, pieces: Callable[[], Iterator[bytes]]) -> Body:
    path, size, crc32 = folder / f"{code}.zip", 0, 0
    # A fixed date keeps the bytes the same.
    member = zipfile.ZipInfo(f"{job_id(code, 0)}.csv", (2024, 6, 11, 0, 0, 0))
    member.compress_type = method
    member.external_attr = 0o644 << 16
    with zipfile.ZipFile(path, "w") as archive, archive.open(member, "w") as file:
        for piece in pieces():
            file.write(piece)
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
    own = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            own = zlib.crc32(piece, own)
    return Body(code, path.stat().st_size, own, size, crc32)


def _as_gzip(archive: Path, target: Path) -> None:
    """Put a ZIP's one deflated member into a gzip file, without packing it anew."""
    with zipfile.ZipFile(archive) as opened:
        (member,) = opened.infolist()
    with archive.open("rb") as file:
        file.seek(member.header_offset)
        name_bytes, extra_bytes = struct.unpack("<26x2H", file.read(30))
        file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
        data = file.read(member.compress_size)
    head = gzip.compress(b"", mtime=0)[:10]
    target.write_bytes(head + data + struct.pack("<2I", member.CRC, member.file_size % 2**32))
