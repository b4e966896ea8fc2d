"""What a run is called in figures, by its config.json."""

import json

import pytest

from common import trained


@pytest.mark.parametrize(
    ("settings", "network", "title"),
    [
        ({"script": "02_pascal_alexnet"}, "caffenet", "CaffeNet"),
        ({"script": "03_pascal_vgg16"}, "vgg16", "VGG-16 from scratch"),
        ({"script": "04_pascal_vgg16_finetune"}, "vgg16", "fine-tuned VGG-16"),
        ({"script": "06_mixup", "network": "caffenet"}, "caffenet", "CaffeNet with mixup"),
        ({"script": "06_mixup", "network": "vgg16"}, "vgg16", "fine-tuned VGG-16 with mixup"),
        ({"script": "01_pascal"}, None, "01_pascal"),
    ],
)
def test_a_runs_network_and_what_it_is_called(tmp_path, settings, network, title):
    parts = {"resumable_settings": {}, "environment": {}, "data": {"splits": {}}}
    (tmp_path / "config.json").write_text(json.dumps({"settings": settings, **parts}))
    config, found = trained.open_run(tmp_path)
    assert found == network and trained.Trained(None, 0, config).title == title
