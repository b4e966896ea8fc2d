"""Makes docs/dead_network.png: how far VGG-16's signal and its gradient get before the first iteration.

    python -m docs.dead_network

What it prints is results/dead_network.txt.
"""

from pathlib import Path

from common import cli

cli.import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from common import augment, losses, networks, sample, voc  # noqa: E402

LABELS = {"gaussian": "N(0, 0.01), the handout's", "xavier": "Glorot's uniform, the default"}
TITLES = {"output": "output of the layer", "gradient": "gradient of the loss by the layer's kernel"}


def spreads(init: networks.Init, images, labels, weights) -> dict[str, dict[str, float]]:
    """Standard deviations, by layer with weights, of its "output" and of its kernel's "gradient"."""
    model = networks.vgg16(20, init=init)
    layers = [layer for layer in model.layers if layer.weights]
    network = keras.Model(model.inputs[0], [layer.output for layer in layers])
    with tf.GradientTape() as tape:
        outputs = network(images, training=False)
        loss = losses.sigmoid_cross_entropy(labels, outputs[-1], weights)
    gradients = tape.gradient(loss, [layer.kernel.value for layer in layers])
    return {
        what: {layer.name: float(tf.math.reduce_std(one)) for layer, one in zip(layers, of, strict=True)}
        for what, of in (("output", outputs), ("gradient", gradients))
    }


def main() -> None:
    cache_dir = Path("cache")
    folder = sample.make_sample(cache_dir / "sample")
    images, labels, weights = (part[:16] for part in voc.load_pascal(folder, "test", cache_dir=cache_dir))
    figure = Figure((12, 5), layout="constrained")
    figure.suptitle("VGG-16 at step 0: standard deviations by layer, 16 test images of the sample")
    panels = dict(zip(TITLES, figure.subplots(1, 2), strict=True))
    for init, label in LABELS.items():
        measured = spreads(init, augment.center_crop(images, 224), labels, weights)
        for what, axes in panels.items():
            print(f"{init}, {what}: {', '.join(f'{name} {one:.2g}' for name, one in measured[what].items())}")
            axes.plot(list(measured[what]), list(measured[what].values()), "o-", label=label)
    for what, axes in panels.items():
        axes.set_yscale("log")
        axes.set(title=TITLES[what], ylabel="standard deviation")
        axes.tick_params(axis="x", rotation=60)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
