"""Training from Python leaves what a signal does in the session of its caller as it was."""

import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import FEW, TINY
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
from refused import refused
from requested import config_of

import amazon_ml as am
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runtime import preemption
from amazon_ml.training.fit import make_trainer
from amazon_ml.training.signals import interruptible

pytestmark = pytest.mark.usefixtures("former_handlers")


@pytest.mark.usefixtures("fit_only")
def test_signals_of_a_python_session_do_the_same_in_and_after_training(
    demo_tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preemption._request, "listening", False)  # as where no command was called before
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    interrupts = signal.getsignal(signal.SIGINT)
    words = [f"--data.root={demo_tiles}", *TINY, *FEW, "--trainer.max_epochs=1", f"--run={tmp_path / 'run'}"]
    train, predict, seen = TileTagger.training_step, TileTagger.predict_step, []

    def interrupted(self: TileTagger, *arguments: Any) -> Any:
        if self.global_step == 1:
            signal.raise_signal(signal.SIGINT)
        return train(self, *arguments)

    def noted(self: TileTagger, *arguments: Any) -> Any:
        seen.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))
        return predict(self, *arguments)

    monkeypatch.setattr(TileTagger, "predict_step", noted)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TileTagger, "training_step", interrupted)
        am.train(config_of(words))
    assert signal.getsignal(signal.SIGINT) is interrupts
    am.train(config_of(words))
    assert set(seen) == {(signal.SIG_DFL, interrupts)}
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_option_that_lightning_refuses_in_training_is_an_error_of_the_input() -> None:
    trainer = make_trainer(config_of([*TINY, "--data.root=tiles"]).trainer, [], logger=False)
    with refused(option="trainer", says=0.5), interruptible(trainer):
        raise MisconfigurationException("You requested to check 0.5 of the `val_dataloader`")
