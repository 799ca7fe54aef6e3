"""A run in forms for elsewhere: its bundle, and one ONNX file."""

import logging
from dataclasses import asdict
from pathlib import Path

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
    """Write a run's bundle anew, or the networks of a run or a bundle as one ONNX file.

    The ONNX file takes uint8 tiles of shape (tiles, size, size, bands), read and resized as for training, and
    gives probabilities of shape (tiles, tags): normalising, views and the average over networks are inside.
    Its metadata tells tags, size, bands and decision.

    Parameters
    ----------
    run
        Run folder, trained and tuned, or a bundle.
    onnx
        ONNX file to write.
    overwrite
        Replace an ONNX file that is there.
    """
    if Run(run).blend.exists():
        raise InputError(f"{run} is a blend, which has no networks of its own; export the runs it is of")
    if onnx is not None:
        bundle = open_bundle(run)
        check_outputs({"onnx": onnx}, inputs_of(run, bundle), overwrite=overwrite)
        worst = _write_onnx(onnx, bundle)
        log.info("wrote %s: as PyTorch on random tiles to %.0e", onnx, worst)
    elif is_bundle(run):
        raise InputError(f"{run} is a bundle already; name an ONNX file with `onnx`, or a run")
    else:
        folder = Run(run)
        folder.read_config()  # a lock would make the folder where there is none
        with locked(folder):
            write_bundle(folder)


def _write_onnx(path: Path, bundle: Bundle) -> float:
    networks, decision = bundle.networks, bundle.decision
    assert isinstance(networks, Networks)
    size = networks.size
    facts = {
        "tags": decision.tags,
        "size": size,
        "tiles": asdict(networks.read),
        "decision": {"rule": decision.name, "beta": decision.beta, "parameters": rule_to_dict(decision.rule)},
    }
    averaged = Averaged(list(load_taggers(networks)))
    return write_onnx(path, averaged, (size, size, len(networks.read.bands)), facts)
