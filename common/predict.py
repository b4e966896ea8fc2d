"""What a trained network sees in photos.

    python -m common.predict --model_dir RUN photo.jpg ...
    python -m common.predict --model_dir RUN --export DIR

RUN is the model directory of a CaffeNet or a VGG-16. Photos are JPEG files, or folders of them. Their classes
are printed as a table, the most probable first, or as JSON; --pictures writes each photo with a bar chart.
--export writes the network as a Keras file and as a SavedModel, which take images of any size and need
nothing of this project.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common import cli
from common.errors import UserError

if TYPE_CHECKING:  # it loads TensorFlow, which `--help` shouldn't wait for
    from common.trained import Trained


def find_photos(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and the JPEG files in the folders among them, by name.

    Raises:
        UserError: one isn't there, or a folder has none.
    """
    photos = []
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
            if not found:
                raise UserError(f"{path}: has no .jpg files")
        elif not path.exists():
            raise UserError(f"{path}: does not exist")
        photos += found
    return photos


def predict(network: "Trained", photos: Sequence[Path]) -> list[dict[str, float]]:
    """Probabilities of the classes in each photo, as evaluation would score it.

    Args:
        network: see `common.trained.load`.
        photos: JPEG files.

    Returns:
        {class: probability} for each.

    Raises:
        UserError: a photo can't be decoded; it is named.
    """
    import tensorflow as tf

    from common import augment
    from common.image_cache import BadImageError, decode_jpeg
    from common.voc_layout import CLASSES

    results = []
    for photo in photos:
        try:
            image = decode_jpeg(photo, network.config["settings"]["image_size"])
        except BadImageError as error:
            raise UserError(f"{photo}: {error}; leave it out") from error
        crop = augment.center_crop(tf.constant(image[None]), network.size)
        probabilities = tf.sigmoid(network.model(crop, training=False))[0].numpy()
        results.append({name: float(p) for name, p in zip(CLASSES, probabilities, strict=True)})
    return results


def format_table(photo: Path, probabilities: dict[str, float], count: int = 5) -> str:
    """The most probable classes of a photo."""
    ranked = sorted(probabilities, key=probabilities.get, reverse=True)[:count]
    return "\n".join([str(photo), *(f"  {name:<14}{probabilities[name]:>7.1%}" for name in ranked)])


def main(argv: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Predicts or exports, as the command line asks; returns the probabilities."""
    parser = cli.Parser(__doc__)
    parser.add_argument("photos", nargs="*", type=cli.path, help="JPEG files, or folders of them")
    parser.add_argument("--model_dir", type=cli.path, required=True, help="of a run of CaffeNet or VGG-16")
    parser.add_argument("--json", action="store_true", help="print JSON: {photo: {class: probability}}")
    parser.add_argument("--pictures", type=cli.path, help="folder to write each photo with a bar chart to")
    parser.add_argument("--export", type=cli.path, help="folder to write the network to")
    options = parser.parse_args(argv)
    if not options.photos and options.export is None:
        parser.error("give photos, or --export a folder")
    if not options.photos and (options.json or options.pictures):
        parser.error("--json and --pictures are of photos; give some")
    photos = find_photos(options.photos)

    # Here and not at the top: TensorFlow takes seconds to load, `--help` shouldn't.
    cli.import_tensorflow()
    from common import export, photo_figure, trained

    if options.export:
        for path in export.write(trained.load(options.model_dir, "float32"), options.export):
            print(path, file=sys.stderr if options.json else sys.stdout)
    if not photos:
        return []
    results = predict(trained.load(options.model_dir), photos)
    if options.json:
        print(json.dumps(dict(zip(map(str, photos), results, strict=True)), indent=2))
    for number, (photo, probabilities) in enumerate(zip(photos, results, strict=True)):
        if not options.json:
            print(format_table(photo, probabilities))
        if options.pictures:
            picture = options.pictures / f"{number:04}_{photo.stem}.png"
            photo_figure.photo_with_probabilities(photo, probabilities, picture)
            print(picture, file=sys.stderr if options.json else sys.stdout)
    return results


if __name__ == "__main__":
    cli.run(main)
