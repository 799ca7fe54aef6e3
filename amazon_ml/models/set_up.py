"""Sets a network up before the other callbacks of a trainer."""

import pytorch_lightning as pl


class SetUp(pl.Callback):
    """Sets the network up before the later callbacks, which may copy it."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Call `setup` of the network."""
        pl_module.setup(stage)
