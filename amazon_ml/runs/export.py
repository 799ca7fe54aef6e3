"""Export a run: its bundle, and one ONNX file."""

import logging
from pathlib import Path

from amazon_ml.data.readers.reader_file import describe_reader
from amazon_ml.decisions.rules import rule_to_dict
from amazon_ml.errors import InputError
from amazon_ml.models.onnx_export import Averaged, write_onnx
from amazon_ml.runs.access import locked
from amazon_ml.runs.bundle import Bundle, Networks, is_bundle, open_bundle, write_bundle
from amazon_ml.runs.folder import Run
from amazon_ml.runs.inference import load_taggers
from amazon_ml.runs.predict import inputs_of
from amazon_ml.runtime.outputs import check_outputs

log = logging.getLogger(__name__)


def export(run: Path, *, onnx: Path | None = None, overwrite: bool = False) -> None:
    """Write the bundle of a run again, or the networks of a run or a bundle as one ONNX file.

    The ONNX file takes tiles of the run's `data.dtype`, of shape (tiles, size, size, bands), read and resized as for
    training, and gives probabilities of shape (tiles, tags). Normalisation, views and the average over networks are
    part of it. Its metadata holds tags, size, bands and decision.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    onnx
        ONNX file to write.
    overwrite
        Replace an existing ONNX file.
    """
    if Run(run).blend.exists():
        raise InputError("this is a blend, which has no networks of its own", file=run, option="run",
                         remedy="export its members")  # fmt: skip
    if onnx is not None:
        bundle = open_bundle(run)
        check_outputs({"onnx": onnx}, inputs_of(run, bundle), overwrite=overwrite)
        worst = _write_onnx(onnx, bundle)
        log.info("wrote %s: on random tiles, it differs from PyTorch by at most %.0e", onnx, worst)
    elif is_bundle(run):
        raise InputError("this is a bundle already", file=run, remedy="name an ONNX file with `onnx`, or a run")
    else:
        folder = Run(run)
        folder.read_config()  # before the lock, which would make the folder where there is none
        with locked(folder):
            write_bundle(folder)


def _write_onnx(path: Path, bundle: Bundle) -> float:
    networks, decision = bundle.networks, bundle.decision
    assert isinstance(networks, Networks)
    size = networks.size
    metadata = {
        "tags": decision.tags,
        "size": size,
        "tiles": describe_reader(networks.read),
        "decision": {"rule": decision.name, "beta": decision.beta, "parameters": rule_to_dict(decision.rule)},
    }
    averaged = Averaged(list(load_taggers(networks)))
    return write_onnx(path, averaged, (size, size, len(networks.read.bands)), metadata, networks.read.dtype)
