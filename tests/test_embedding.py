import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig, projector_plugin

from common import embedding
from common.errors import UserError


def test_classes_have_distinct_colours():
    classes = [f"class {number}" for number in range(19)] + ["person"]
    colors = embedding.class_colors(classes)
    assert colors.shape == (20, 3) and colors.min() >= 0 and colors.max() <= 1
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2) + 9 * np.eye(20)
    assert distances.min() > 0.15
    # With a person the colour of another class is darker, and far from any class' own.
    for number, mixed in enumerate((colors[:19] + colors[19]) / 2):
        assert mixed.max() < colors[number].max()
        assert np.linalg.norm(mixed - colors, axis=1).min() > 0.45


def test_a_dot_has_the_mean_colour_of_its_classes():
    colors = np.array([[1.0, 0.0, 0.2], [0.0, 0.5, 0.6], [0.3, 0.3, 0.3]])
    labels = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    expected = [[0.5, 0.25, 0.4], [0.3, 0.3, 0.3], [0.7, 0.7, 0.7]]
    np.testing.assert_allclose(embedding.mean_colors(labels, colors), expected)


def test_tsne_keeps_groups_together_and_repeats():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(center, 0.1, (20, 30)) for center in (-3, 0, 3)]).astype(np.float32)
    points = embedding.tsne(features, "x", seed=1)
    assert points.shape == (60, 2)
    np.testing.assert_array_equal(points, embedding.tsne(features, "x", seed=1))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert np.all(distances.argmin(axis=1) // 20 == np.arange(60) // 20)


@pytest.mark.parametrize(("images", "perplexity"), [(4, 1), (31, 10), (91, 30), (1_000, 30)])
def test_the_perplexity_of_tsne_is_30_or_what_few_images_allow(monkeypatch, images, perplexity):
    given = []

    class Recorder(embedding.TSNE):
        def fit_transform(self, features):
            given.append(self.perplexity)
            return features[:, :2]

    monkeypatch.setattr(embedding, "TSNE", Recorder)
    embedding.tsne(np.random.default_rng(0).normal(size=(images, 5)), "x", 0)
    assert given == [pytest.approx(perplexity)]


@pytest.mark.parametrize("value", [0.0, 0.25, 0.1])  # of 0.1 in float32 the standard deviation isn't 0
def test_features_of_a_dead_network_are_refused(value):
    with pytest.raises(UserError, match="^CaffeNet, x: gives all test images the same features"):
        embedding.tsne(np.full((1_000, 64), value, np.float32), "CaffeNet, x", 0)


def test_the_projector_is_given_vectors_thumbnails_and_classes(tmp_path):
    rng = np.random.default_rng(0)
    vectors = np.maximum(rng.normal(size=(5, 4)), 0).astype(np.float32)
    images = np.stack([np.full((60, 60, 3), 40 * number, np.uint8) for number in range(5)])
    captions = ["cat, dog", "dog", "(dog)", "cat", "cat"]
    ids = ["000001", "000002", "000003", "000004", "000005"]
    embedding.write_projector(tmp_path, {"VGG-16 fc7": vectors}, images, captions, ids)
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (one,) = config.embeddings
    assert list(one.tensor_shape) == [5, 4]
    read_by_tensorboard = projector_plugin._read_tensor_tsv_file(str(tmp_path / one.tensor_path))
    np.testing.assert_array_equal(read_by_tensorboard, vectors)
    lines = (tmp_path / one.metadata_path).read_text().splitlines()
    assert lines == ["image\tclasses", "000001\tcat, dog", "000002\tdog", "000003\t(dog)", "000004\tcat",
                     "000005\tcat"]  # fmt: skip
    sprite = np.asarray(Image.open(tmp_path / one.sprite.image_path))
    width, height = one.sprite.single_image_dim
    assert sprite.shape == (3 * height, 3 * width, 3)  # rows of three
    assert [int(sprite[n // 3 * height + 5, n % 3 * width + 5, 0]) for n in range(5)] == [0, 40, 80, 120, 160]
