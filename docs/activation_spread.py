"""Makes docs/activation_spread.png: how far VGG-16's signal gets before the first iteration.

python -m docs.activation_spread
"""

from pathlib import Path

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from common import augment, networks, sample, voc  # noqa: E402

LABELS = {"gaussian": "N(0, 0.01), the handout's", "xavier": "Glorot's uniform, the default"}


def spreads(init: networks.Init, images) -> dict[str, float]:
    """Standard deviation of the output of every layer with weights, over images, places and channels."""
    model = networks.vgg16(20, init=init)
    layers = [layer for layer in model.layers if layer.weights]
    outputs = keras.Model(model.inputs[0], [layer.output for layer in layers])(images, training=False)
    return {layer.name: float(output.numpy().std()) for layer, output in zip(layers, outputs, strict=True)}


def main() -> None:
    cache_dir = Path("cache")
    images, _, _ = voc.load_pascal(sample.make_sample(cache_dir / "sample"), "test", cache_dir=cache_dir)
    images = augment.center_crop(images[:16], 224)
    figure = Figure((9, 5))
    axes = figure.add_subplot()
    for init, label in LABELS.items():
        measured = spreads(init, images)
        print(f"{init}: {', '.join(f'{name} {spread:.2g}' for name, spread in measured.items())}")
        axes.plot(list(measured), list(measured.values()), "o-", label=label)
    axes.set_yscale("log")
    axes.set(
        title="VGG-16 at step 0: spread of activations by layer, 16 test images of the sample",
        ylabel="standard deviation of the layer's output",
    )
    axes.tick_params(axis="x", rotation=60)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
