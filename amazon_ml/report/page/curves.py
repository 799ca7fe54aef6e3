"""Section of learning curves: loss and score after each epoch, a line for each fold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amazon_ml.decisions.thresholds import DEFAULT_THRESHOLD
from amazon_ml.report.page.document import Section
from amazon_ml.report.page.html import figure, grid, paragraph
from amazon_ml.report.page.results import Results
from amazon_ml.report.page.svg import Scale, axes, picture, polyline, ticks
from amazon_ml.runs.curves import read_curves

_WIDTH, _HEIGHT = 420, 240
_COLUMNS = ("val_f2", "val_loss", "train_loss_epoch")


def curves_section(results: Results) -> Section | None:
    """Draw the curves of the finished folds; None where there are none, as for a blend."""
    read = {fold.number: read_curves(fold.metrics) for fold in results.run.finished_folds()}
    folds = {number: _by_epoch(table) for number, table in read.items() if table is not None}
    folds = {number: curve for number, curve in folds.items() if len(curve)}
    if not folds:
        return None
    curves = list(folds.values())
    charts = [
        figure(
            _chart(curves, {"train_loss_epoch": "orange", "val_loss": "blue"}, "loss by epoch"),
            '<span class="missing">Blue</span>: loss of held-out tiles. '
            '<span class="doubted">Orange, dashed</span>: loss of training tiles.',
        ),
        figure(
            _chart(curves, {"val_f2": "blue"}, "held-out score by epoch"),
            f"F2 of held-out tiles with the threshold {DEFAULT_THRESHOLD} for every tag, one view a tile.",
        ),
    ]
    ends = ", ".join(_fold_sentence(number, curve) for number, curve in folds.items())
    return Section("curves", "Learning curves", paragraph(ends + ".") + grid(charts, "20rem"))


def _by_epoch(table: pd.DataFrame) -> pd.DataFrame:
    there = [column for column in _COLUMNS if column in table]
    return table.groupby("epoch")[there].last().reindex(columns=list(_COLUMNS)).dropna(how="all")


def _fold_sentence(number: int, curve: pd.DataFrame) -> str:
    score = curve["val_f2"].dropna()
    if score.empty:
        return f"Fold {number}: {len(curve)} epochs"
    epochs = score.index.to_numpy() + 1
    best = f"its best score, {score.max():.3f}, was after epoch {epochs[score.to_numpy().argmax()]}"
    last = "which is its best score" if score.iloc[-1] >= score.max() else best
    return f"Fold {number} ends at {score.iloc[-1]:.3f} after epoch {epochs[-1]}, {last}"


def _chart(curves: Sequence[pd.DataFrame], lines: dict[str, str], alt: str) -> str:
    values = np.concatenate([curve[list(lines)].to_numpy().ravel() for curve in curves])
    values = values[np.isfinite(values)]
    if not len(values):
        return paragraph("No such figures were logged.", "note")
    last = max(int(curve.index.max()) for curve in curves) + 1
    margin = 0.06 * (values.max() - values.min()) or 0.01
    x = Scale(1, max(last, 2), 44, _WIDTH - 8)
    y = Scale(values.min() - margin, values.max() + margin, _HEIGHT - 34, 8)
    whole = [at for at, _ in ticks(1, max(last, 2), 6) if at == round(at)]
    drawn = [axes(x, y, [(at, f"{at:.0f}") for at in whole], ticks(y.low, y.high), "epoch")]
    for curve in curves:
        for column, kind in lines.items():
            points = curve[column][np.isfinite(curve[column])]
            if len(points):
                drawn.append(polyline(x, y, points.index.to_numpy() + 1.0, points.to_numpy(), kind))
    return picture(_WIDTH, _HEIGHT, drawn, f"Line chart: {alt}, from {values.min():.3f} to {values.max():.3f}")
