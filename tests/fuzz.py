"""Fuzzing targets: files from strangers are read, or refused with an `InputError`; anything else is a finding.

``python tests/fuzz.py table --seconds 60`` runs one of them, ``make fuzz`` all. Atheris changes the seeds, and keeps
what reaches new branches of the package. A finding is left as ``crash-*`` in the folder that ``--findings`` names; the
same call with that file as its last argument repeats it.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["amazon_ml"]):
    from amazon_ml.data.catalog.label_tables import LabelTable
    from amazon_ml.data.catalog.table import scan_table
    from amazon_ml.data.catalog.tables import read_tables
    from amazon_ml.data.readers.bands import TileReader
    from amazon_ml.data.readers.images import SUFFIXES
    from amazon_ml.errors import InputError
    from amazon_ml.runs.bundle import content_hash, open_bundle

#: Largest input, bytes; the smallest seed of each kind is far below it.
_LARGEST = 8192
#: Unicode's categories that no tag may hold.
UNSEEN = {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"}


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Parameters
    ----------
    read
        Reads one input, given a folder for files.
    seeds
        Writes inputs to begin with into a folder.
    """

    read: Callable[[bytes, Path], None]
    seeds: Callable[[Path], None]


def read_a_table(data: bytes, folder: Path) -> None:
    """Read bytes as a tag table: each row then has a name, and each tag is one that can be trained."""
    table = folder / "labels.csv"
    table.write_bytes(data)
    found = scan_table(table)
    try:
        read = read_tables([LabelTable(table)])
    except InputError:
        assert found.faults
        raise
    assert not found.faults
    assert len(read.rows) and all(name == name.strip() != "" for name in read.rows["image_name"])
    assert all(tag == tag.strip() and not {*map(unicodedata.category, tag)} & UNSEEN for tag in read.tags.names)
    assert all(read.rows["found"].map(bool)) and read.tags.encode_split(read.rows["found"].tolist()).any(axis=1).all()


def table_seeds(folder: Path) -> None:
    """Write tables as people have them."""
    plain = 'image_name,tags\nt0,river field\nt1,field\nt2,"forest river"\n'
    for number, (text, encoding) in enumerate(
        [
            (plain, "utf-8"), (plain, "utf-8-sig"), (plain, "utf-16"), (plain.replace("\n", "\r\n"), "utf-8"),
            (plain.replace(",", ";"), "utf-8"), (plain.replace(",", "\t"), "latin-1"),
            ("image,field,river\nt0,0,1\nt1,1,0\n", "utf-8"), ("id,labels\n1,\"['a', 'b']\"\n2,\"['a']\"\n", "utf-8"),
            ("name,tag\na.jpg,forêt\nb.jpg,N/A\n", "latin-1"),
        ]
    ):  # fmt: skip
        (folder / str(number)).write_bytes(text.encode(encoding))


def read_a_bundle(data: bytes, folder: Path) -> None:
    """Change values in a bundle's description, as bytes or key by key, and open it."""
    bundle = folder / "bundle"
    provider = atheris.FuzzedDataProvider(data)
    file = bundle / "bundle.json"
    (bundle / "fold-0.safetensors").unlink(missing_ok=True)
    if provider.ConsumeProbability() < 0.1:  # the header of the weights
        whole = (bundle / "whole.safetensors").read_bytes()
        (bundle / "fold-0.safetensors").write_bytes(provider.ConsumeBytes(64) + whole[64:])
    else:
        (bundle / "fold-0.safetensors").symlink_to("whole.safetensors")
    if provider.ConsumeBool():
        file.write_bytes(provider.ConsumeBytes(_LARGEST))
    else:
        content = json.loads((bundle / "whole.json").read_text())
        for _ in range(provider.ConsumeIntInRange(1, 3)):
            _change(content, provider)
        file.write_text(json.dumps({**content, "sha256": content_hash(content)}))
    open_bundle(bundle)


def _change(content: Any, provider: Any) -> None:
    """Replace, remove or add one value somewhere in nested JSON."""
    where = content
    while isinstance(where, (dict, list)) and where:
        keys = list(where) if isinstance(where, dict) else range(len(where))
        key = keys[provider.ConsumeIntInRange(0, len(keys) - 1)]
        inner = where[key]
        if not isinstance(inner, (dict, list)) or not inner or provider.ConsumeProbability() < 0.3:
            if provider.ConsumeProbability() < 0.2:
                del where[key]
            else:
                where[key] = _value(provider)
            return
        where = inner


