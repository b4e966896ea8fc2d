import pytest

from common.task_networks import network_of


@pytest.mark.parametrize(
    ("settings", "network", "title"),
    [
        ({"script": "01_pascal"}, None, "two-layer network"),
        ({"script": "02_pascal_alexnet"}, "caffenet", "CaffeNet"),
        ({"script": "03_pascal_vgg16"}, "vgg16", "VGG-16 from scratch"),
        ({"script": "04_pascal_vgg16_finetune"}, "vgg16", "fine-tuned VGG-16"),
        ({"script": "06_mixup", "network": "caffenet"}, "caffenet", "CaffeNet with mixup"),
        ({"script": "06_mixup", "network": "vgg16"}, "vgg16", "fine-tuned VGG-16 with mixup"),
        ({"script": "my_own"}, None, "my_own"),
    ],
)
def test_a_runs_network_and_what_it_is_called(settings, network, title):
    assert network_of({"settings": settings}) == (network, title)
