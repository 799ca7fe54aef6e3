"""Several processes train one network: the same folds, probabilities and scores as of one; stopped, resumed, failed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import TINY, leave_out_finish
from refused import holds, refused
from requested import config_of
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from amazon_ml.cli.main import main
from amazon_ml.data.batches.dataset import TileDataset, tile_loader
from amazon_ml.data.batches.sources import TileSource
from amazon_ml.data.demo.demo import write_demo
from amazon_ml.errors import InputError, WorkError
from amazon_ml.labels import PLANET
from amazon_ml.models.averaging import AveragedWeights
from amazon_ml.models.layers import batch_norms
from amazon_ml.models.tagger import TileTagger
from amazon_ml.runtime import distributed
from amazon_ml.training import callbacks
from amazon_ml.training.fit import make_trainer

#: Of 16 tiles a batch, so that processes have shares of several batches.
OPTIONS = [*TINY, "--data.predict_batch_size=16"]
#: Far beyond what a command takes, on a machine that is busy, too.
LONG = 240


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """161 labelled tiles, 55 of them in fold 0, and 31 untagged ones: odd numbers, which padding would make even."""
    folder = tmp_path_factory.mktemp("tiles") / "demo"
    write_demo(folder, tiles=161, test_tiles=31, size=32)
    return folder


@pytest.fixture(scope="module")
def pair(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of two processes; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "pair"
    done = _run(_train(run, tiles, "--trainer.devices=2")[2:])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("is done after") == 1
    assert "2 processes: a step has 32 tiles, 16 in each; the learning rate is 0.01" in done.stderr
    return run


def _train(run: Path, tiles: Path, *options: str) -> list[str]:
    return ["-m", "amazon_ml.cli", "train", "--run", str(run), "--data.root", str(tiles), *OPTIONS, *options]


def _environment() -> dict[str, str]:
    lean = {forked.WITHOUT_PAGES: "1"}
    return {**os.environ, **lean, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return forked.run(arguments, environment=_environment(), fast_python=True)


#: torchrun, which reads the lines of all its callers whenever it writes down an event: here their names are enough.
TORCHRUN = """
import inspect
from functools import partial
inspect.stack = partial(inspect.stack, 0)
from torch.distributed.run import main
main()
"""


def _same_weights(first: Path, second: Path) -> bool:
    a, b = (safetensors.torch.load_file(run / "fold-0" / "model.safetensors") for run in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def _probabilities(run: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(run / name).set_index("image_name")[list(PLANET.names)]


# ---------------------------------------------------------------- shares


class _Counted(TileSource):
    def __init__(self, tiles: int) -> None:
        self.tiles = tiles

    def __len__(self) -> int:
        return self.tiles

    def fetch(self, rows: np.ndarray, symmetries: np.ndarray | None = None) -> np.ndarray:
        return np.zeros((len(rows), 8, 8, 3), np.uint8)


@pytest.mark.parametrize("tiles", [1, 2, 5, 16, 37, 64])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shares_hold_every_tile_once_and_none_is_empty_where_there_are_enough(tiles: int, ranks: int) -> None:
    dataset = TileDataset(_Counted(tiles))
    shares = [[batch["index"] for batch in tile_loader(dataset, 16, 0, rank, ranks)] for rank in range(ranks)]
    seen = torch.cat([index for share in shares for index in share])
    assert torch.equal(seen.sort().values, torch.arange(tiles))
    assert tiles < ranks or all(shares)
    assert max(len(index) for share in shares for index in share) <= 16


# ---------------------------------------------------------------- the same as one process


def test_one_process_predicts_and_scores_as_two(pair: Path, tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pair, run)
    for name in ("fold-0/valid.parquet", "fold-0/test.parquet", "oof.parquet", "test.parquet", "metrics.json"):
        (run / name).unlink()
    done = forked.run(_train(run, tiles, "--trainer.devices=1")[2:], environment=_environment())
    assert done.returncode == 0, done.stderr
    for name, rows in (("oof.parquet", 55), ("test.parquet", 31)):
        one, two = _probabilities(run, name), _probabilities(pair, name)
        assert len(one) == rows and one.index.equals(two.index)
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)
    scores = [
        json.loads((folder / "metrics.json").read_text())["fbeta"]["fixed_0.2"]["value"] for folder in (run, pair)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    # What the two processes found when they validated, of the weights that they kept.
    curves = pd.read_csv(pair / "fold-0" / "metrics.csv")
    assert curves["val_f2"].dropna().iloc[-1] == pytest.approx(scores[0], abs=1e-6)


# ---------------------------------------------------------------- torchrun, stops and failures

#: Trains as ``amazon-ml train`` does, saves every second, and the second process is killed in the second epoch.
DYING = """
import os, signal, sys
from datetime import timedelta
from amazon_ml.training import callbacks
callbacks.SAVE_EVERY = timedelta(0)
from amazon_ml.models.seeding import PerStepSeed
start = PerStepSeed.on_train_batch_start
def dying(self, trainer, module, batch, batch_idx):
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    if first and trainer.global_rank == 1 and (trainer.current_epoch, batch_idx) == (1, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    start(self, trainer, module, batch, batch_idx)
PerStepSeed.on_train_batch_start = dying
from amazon_ml.cli.main import main
sys.exit(main())
"""


def test_torchrun_starts_again_after_a_process_died_and_ends_at_the_same_weights(
    pair: Path, tiles: Path, tmp_path: Path
) -> None:
    script, run = tmp_path / "dying.py", tmp_path / "run"
    script.write_text(DYING)
    train = _train(run, tiles)[2:]
    torchrun = ["--standalone", "--nproc-per-node=2", "--max-restarts=1", "--monitor-interval=0.2"]
    done = _run(["-c", TORCHRUN, *torchrun, "--", str(script), *train])
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr and "at step 5" in done.stderr
    assert _same_weights(run, pair)
    assert (run / "oof.parquet").read_bytes() == (pair / "oof.parquet").read_bytes()
    assert pd.read_csv(run / "fold-0" / "metrics.csv")["val_f2"].count() == 2


def test_failure_of_one_process_ends_all_with_its_message_and_status(tiles: Path, tmp_path: Path) -> None:
    broken = tmp_path / "tiles"
    shutil.copytree(tiles, broken)
    tile = broken / "train-jpg" / "train_3.jpg"
    data = tile.read_bytes()
    tile.write_bytes(data[:2] + bytes(198) + data[200:])  # which only decoding finds, within a process
    began = time.monotonic()
    done = _run(_train(tmp_path / "run", broken, "--trainer.devices=2"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("amazon-ml: ") == 1 and "train_3.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - began < LONG


def test_run_goes_on_with_as_many_processes_only(pair: Path, tiles: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pair, run)
    done = forked.run(_train(run, tiles, "--trainer.devices=1", "--folds=1")[2:])
    assert done.returncode == 2 and "2 processes began the run, but now there are 1" in done.stderr


def test_own_error_is_told_where_the_first_process_is_gone() -> None:
    first = TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    store = TCPStore("127.0.0.1", first.port, 2, is_master=False)
    del first
    with refused(file="tile.jpg"):
        distributed._end(InputError("a broken tile", file="tile.jpg"), store)
    with pytest.raises(SystemExit) as ended:
        distributed._end(RuntimeError("Connection closed by peer"), store)
    assert ended.value.code == 1


#: Waits for ever, as for a GPU, while the process that it started ends at once.
WAITING = """
import time
from amazon_ml.runtime import distributed
distributed._GRACE = 0.1
with distributed.started(2, ["no-verb"], {}):
    time.sleep(1000)
"""


def test_process_that_waits_for_ever_ends_with_another_that_failed() -> None:
    done = forked.run(["-c", WAITING], environment=_environment())  # the other is a new interpreter
    assert done.returncode == 2
    assert "there is no verb 'no-verb'" in done.stderr and "another process of this job is gone" in done.stderr


#: Starts a process that waits for ever, as for a connection to this one, and is killed.
KILLED = """
import os, signal, subprocess, sys
waits = '''
import time
from amazon_ml.runtime import distributed
distributed._ALONE = 0.1
distributed.end_without_first()
print("waits", flush=True)
time.sleep(1000)
'''
first = {"AMAZON_ML_FIRST_PROCESS": str(os.getpid())}
other = subprocess.Popen([sys.executable, "-c", waits], env={**os.environ, **first}, stdout=subprocess.PIPE)
other.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_process_that_waits_for_a_killed_one_ends() -> None:
    # It returns when the output of both is closed, so when the other is gone, too.
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env=_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert "another process of this job is gone" in done.stderr


#: Starts a process behind a program that does not become Python, and does not end before it.
BEHIND = """
import os, subprocess, sys
waits = '''
import time
from amazon_ml.runtime import distributed
distributed._ALONE = 0.1
distributed.end_without_first()
time.sleep(2)
'''
first = {"AMAZON_ML_FIRST_PROCESS": str(os.getpid())}
behind = ["sh", "-c", '"$0" -c "$1"; exit $?', sys.executable, waits]
sys.exit(subprocess.run(behind, env={**os.environ, **first}).returncode)
"""


def test_process_behind_another_program_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEHIND], env=_environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_its_process_says_that_the_first_one_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
    store = TCPStore("127.0.0.1", first.port, 2, is_master=False)
    del first
    ended = subprocess.Popen(["true"])
    assert ended.wait() == 0
    monkeypatch.setenv("AMAZON_ML_FIRST_PROCESS", str(ended.pid))
    with pytest.raises(WorkError):
        distributed._end(RuntimeError("Connection closed by peer"), store)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model.unfreeze={0: 1, 1: all}"], ["--trainer.strategy", "ddp_find_unused_parameters_true"]),
        (["--trainer.sync_batchnorm=true"], ["trainer.sync_batchnorm"]),
        (["--trainer.strategy=ddp_spawn"], ["ddp_spawn"]),
    ],
)
def test_what_several_processes_cannot_do_is_refused_at_once(
    tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: list[str]
) -> None:
    assert main(_train(tmp_path / "run", tiles, "--trainer.devices=2", *options)[2:]) == 2
    assert holds(capsys.readouterr().err, *told) and not (tmp_path / "run").exists()


