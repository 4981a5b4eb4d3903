"""The bytes of a text file into its text: gzip undone, byte order marks read, the encoding declared or found.

What is not UTF-8 is read as Windows-1252, and that is said; a byte that neither knows is an error, for two values
must never become one.
"""

from __future__ import annotations

import gzip
import zlib

from harmonic.errors import HarmonicError

_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_BINARY = {b"PK": "a zip or Excel file", b"PAR1": "a Parquet file", b"\x89PNG": "a picture", b"%PDF": "a PDF"}
_WINDOWS = "cp1252"
_MOST_NULS = 0.1


def decoded(data: bytes, name: str, encoding: str | None, decisions: list[str]) -> str:
    """The text of a file, gzipped or not. Raises HarmonicError where it is empty, binary or of another encoding."""
    data = _unzipped(data, name)
    if not data.strip():
        raise empty(name)
    text = _found(data, name, decisions) if encoding is None else _declared(data, name, encoding)
    text = text.removeprefix("\ufeff")  # the mark, where the encoding was declared without it
    if not text.strip():
        raise empty(name)
    return text


def empty(name: str) -> HarmonicError:
    """The error of a file without a line."""
    return HarmonicError(f"File {name!r}: is empty, a header line and rows are expected. Check the export.")


def _unzipped(data: bytes, name: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise HarmonicError(
            f"File {name!r}: its gzip data is broken ({error}). Copy or compress the file again."
        ) from None


def _declared(data: bytes, name: str, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (LookupError, TypeError):
        raise HarmonicError(
            f"File {name!r}: encoding {encoding!r} is unknown. "
            "Pass one that Python knows, such as 'utf-8', 'cp1252' or 'cp850'."
        ) from None
    except UnicodeDecodeError as error:
        raise _foreign(name, error.start, encoding) from None


def _found(data: bytes, name: str, decisions: list[str]) -> str:
    """The text in the encoding that its first bytes name, in UTF-8 or in Windows-1252."""
    for mark, what in _BINARY.items():
        if data.startswith(mark):
            raise HarmonicError(f"File {name!r}: is {what}, not delimited text. Export it as CSV or Parquet.")
    _check_nuls(data, name)
    encoding = next((coding for mark, coding in _BOMS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or b"\x00" in data:
            raise _foreign(name, error.start, encoding) from None
    decisions.append("The file is not UTF-8: read as Windows-1252 (pass `encoding` to choose another).")
    return _from_windows(data, name)


def _check_nuls(data: bytes, name: str) -> None:
    """UTF-16 and UTF-32 without their mark hold a NUL beside every Latin letter, in the first line already."""
    is_marked = data.startswith(tuple(_BOMS))
    if not is_marked and b"\x00" in data.split(b"\n", 1)[0] and data.count(b"\x00") > _MOST_NULS * len(data):
        raise HarmonicError(
            f"File {name!r}: {data.count(0)} of {len(data)} bytes are NUL, as in UTF-16 without its mark. "
            "Pass its `encoding`, such as 'utf-16-le', or save the file as UTF-8."
        )


def _from_windows(data: bytes, name: str) -> str:
    try:
        return data.decode(_WINDOWS)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise HarmonicError(
            f"File {name!r}: byte 0x{data[error.start]:02x} in line {line} is neither UTF-8 nor Windows-1252. "
            "Pass its `encoding`, such as 'cp850' (old exports) or 'mac-roman', or save the file as UTF-8."
        ) from None


def _foreign(name: str, position: int, encoding: str) -> HarmonicError:
    return HarmonicError(
        f"File {name!r}: byte {position} is not {encoding}. Save the file as UTF-8 or pass its `encoding`."
    )
