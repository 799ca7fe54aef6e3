"""Section of Grad-CAM maps: where the network looks when it predicts a tag rightly.

Selvaraju et al. 2017, *Grad-CAM: visual explanations from deep networks via gradient-based localization*: the last
feature maps, weighted by the mean gradient of a tag's logit over each map, summed, and cut at 0.
"""

from dataclasses import replace
from html import escape

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from amazon_ml.data.readers.bands import TileReader
from amazon_ml.data.readers.images import Image, resize
from amazon_ml.data.readers.shown import shown_channels
from amazon_ml.models.preprocess import preprocess
from amazon_ml.models.tagger import TileTagger
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.gallery import pick_for_tag
from amazon_ml.report.page.html import figure, grid, paragraph
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.thumbnails import data_uri, shown_bands
from amazon_ml.runs.bundle import Networks, open_bundle
from amazon_ml.runs.folder import read_probabilities
from amazon_ml.runs.inference import load_taggers

#: Most tags that are shown, with a tile each; pixels of a picture; opacity of the map.
_TAGS, _EDGE, _HEAT = 6, 160, 0.5


def saliency_section(results: Results, read: dict[str, tuple[str, str]], reader: TileReader) -> Section | None:
    """Show where the network of the first finished fold looks, on tiles that it did not train on.

    Parameters
    ----------
    results
        The run.
    read
        Files of each tile by its name.
    reader
        Reads these files.

    Returns
    -------
    None for a blend, and for networks without feature maps, such as vision transformers.
    """
    networks = open_bundle(results.run.path).networks
    picked = _picked(results)
    if not isinstance(networks, Networks) or not picked:
        return None
    tagger = next(load_taggers(replace(networks, weights=networks.weights[:1])))
    cards = []
    for tag, tile in picked:
        name = str(results.names.iloc[tile])
        image = resize(reader(*read[name]), networks.size)
        heat = grad_cam(tagger, image, tag)
        if heat is None:
            return None
        cards.append(_card(name, results.tags[tag], float(results.p[tile, tag]), shown_channels(reader, image), heat))
    fold = results.run.finished_folds()[0].number
    sentence = (
        f"Places that the network of fold {fold} uses when it predicts a tag rightly: yellow places support the "
        "tag most (Grad-CAM, one view of the tile). The maps are coarse, and show where, not why."
    )
    return Section("saliency", "Where the network looks", paragraph(sentence) + grid(cards, "16rem"))


def grad_cam(tagger: TileTagger, image: Image, tag: int) -> npt.NDArray[np.float32] | None:
    """Compute the Grad-CAM of one tag on one tile.

    Parameters
    ----------
    tagger
        The network.
    image
        uint8 of shape (height, width, channels), as the network takes it.
    tag
        Column of the tag.

    Returns
    -------
    float32 of shape (height, width), scaled to 0..1; None where the network has no feature maps.
    """
    from pytorch_grad_cam import GradCAM  # here: the import is slow
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    tagger.eval()
    inputs = preprocess(torch.from_numpy(image[None]), tagger.mean, tagger.std)
    network = _WithFeatures(tagger.backbone)
    with torch.no_grad():
        features = tagger.backbone.forward_features(inputs)  # type: ignore[operator]
    if features.ndim != 4 or features.shape[1] != tagger.backbone.num_features or features.shape[-1] < 2:
        return None
    with GradCAM(network, [network.features]) as cam:
        return np.asarray(cam(inputs, [ClassifierOutputTarget(tag)])[0], dtype=np.float32)


class _WithFeatures(nn.Module):
    """A backbone whose last feature maps pass through a module of their own, so that hooks can read them."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone, self.features = backbone, nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.features(self.backbone.forward_features(inputs))  # type: ignore[operator]
        logits: torch.Tensor = self.backbone.forward_head(maps)  # type: ignore[operator]
        return logits


def _picked(results: Results) -> list[tuple[int, int]]:
    """Pick the tags with the largest loss, each with a tile: the surest right prediction in the first fold."""
    first = results.run.finished_folds()[0]
    rows = np.flatnonzero(results.names.isin(read_probabilities(first.valid, results.tags)[0]))
    picked: list[tuple[int, int]] = []
    for tag in results.most_lost(_TAGS):
        p, true, predicted = (part[rows, tag] for part in (results.p, results.true, results.predicted))
        best = rows[pick_for_tag(p, true, predicted, threshold=0.5, count=_TAGS)["best"]]
        fresh = [int(tile) for tile in best if tile not in {tile for _, tile in picked}]
        if fresh:
            picked.append((tag, fresh[0]))
    return picked


def _card(name: str, tag: str, p: float, image: Image, heat: npt.NDArray[np.float32]) -> str:
    plain = shown_bands(image)
    hot = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    mixed = cv2.addWeighted(plain, 1 - _HEAT, hot, _HEAT, 0).astype(np.uint8)
    place = np.unravel_index(heat.argmax(), heat.shape)
    row, column = (int(100 * at / size) for at, size in zip(place, heat.shape, strict=True))
    where = f"map of the places that support {tag}, most at {column} % from the left and {row} % from the top"
    images = "".join(
        f'<img src="{data_uri(picture, _EDGE)}" alt="{escape(alt)}">'
        for picture, alt in ((plain, f"Tile {name}"), (mixed, f"Tile {name}: {where}"))
    )
    return figure(f'<div class="pair">{images}</div>', f"<b>{escape(tag)}</b> {p:.2f}, {escape(name)}", "card")
