"""Archives: what was packed comes out with the same bytes, and what is hostile leaves nothing behind."""

import io
import os
import re
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refused import refused

from amazon_ml.errors import WorkError
from amazon_ml.kaggle.archives import MAX_DEPTH, BrokenArchiveError, in_units, move_into, need_space, unpack

Tree = dict[str, bytes]


def pack_zip(path: Path, tree: Tree) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)


def pack_tar(path: Path, tree: Tree) -> None:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def pack_7z(path: Path, tree: Tree) -> None:
    with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 0}]) as archive:
        for name, content in tree.items():
            archive.writestr(content, name)


def rename_in_7z(path: Path, tree: Tree) -> None:
    """Pack under harmless names, then put the real ones into the header, since the packer refuses to."""
    harmless = {name: letter * len(name) for letter, name in zip("xyz", tree, strict=False)}
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.set_encoded_header_mode(False)
        for name, content in tree.items():
            archive.writestr(content, harmless[name])
    start, rest = path.read_bytes()[:32], path.read_bytes()[32:]
    offset = int.from_bytes(start[12:20], "little")
    header = rest[offset:]
    for name, other in harmless.items():
        header = header.replace(other.encode("utf-16-le") + bytes(2), name.encode("utf-16-le") + bytes(2))
    where = start[12:28] + crc32(header).to_bytes(4, "little")
    path.write_bytes(start[:8] + crc32(where).to_bytes(4, "little") + where + rest[:offset] + header)


PACKERS: dict[str, Callable[[Path, Tree], None]] = {
    ".zip": pack_zip, ".tar": pack_tar, ".tar.gz": pack_tar, ".7z": pack_7z,
}  # fmt: skip
HOSTILE_NAMES = ["../out.jpg", "a/../../out.jpg", "/tmp/out.jpg", "a\\..\\out.jpg", "C:/out.jpg"]


def files_in(folder: Path) -> Tree:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def link_in_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("train-jpg")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")