def test_norms_of_all_processes_keep_their_activations() -> None:
    config = config_of([*TINY, "--data.root=tiles", "--trainer.sync_batchnorm=true"])
    norms = make_trainer(config.trainer, [], logger=False)._accelerator_connector._layer_sync
    tagger = TileTagger(["a", "b"], "test_efficientnet", pretrained=False, size=32).eval()
    keys, images = list(tagger.state_dict()), torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = tagger(images)
        assert norms is not None and norms.apply(tagger) is tagger
        assert {type(norm).__bases__[0] for norm in batch_norms(tagger)} == {torch.nn.SyncBatchNorm}
        assert torch.equal(tagger(images), expected)  # predicting, each process is for itself
    assert norms.revert(tagger) is tagger and list(tagger.state_dict()) == keys


# ---------------------------------------------------------------- averages, frozen stages, mixed batches

#: 161 tiles are 53 for each of two processes to train on: 3 steps an epoch, 9 in all.
EVERYTHING = [
    "--trainer.devices=2",
    "--trainer.max_epochs=3",
    "--trainer.strategy=ddp_find_unused_parameters_true",
    "--model.unfreeze={0: 1, 1: 3, 2: all}",
    "--model.backbone_args={drop_rate: 0.3}",
    "--data.mixup_alpha=0.4",
    "--data.cutmix_alpha=1.0",
    "--data.mix_prob=0.7",
]


