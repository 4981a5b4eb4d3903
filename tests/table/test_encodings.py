from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from harmonic.errors import HarmonicError
from harmonic.table.sources import read_table

ROWS = "n,c\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20, 50))


def _read(folder: Path, content: bytes, **given: Any) -> Any:
    (folder / "x.csv").write_bytes(content)
    return read_table(folder / "x.csv", **given)[0]


def test_a_byte_that_is_in_no_encoding_tried_is_named(tmp_path: Path) -> None:
    content = "c,n\nfür,1\nüber,2\nìî,3\n".encode("cp850")
    with pytest.raises(HarmonicError, match="byte 0x81 in line 2 is neither.*`encoding`, such as 'cp850'"):
        _read(tmp_path, content)
    assert _read(tmp_path, content, encoding="cp850")["c"].tolist() == ["für", "über", "ìî"]


def test_a_declared_encoding_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="is not utf-8"):
        _read(tmp_path, "c,n\nfür,1\n".encode("latin-1"), encoding="utf-8")
    assert list(_read(tmp_path, f"\ufeff{ROWS}".encode(), encoding="utf-8").columns) == ["n", "c"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_encodings_without_their_mark_are_refused(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="bytes are NUL, as in UTF-16"):
        _read(tmp_path, ROWS.encode(encoding))
    assert len(_read(tmp_path, ROWS.encode(encoding), encoding=encoding)) == 30


def test_a_nul_in_a_text_is_kept(tmp_path: Path) -> None:
    assert _read(tmp_path, b'c,n\n"a\x00b",1\nb,2\n')["c"].tolist() == ["a\x00b", "b"]


@pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xef\xbb\xbf\r\n", b"sep=;\n", b" \n\n"])
def test_a_file_without_a_line_is_empty(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="is empty"):
        _read(tmp_path, content)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 20 + data[40:]]
)
def test_a_broken_gzip_is_refused(damage: Any, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="gzip data is broken"):
        _read(tmp_path, damage(gzip.compress(ROWS.encode())))


@pytest.mark.parametrize("encoding", ["foo", "", "hex"])
def test_an_unknown_encoding_is_refused(encoding: str, tmp_path: Path) -> None:
    with pytest.raises(HarmonicError, match="is unknown. Pass one that Python knows"):
        _read(tmp_path, ROWS.encode(), encoding=encoding)
