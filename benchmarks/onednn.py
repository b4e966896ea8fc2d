"""Images a second in float32 with oneDNN, as this project sets it, and with what TensorFlow has without it.

    python -m benchmarks.onednn caffenet --turns 4

For x86 processors without instructions for neural networks, where TensorFlow by itself leaves oneDNN off. The
two take turns, each in a process of its own, with input pipeline and all. Nothing else should run meanwhile.
"""

from benchmarks import sides
from common import cli

SIDES = tuple(
    sides.Side(name, "benchmarks.tensorflow_side", {"TF_ENABLE_ONEDNN_OPTS": switch})
    for name, switch in (("with oneDNN", "1"), ("without", "0"))
)


def main() -> None:
    parser = cli.Parser(__doc__)
    parser.add_argument("network", choices=["caffenet", "vgg16"])
    sides.add_turns(parser)
    sides.compare(SIDES, parser.parse_args(), "float32")


if __name__ == "__main__":
    cli.run(main)