def link_in_tar(path: Path, kind: bytes = tarfile.SYMTYPE) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("train-jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)


def link_in_7z(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.write(link, "train-jpg")
    link.unlink()


LINKS: dict[str, Callable[[Path], None]] = {
    "link.zip": link_in_zip,
    "link.tar": link_in_tar,
    "hardlink.tar": lambda path: link_in_tar(path, tarfile.LNKTYPE),
    "device.tar": lambda path: link_in_tar(path, tarfile.CHRTYPE),
    "link.7z": link_in_7z,
}

NAMES = st.text("abc", min_size=1, max_size=3)
#: Files are called f…, folders d…, so that no path is both.
FILES = NAMES.map("f{}".format)
TREES = st.dictionaries(
    FILES | st.builds("d{}/{}".format, NAMES, FILES) | st.builds("d{}/d{}/{}".format, NAMES, NAMES, FILES),
    st.binary(max_size=300),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("suffix", PACKERS)
@settings(max_examples=25)
@given(tree=TREES)
def test_what_was_packed_comes_out(suffix: str, tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tree")
    archive = folder / f"tree{suffix}"
    PACKERS[suffix](archive, tree)
    unpack(archive, folder / "out")
    assert files_in(folder / "out") == tree


@settings(max_examples=10)
@given(tree=TREES, suffixes=st.lists(st.sampled_from(list(PACKERS)), min_size=2, max_size=4))
def test_archives_in_archives_are_unpacked_where_they_lie(
    tree: Tree, suffixes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("nested")
    content, inner = tree, ""
    for suffix in suffixes:
        inner += suffix
        PACKERS[suffix](folder / f"tree{inner}", content)
        content = {f"deep/tree{inner}": (folder / f"tree{inner}").read_bytes()}
    unpack(folder / f"tree{inner}", folder / "out")
    below = Path("out", *["deep"] * (len(suffixes) - 1))
    assert files_in(folder / below) == tree
    assert len(files_in(folder / "out")) == len(tree)


def test_the_competitions_own_form(tmp_path: Path) -> None:
    tree = {"train-jpg/train_0.jpg": b"tile", "train-jpg/train_1.jpg": b"another"}
    pack_tar(tmp_path / "train-jpg.tar", tree)
    pack_7z(tmp_path / "train-jpg.tar.7z", {"train-jpg.tar": (tmp_path / "train-jpg.tar").read_bytes()})
    unpack(tmp_path / "train-jpg.tar.7z", tmp_path / "out")
    assert files_in(tmp_path / "out") == tree


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_out_are_refused_and_leave_nothing(suffix: str, name: str, tmp_path: Path) -> None:
    archive = tmp_path / f"bad{suffix}"
    pack = rename_in_7z if suffix == ".7z" else PACKERS[suffix]
    pack(archive, {"good.jpg": b"tile", name: b"bad"})
    with pytest.raises(BrokenArchiveError, match=rf"^{re.escape(archive.name)} .*out\.jpg"):
        unpack(archive, tmp_path / "deep" / "out")
    assert files_in(tmp_path) == {archive.name: archive.read_bytes()}


@pytest.mark.parametrize("name", LINKS)
def test_links_and_devices_are_refused_and_leave_nothing(name: str, tmp_path: Path) -> None:
    LINKS[name](tmp_path / name)
    with pytest.raises(BrokenArchiveError, match=rf"^{re.escape(name)} .*'train-jpg'"):
        unpack(tmp_path / name, tmp_path / "out")
    assert listed(tmp_path) == [name]


@pytest.mark.parametrize("suffix", PACKERS)
def test_more_than_the_limit_is_refused_before_anything_is_written(suffix: str, tmp_path: Path) -> None:
    PACKERS[suffix](tmp_path / f"bomb{suffix}", {"zeros": bytes(100_000)})
    with pytest.raises(BrokenArchiveError, match=rf"^bomb{re.escape(suffix)} .*\b1 files of 100\.0 kB"):
        unpack(tmp_path / f"bomb{suffix}", tmp_path / "out", limit=99_999)
    assert listed(tmp_path) == [f"bomb{suffix}"]


def test_the_limit_counts_what_inner_archives_hold(tmp_path: Path) -> None:
    pack_zip(tmp_path / "inner.zip", {"zeros": bytes(100_000)})
    packed = (tmp_path / "inner.zip").read_bytes()
    pack_zip(tmp_path / "bomb.zip", {f"{n}/inner.zip": packed for n in range(3)})
    with pytest.raises(BrokenArchiveError, match=r"^inner\.zip .*\b1 files of 100\.0 kB"):
        unpack(tmp_path / "bomb.zip", tmp_path / "out", limit=3 * len(packed) + 299_999)
    unpack(tmp_path / "bomb.zip", tmp_path / "out", limit=3 * len(packed) + 300_000)
    assert files_in(tmp_path / "out") == {f"{n}/zeros": bytes(100_000) for n in range(3)}


def test_a_size_that_is_a_lie_is_found_out(tmp_path: Path) -> None:
    archive = tmp_path / "lie.zip"
    pack_zip(archive, {"zeros": bytes(100_000)})
    archive.write_bytes(archive.read_bytes().replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(BrokenArchiveError, match=r"^lie\.zip .*'zeros'"):
        unpack(archive, tmp_path / "out")
    assert listed(tmp_path) == ["lie.zip"]


def test_archives_without_end_are_refused(tmp_path: Path) -> None:
    content = {"tile.jpg": b"tile"}
    for n in range(6):
        pack_zip(tmp_path / f"{n}.zip", content)
        content = {f"{n}.zip": (tmp_path / f"{n}.zip").read_bytes()}
    with pytest.raises(BrokenArchiveError, match=rf"^1\.zip .*\b{MAX_DEPTH}\b"):
        unpack(tmp_path / "5.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", PACKERS)
@settings(max_examples=20)
@given(kept=st.floats(0, 0.9))
def test_part_of_an_archive_never_passes_for_the_whole(
    suffix: str, kept: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    tree = {"a/tile.jpg": os.urandom(20_000), "b.csv": b"image_name,tags\n" * 9}
    archive = folder / f"tree{suffix}"
    PACKERS[suffix](archive, tree)
    os.truncate(archive, int(kept * (len(tree["a/tile.jpg"]) + 512)))
    with pytest.raises(BrokenArchiveError):
        unpack(archive, folder / "out")
    assert listed(folder) == [archive.name]


def test_a_tar_that_leads_back_into_itself_is_refused(tmp_path: Path) -> None:
    blocks = []
    for name, size in (("a", 0), ("b", -tarfile.BLOCKSIZE)):
        block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
        block[124:136] = (256**12 + size).to_bytes(13, "big")[1:]  # as GNU tar writes what has no octal digits
        block[148:156] = b"%06o\0 " % sum([*block[:148], *block[156:], *b" " * 8])
        blocks.append(bytes(block))
    (tmp_path / "a.tar").write_bytes(b"".join(blocks) + bytes(tarfile.RECORDSIZE))
    with pytest.raises(BrokenArchiveError, match=r"^a\.tar .*'b' .*-512\b"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert listed(tmp_path) == ["a.tar"]


def test_a_tar_that_is_cut_between_two_files_is_no_shorter_tar(tmp_path: Path) -> None:
    pack_tar(tmp_path / "cut.tar", {"a.jpg": b"tile", "b.jpg": b"tile"})
    os.truncate(tmp_path / "cut.tar", 1024)
    with pytest.raises(BrokenArchiveError, match=r"^cut\.tar "):
        unpack(tmp_path / "cut.tar", tmp_path / "out")


def test_repeated_names_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match=r"a\.jpg"):
        archive.writestr("a.jpg", b"one")
        archive.writestr("a.jpg", b"two")
    with pytest.raises(BrokenArchiveError, match=r"^twice\.zip .*'a\.jpg'"):
        unpack(tmp_path / "twice.zip", tmp_path / "out")


def test_what_is_skipped_is_skipped_at_every_level(tmp_path: Path) -> None:
    pack_zip(tmp_path / "inner.zip", {"train-jpg/a.jpg": b"tile", "train-tif/a.tif": b"bands"})
    inner = (tmp_path / "inner.zip").read_bytes()
    pack_tar(tmp_path / "outer.tar", {"x/inner.zip": inner, "train-tif-v2.7z": b"not looked at"})
    unpack(tmp_path / "outer.tar", tmp_path / "out", skip=["*-tif*"])
    assert files_in(tmp_path / "out") == {"x/train-jpg/a.jpg": b"tile"}


def test_a_member_called_archive_must_be_one(tmp_path: Path) -> None:
    pack_zip(tmp_path / "outer.zip", {"tiles.tar": b"half a file"})
    with pytest.raises(BrokenArchiveError, match=r"tiles\.tar"):
        unpack(tmp_path / "outer.zip", tmp_path / "out")


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "huge.zip", "w") as archive:
        archive.writestr("huge.tif", b"bands")
        archive.filelist[0].file_size = 10**17  # as its directory announces it
    with pytest.raises(WorkError, match=r"\bhuge\.zip .*\b100,000\.0 TB"):
        unpack(tmp_path / "huge.zip", tmp_path / "out", limit=10**18)
    assert listed(tmp_path) == ["huge.zip"]


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    pack_zip(tmp_path / "a.zip", {"tile.jpg": b"tile"})
    (tmp_path / "out").mkdir()
    with refused(file=tmp_path / "out", says=tmp_path / "a.zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_moving_joins_folders_and_keeps_what_is_there(tmp_path: Path) -> None:
    for name, content in {"new/a/1": b"1", "new/a/2": b"2", "new/b": b"3", "old/a/1": b"1", "old/c": b"4"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    move_into(tmp_path / "new", tmp_path / "old")
    assert files_in(tmp_path / "old") == {"a/1": b"1", "a/2": b"2", "b": b"3", "c": b"4"}


def test_moving_refuses_to_replace_before_it_moves_anything(tmp_path: Path) -> None:
    for name, content in {"new/a": b"mine", "new/b": b"theirs", "old/b": b"somebody's"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with refused(file=tmp_path / "old" / "b"):
        move_into(tmp_path / "new", tmp_path / "old")
    assert files_in(tmp_path / "old") == {"b": b"somebody's"}


def test_without_the_extra_7z_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_7z(tmp_path / "tiles.7z", {"a.jpg": b"tile"})
    monkeypatch.setitem(sys.modules, "py7zr", None)
    with refused(file="tiles.7z", says="amazon-ml[archives]"):
        unpack(tmp_path / "tiles.7z", tmp_path / "out")


@pytest.mark.parametrize("hidden_names", [False, True])
def test_an_archive_with_a_password_is_refused(hidden_names: bool, tmp_path: Path) -> None:
    with py7zr.SevenZipFile(tmp_path / "tiles.7z", "w", password="secret", header_encryption=hidden_names) as archive:
        archive.writestr(b"tile", "a.jpg")
    with pytest.raises(BrokenArchiveError, match=r"^tiles\.7z .*\bpassword\b"):
        unpack(tmp_path / "tiles.7z", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    pack_zip(tmp_path / "tiles.zip", {"a.jpg": b"tile"})
    content = bytearray((tmp_path / "tiles.zip").read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the entry, and the entry in the directory
        content[content.index(mark) + flags] |= 1
    (tmp_path / "tiles.zip").write_bytes(content)
    with pytest.raises(BrokenArchiveError, match=r"^tiles\.zip .*\bpassword\b"):
        unpack(tmp_path / "tiles.zip", tmp_path / "out")


def test_a_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    pack_tar(tmp_path / "tiles.zip", {"a.jpg": b"tile"})
    unpack(tmp_path / "tiles.zip", tmp_path / "out")
    assert files_in(tmp_path / "out") == {"a.jpg": b"tile"}


@pytest.mark.parametrize(
    ("size", "written"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**16, "50,000.0 TB")],
)
def test_sizes_as_people_read_them(size: int, written: str) -> None:
    assert in_units(size) == written


def test_space_that_is_there_is_not_refused(tmp_path: Path) -> None:
    need_space(tmp_path, 0, "nothing")
    with pytest.raises(WorkError, match=rf"^everything .*\b1,000,000\.0 TB\b.* {re.escape(str(tmp_path))} "):
        need_space(tmp_path, 10**18, "everything")
