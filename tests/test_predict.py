"""Predictions and exported files against a real run's evaluation."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common import export, image_cache, networks, photo_figure, predict, trained
from common.errors import UserError
from common.trained import Trained
from common.voc_layout import CLASSES
from tests.scripts import load_small

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture(scope="module")
def run(voc, tmp_path_factory) -> Path:
    """CaffeNet on small crops, after two iterations in float32."""
    folder = tmp_path_factory.mktemp("run")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(folder / "cache"), "--init", "xavier"]
    arguments += ["--model_dir", str(folder / "run"), "--steps", "2", "--precision", "float32"]
    load_small("02_pascal_alexnet.py").main([*arguments, "--batch_size", "4"])
    return folder / "run"


def evaluated(run: Path) -> dict[str, np.ndarray]:
    """{image id: probabilities} of the run's own evaluation."""
    with np.load(run / "predictions.npz") as stored:
        probabilities = 1 / (1 + np.exp(-stored["logits"].astype(np.float64)))
        return dict(zip(stored["ids"].tolist(), probabilities, strict=True))


def test_probabilities_are_those_of_the_evaluation(voc, run):
    expected = evaluated(run)
    photos = [voc / "JPEGImages" / f"{name}.jpg" for name in expected]
    results = predict.predict(trained.load(run), photos)
    for result, probabilities in zip(results, expected.values(), strict=True):
        assert list(result) == list(CLASSES)
        np.testing.assert_allclose(list(result.values()), probabilities, rtol=1e-4)


def test_the_weights_are_those_of_the_latest_checkpoint(voc, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    arguments = ["--data_dir", str(voc), "--cache_dir", str(run.parent / "cache"), "--init", "xavier"]
    arguments += ["--model_dir", str(tmp_path / "run"), "--steps", "3", "--precision", "float32"]
    load_small("02_pascal_alexnet.py").main([*arguments, "--batch_size", "4"])
    assert {"ckpt-2.index", "ckpt-3.index"} <= {path.name for path in (tmp_path / "run").iterdir()}
    network = trained.load(tmp_path / "run")
    assert network.step == 3
    stored = tf.train.load_checkpoint(str(tmp_path / "run" / "ckpt-3"))
    for layer in ("conv1", "fc8"):
        kernel = stored.get_tensor(f"weights/{layer}/kernel/.ATTRIBUTES/VARIABLE_VALUE")
        np.testing.assert_array_equal(network.model.get_layer(layer).kernel.numpy(), kernel)


def test_the_table_the_json_and_the_pictures(voc, run, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    source = voc / "JPEGImages" / "000013.jpg"
    (tmp_path / "photos" / "b.jpg").write_bytes(source.read_bytes())
    (tmp_path / "photos" / "a.JPG").write_bytes(source.read_bytes())
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    arguments = ["--model_dir", str(run), str(tmp_path / "photos")]
    first, second = predict.main(arguments)
    assert first == second
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[6]] == [str(tmp_path / "photos" / name) for name in ("a.JPG", "b.jpg")]
    assert lines[1].split() == [max(first, key=first.get), f"{max(first.values()):.1%}"]
    predict.main([*arguments, "--json", "--pictures", str(tmp_path / "pictures")])
    printed = json.loads(capsys.readouterr().out)
    assert printed[str(tmp_path / "photos" / "b.jpg")] == first
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in pictures] == ["0000_a.png", "0001_b.png"]
    assert pictures[0].stat().st_size > 20_000