def _value(provider: Any) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: provider.ConsumeInt(8), lambda: provider.ConsumeFloat(), lambda: None, provider.ConsumeBool, list, dict,
        lambda: provider.ConsumeUnicodeNoSurrogates(12), lambda: [provider.ConsumeInt(2)], lambda: "../../x",
        lambda: {provider.ConsumeUnicodeNoSurrogates(4): None}, lambda: 10**30, lambda: [[[]]],
    ]  # fmt: skip
    return kinds[provider.ConsumeIntInRange(0, len(kinds) - 1)]()


def bundle_seeds(folder: Path) -> None:
    """Begin with nothing: the bundle itself lies in the folder for files."""
    (folder / "0").write_bytes(b"\1" * 64)


def read_an_image(data: bytes, folder: Path) -> None:
    """Read bytes as an image of each ending."""
    for suffix in SUFFIXES if len(data) > 0 else ():
        file = folder / f"tile{suffix}"
        file.write_bytes(data)
        try:
            with without_stderr():
                pixels = TileReader(limits=dict.fromkeys("rgbn", (0.0, 255.0)), max_pixels=1_000_000)(str(file))
        except InputError:
            continue
        assert pixels.dtype == "uint8" and pixels.ndim == 3 and pixels.shape[2] == 3


@contextmanager
def without_stderr() -> Iterator[None]:
    """Keep decoders, which write a line for each damaged file, from writing to standard error."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def image_seeds(folder: Path) -> None:
    """Write a small image of each kind."""
    import numpy as np
    import rasterio
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for number, (format, mode) in enumerate(
        [("JPEG", "RGB"), ("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "1"),
         ("PNG", "I;16"), ("WEBP", "RGB"), ("BMP", "RGB"), ("GIF", "P")]
    ):  # fmt: skip
        (image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)).save(
            folder / str(number), format=format
        )
    with rasterio.open(
        folder / "tif", "w", driver="GTiff", height=9, width=9, count=3, dtype="uint8", nodata=0,
        transform=rasterio.Affine(3, 0, 0, 0, -3, 0),
    ) as file:  # fmt: skip
        file.write(np.moveaxis(pixels, -1, 0))


def make_bundle(folder: Path) -> None:
    """Train for a step, and lay the bundle of that run into a folder."""
    from amazon_ml.cli.main import main
    from amazon_ml.data.demo.demo import write_demo

    write_demo(folder / "demo", tiles=40, test_tiles=2, size=16)
    options = ["--data.root", str(folder / "demo"), "--data.size=16", "--data.batch_size=8", "--data.n_folds=2",
               "--model.backbone=test_resnet", "--model.pretrained=false", "--trainer.accelerator=cpu",
               "--trainer.max_steps=1"]  # fmt: skip
    if main(["train", "--run", str(folder / "run"), *options]):
        raise SystemExit("no bundle could be made")
    bundle = Path(shutil.copytree(folder / "run" / "bundle", folder / "bundle"))
    shutil.copyfile(bundle / "bundle.json", bundle / "whole.json")
    (bundle / "fold-0.safetensors").rename(bundle / "whole.safetensors")


TARGETS = {
    "table": Target(read_a_table, table_seeds),
    "bundle": Target(read_a_bundle, bundle_seeds),
    "image": Target(read_an_image, image_seeds),
}


def main() -> None:
    """Fuzz one target for some seconds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the changes; give another one to try others")
    parser.add_argument("--findings", type=Path, default=Path())
    parser.add_argument("inputs", nargs="*", help="inputs to repeat, instead of fuzzing")
    given = parser.parse_args()
    target = TARGETS[given.target]
    with tempfile.TemporaryDirectory() as temporary:
        folder, seeds = Path(temporary) / "files", Path(temporary) / "seeds"
        folder.mkdir()
        seeds.mkdir()
        target.seeds(seeds)
        if given.target == "bundle":
            make_bundle(folder)

        def one(data: bytes) -> None:
            with suppress(InputError):
                target.read(data, folder)

        given.findings.mkdir(parents=True, exist_ok=True)
        how = [f"-max_total_time={given.seconds}", f"-artifact_prefix={given.findings}/", f"-max_len={_LARGEST}",
               f"-seed={given.seed}", "-timeout=60", "-rss_limit_mb=1500", "-verbosity=0",
               "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *how, *(given.inputs or [str(seeds)])], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