def _pair(target: Any, *arguments: Any) -> None:
    """Call something in two processes that know of each other, as a launcher starts them; both must end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [forked.called(_be_one, rank, port, target, *arguments) for rank in range(2)]
    told = [process.communicate(LONG) for process in both]
    assert [process.returncode for process in both] == [0, 0], told


def _be_one(rank: int, port: int, target: Any, *arguments: Any) -> None:
    torch.set_num_threads(1)
    leave_out_finish(pytest.MonkeyPatch())
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    target(rank, *arguments)


def _call(arguments: list[str]) -> Any:
    """Give the exit status, which the process that is not the first to fail gets by an exit."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def _train_both(rank: int, runs: Path, tiles: Path, options: list[str], stops: Sequence[int]) -> None:
    """Train one run undisturbed, and one that stops whenever the second process is told to, in one of these steps."""
    step, end = TileTagger.training_step, AveragedWeights.on_train_end
    run, asked = runs / "undisturbed", -1

    def step_or_signal(self: TileTagger, *arguments: Any) -> torch.Tensor:
        if rank == 1 and self.global_step == asked:
            signal.raise_signal(signal.SIGUSR1)
        return step(self, *arguments)

    def end_and_keep(self: AveragedWeights, trainer: Any, module: TileTagger) -> None:
        end(self, trainer, module)
        torch.save(dict(module.named_parameters()), runs / f"{run.name}-{rank}.pt")

    patch = pytest.MonkeyPatch()
    patch.setattr(TileTagger, "training_step", step_or_signal)
    patch.setattr(AveragedWeights, "on_train_end", end_and_keep)
    assert _call(_train(run, tiles, *options)[2:]) == 0
    run = runs / "stopped"
    for at in stops:
        asked = at
        assert _call(_train(run, tiles, *options)[2:]) == 85
    asked = -1
    assert _call(_train(run, tiles, *options)[2:]) == 0


#: Of `pair`, whose stored probabilities of untagged tiles are taken over.
TAUGHT = ["--data.teacher_weight=0.3", "--data.untagged_share=0.25", "--data.untagged_weight=2"]