# The package silences this warning; pytest turns it on again.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_any_photo_is_taken(run, tmp_path):
    """Grey, CMYK, rotated by EXIF, a single pixel, 100 million pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    image = Image.fromarray(noise)
    image.convert("L").save(tmp_path / "grey.jpg")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    rotated = Image.Exif()
    rotated[0x0112] = 6
    image.save(tmp_path / "rotated.jpg", exif=rotated)
    image.resize((1, 1)).save(tmp_path / "pixel.jpg")
    Image.new("RGB", (10_000, 10_000), "teal").save(tmp_path / "huge.jpg")
    results = predict.main(["--model_dir", str(run), str(tmp_path), "--pictures", str(tmp_path / "out")])
    assert len(results) == 5
    for result in results:
        assert len(result) == 20 and all(0 <= p <= 1 for p in result.values())


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as error:
        predict.main([str(argument) for argument in arguments])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_can_not_be_predicted_is_named(run, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("Remember the milk.")
    assert refused("--model_dir", run, text) == f"{text}: is not a JPEG; leave it out"
    assert f"{tmp_path / 'gone.jpg'}: does not exist" in refused("--model_dir", run, tmp_path / "gone.jpg")
    (tmp_path / "empty").mkdir()
    assert "has no .jpg files" in refused("--model_dir", run, tmp_path / "empty")
    assert "is no model directory" in refused("--model_dir", tmp_path, text)
    with pytest.raises(SystemExit) as stopped:
        predict.main(["--model_dir", str(run)])
    assert stopped.value.code == 2


def test_a_damaged_checkpoint_is_named_with_a_way_out(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    data = copy / "ckpt-2.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    assert f"{copy / 'ckpt-2'}: is damaged; its training's command goes on" in refused(
        "--model_dir", copy, "--export", tmp_path / "out"
    )


# A process that has TensorFlow, and nothing of this project.
ALONE = """
import json, sys
import numpy as np, tensorflow as tf
keras_file, saved_model, image_file = sys.argv[1:]
images = tf.constant(np.load(image_file)[None])
model = tf.saved_model.load(saved_model)
served = model.serve(images).numpy()
(signature,) = model.signatures["serving_default"](images=images).values()
assert np.array_equal(signature, served)
keras = tf.keras
loaded = keras.models.load_model(keras_file)(images).numpy()
assert not any(name.startswith("common") for name in sys.modules)
print(json.dumps([served[0].tolist(), loaded[0].tolist()]))
"""


# Of Keras' own saving.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_exported_files_need_nothing_of_this_project_and_give_the_same_numbers(voc, run, tmp_path, capsys):
    predict.main(["--model_dir", str(run), "--export", str(tmp_path / "out")])
    written = capsys.readouterr().out.splitlines()
    assert written == [str(tmp_path / "out" / "caffenet.keras"), str(tmp_path / "out" / "saved_model")]
    stored = tf.train.list_variables(str(tmp_path / "out" / "saved_model" / "variables" / "variables"))
    assert sorted(shape for _, shape in stored if shape).count([4096, 4096]) == 1  # fc7's kernel, once
    name, expected = next(iter(evaluated(run).items()))
    image = np.asarray(Image.open(voc / "JPEGImages" / f"{name}.jpg"))
    np.save(tmp_path / "image.npy", image)
    alone = subprocess.run(
        [sys.executable, "-c", ALONE, *written, str(tmp_path / "image.npy")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    served, loaded = json.loads(alone.stdout.splitlines()[-1])
    np.testing.assert_allclose(served, loaded, rtol=1e-5)
    np.testing.assert_allclose(served, expected, atol=0.01)  # resized by TensorFlow and not by Pillow


def test_the_standalone_network_takes_any_size(run):
    model = export.make_standalone(trained.load(run, "float32"))
    for height, width in ((1, 1), (40, 700), (256, 256)):
        probabilities = model(np.full((2, height, width, 3), 77, np.uint8), training=False).numpy()
        assert probabilities.shape == (2, 20) and np.all((0 <= probabilities) & (probabilities <= 1))


def test_no_layer_of_the_standalone_network_is_of_this_project():
    network = Trained(networks.vgg16(20, size=32), 1, {"settings": {"image_size": 40}})
    model = export.make_standalone(network)
    assert [layer for layer in model.layers if not type(layer).__module__.startswith("keras.")] == []
    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    expected = tf.sigmoid(network.model(image[:, 4:36, 4:36], training=False))
    np.testing.assert_allclose(model(image), expected, rtol=1e-4)


@pytest.fixture
def eye() -> Trained:
    """A network whose logits are 20 pixels of its 24 x 24 crop, of images of 40 x 40."""
    model = keras.Sequential(
        [keras.Input((24, 24, 3), dtype="uint8"), keras.layers.Rescaling(1 / 32, -4.0, dtype="float32"),
         keras.layers.Flatten(), keras.layers.Dense(20, use_bias=False)], name="eye")  # fmt: skip
    kernel = np.zeros((24 * 24 * 3, 20), np.float32)
    kernel[np.arange(20) * 83, np.arange(20)] = 1
    model.layers[-1].kernel.assign(kernel)
    return Trained(model, 1, {"settings": {"image_size": 40}})


@pytest.mark.parametrize("photo_size", [(130, 70), (400, 330)])
def test_predict_and_export_take_the_runs_own_image_size(eye, tmp_path, photo_size):
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8))
    photo = tmp_path / "a.jpg"
    small.resize(photo_size, Image.Resampling.BICUBIC).save(photo, quality=95)
    pixels = image_cache.decode_jpeg(photo, 40)[8:32, 8:32].reshape(-1)[np.arange(20) * 83].astype(float)

    def shown(probabilities):  # back to pixels
        p = np.asarray(probabilities, np.float64)
        return (np.log(p / (1 - p)) + 4) * 32

    (seen,) = predict.predict(eye, [photo])
    np.testing.assert_allclose(shown(list(seen.values())), pixels, atol=0.01)
    image = np.asarray(Image.open(photo))[None]
    np.testing.assert_allclose(shown(export.make_standalone(eye)(image)[0]), pixels, atol=1)


def test_a_bar_is_its_classs_probability_and_the_photo_stands_upright(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    monkeypatch.setattr(photo_figure, "save", lambda figure, path: figure)
    probabilities = {"cat": 0.9, "dog": 0.2, "cow": 0.6}
    figure = photo_figure.photo_with_probabilities(tmp_path / "a.jpg", probabilities, tmp_path / "a.png")
    left, right = figure.axes
    names = [label.get_text() for label in right.get_yticklabels()]
    widths = [bar.get_width() for bar in right.patches]
    assert list(zip(names, widths, strict=True)) == [("dog", 0.2), ("cow", 0.6), ("cat", 0.9)]  # upwards
    assert [text.get_text() for text in right.texts] == ["20.0%", "60.0%", "90.0%"]
    assert left.get_title() == "cat, cow"
    assert left.images[0].get_array().shape[:2] == (60, 40)


@pytest.mark.parametrize("own", ["float32", "bfloat16"])
def test_a_network_computes_as_its_run_did_unless_it_is_told(run, tmp_path, own):
    for path in run.glob("ckpt-*"):
        (tmp_path / path.name).symlink_to(path)
    config = json.loads((run / "config.json").read_text())
    config["settings"]["precision"] = own
    (tmp_path / "config.json").write_text(json.dumps(config))
    for asked, computed in ((None, own), ("float32", "float32")):
        assert trained.load(tmp_path, asked).model.get_layer("conv1").compute_dtype == computed


@pytest.mark.parametrize("flag", [["--json"], ["--pictures", "pictures"]])
def test_what_is_of_photos_wants_photos(flag, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        predict.main(["--model_dir", str(tmp_path), "--export", str(tmp_path / "out"), *flag])
    assert ended.value.code == 2 and "--json and --pictures are of photos" in capsys.readouterr().err


def test_a_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"^{tmp_path}/run: is no model directory"):
        predict.main(["--model_dir=~/run", "--export=~/out"])