@pytest.mark.parametrize(
    ("options", "stops"),
    [(["--model.ema=0.9"], (4,)), (["--model.swa=0.5", *TAUGHT], (4, 7))],
    ids=["ema", "taught swa"],
)
def test_averages_of_two_processes_are_one_and_are_resumed_exactly(
    options: list[str], stops: tuple[int, ...], pair: Path, tiles: Path, tmp_path: Path
) -> None:
    teacher = [f"--data.teacher={pair}"] if TAUGHT[0] in options else []
    _pair(_train_both, tmp_path, tiles, [*EVERYTHING, *options, *teacher], stops)
    assert _same_weights(tmp_path / "stopped", tmp_path / "undisturbed")
    kept = safetensors.torch.load_file(tmp_path / "stopped" / "fold-0" / "model.safetensors")
    for name in ("stopped-0", "stopped-1", "undisturbed-0", "undisturbed-1"):
        averaged = torch.load(tmp_path / f"{name}.pt")
        assert averaged and all(torch.equal(value, kept[key]) for key, value in averaged.items()), name


#: Python's side of what one process asks the others; gradients and buffers go by another way.
ASKING = ("all_reduce", "broadcast", "broadcast_object_list", "all_gather_object", "barrier")


def _noted(name: str, calls: list[str]) -> Any:
    call = getattr(torch.distributed, name)

    def noted(*given: Any, **named: Any) -> Any:
        calls.append(name)
        return call(*given, **named)

    return noted


def _count_talk(rank: int, run: Path, tiles: Path, options: list[str]) -> None:
    """Train, and check that processes ask each other once between two steps of an epoch."""
    patch = pytest.MonkeyPatch()
    patch.setattr(callbacks, "SAVE_EVERY", timedelta(days=1))
    asked: list[str] = []
    between: list[list[str]] = []
    for name in ASKING:
        patch.setattr(torch.distributed, name, _noted(name, asked))
    step = TileTagger.training_step

    def counted_step(self: TileTagger, batch: Any, index: int) -> torch.Tensor:
        if index:
            between.append([*asked])
        asked.clear()
        return step(self, batch, index)

    patch.setattr(TileTagger, "training_step", counted_step)
    assert _call(_train(run, tiles, *options)[2:]) == 0
    assert between == [["all_reduce"]] * 10  # 6 steps in each of 2 epochs


@pytest.mark.usefixtures("fit_only")
def test_two_processes_train_as_one_on_the_same_steps_and_talk_once_a_step(
    pair: Path, tiles: Path, tmp_path: Path
) -> None:
    """Half the batch in each makes the same steps, where no batch norm sees a half of them only."""
    options = ["--model.backbone=test_vit", "--model.ema=0.9", "--model.lr=0.001"]
    _pair(_count_talk, tmp_path / "two", tiles, [*options, "--trainer.devices=2", "--data.batch_size=8"])
    assert main(_train(tmp_path / "one", tiles, *options)[2:]) == 0
    one, two = (_probabilities(tmp_path / name, "oof.parquet") for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-5)
    curves = [pd.read_csv(tmp_path / name / "fold-0" / "metrics.csv")["val_loss"].dropna() for name in ("one", "two")]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)
    assert (pair / "folds.csv").read_bytes() == (tmp_path / "one" / "folds.csv").read_bytes()
    assert len(pd.read_csv(pair / "fold-0" / "per_tag.csv")) == 2 * len(PLANET)


# ---------------------------------------------------------------- two hosts


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two network namespaces with a cable between them: names to addresses, the first host first."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root, and ip (Debian: apt install iproute2)")
    addresses = {f"amazon-{os.getpid()}-{n}": f"10.77.0.{n}" for n in (1, 2)}
    first, second = addresses
    try:
        made = subprocess.run(["ip", "netns", "add", first], capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no network namespace can be made here: {made.stderr.strip()}")
        _ip("netns", "add", second)
        _ip("-n", first, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", second)
        for host, address in addresses.items():
            _ip("-n", host, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", host, "link", "set", "cable", "up")
            _ip("-n", host, "link", "set", "lo", "up")
        yield addresses
    finally:
        for host in addresses:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def test_two_hosts_train_as_two_processes_of_one(
    hosts: dict[str, str], pair: Path, tiles: Path, tmp_path: Path
) -> None:
    run, first = tmp_path / "run", next(iter(hosts.values()))
    meet = [
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
        "--rdzv-id=hosts",
        f"--rdzv-endpoint={first}:29500",
    ]
    launched = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, forked.python(), "-c", TORCHRUN, *meet,
             f"--rdzv-conf=is_host={int(address == first)}", f"--local-addr={address}", "-m", "--",
             *_train(run, tiles)[1:]],
            env={**_environment(), "GLOO_SOCKET_IFNAME": "cable"}, stderr=subprocess.PIPE, text=True,
        )
        for host, address in hosts.items()
    ]  # fmt: skip
    try:
        told = [launcher.communicate(timeout=LONG)[1] for launcher in launched]
    finally:
        for launcher in launched:
            launcher.kill()
    assert [launcher.returncode for launcher in launched] == [0, 0], told
    for name in ("fold-0/model.safetensors", "oof.parquet", "test.parquet"):
        assert (run / name).read_bytes() == (pair / name).read_bytes(), name
