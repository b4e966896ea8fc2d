import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common import figures, hooks, run_figures, run_files, summaries, summary_figures
from common.errors import UserError
from common.input import Examples
from tests import tiny_run


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    tiny_run.run(folder, 10)
    return run_figures.write_multilabel_figures(folder)


def test_figures_are_written_into_the_model_directory(written):
    assert [path.name for path in written] == ["loss.png", "mAP.png", "ap_per_class.png", "training.png"]
    for path in written:
        with Image.open(path) as image:
            assert image.width > 600 and image.height > 400
            assert np.asarray(image.convert("L")).std() > 10  # something is drawn


def test_a_figure_that_can_not_be_written_is_one_line(tmp_path):
    (tmp_path / "figures").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"figures/loss\.png: can't be written \(File exists\)"):
        figures.loss_curves([line(10, 0.5, 0.4)], "x", tmp_path / "figures" / "loss.png")


def line(step: int, train_loss: float, test_loss: float) -> dict:
    return {"step": step, "train_loss": train_loss, "test_loss": test_loss}


def test_loss_curves_show_every_evaluation(tmp_path, monkeypatch):
    """What is drawn, read back from the figure: both curves, their labels and the axes' units."""
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    figures.loss_curves([line(10, 0.5, 0.4), line(20, 0.3, 0.35)], "CaffeNet, x", tmp_path / "loss.png")
    (axes,) = drawn[0].axes
    train, test = axes.lines
    assert train.get_xydata().tolist() == [[10, 0.5], [20, 0.3]]
    assert test.get_xydata().tolist() == [[10, 0.4], [20, 0.35]]
    assert axes.get_xlabel() == "iteration" and "nats" in axes.get_ylabel()
    assert "CaffeNet, x" in axes.get_title()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training, mean since the point before", "test"]


def test_score_curves_show_every_evaluation_beside_guessing(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    evaluations = [{"step": 10, "mAP": 0.2, "other": 0.3}, {"step": 20, "mAP": 0.4, "other": 0.1}]
    scores = {"mAP": "mean AP", "other": "11 points"}
    figures.score_curves(evaluations, scores, 0.07, "CaffeNet, x", tmp_path / "mAP.png")
    (axes,) = drawn[0].axes
    first, second, guessing = axes.lines
    assert first.get_xydata().tolist() == [[10, 0.2], [20, 0.4]]
    assert second.get_xydata().tolist() == [[10, 0.3], [20, 0.1]]
    assert set(guessing.get_ydata()) == {0.07}
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["mean AP", "11 points", "guessing, 0.070"]
    assert axes.get_title() == "Score: CaffeNet, x"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration", "mAP")


def test_scores_that_only_later_lines_have_are_drawn_from_there(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    evaluations = [{"step": 10, "mAP": 0.2}, {"step": 20, "mAP": 0.4, "train_sample_mAP": 0.6}]
    scores = {"mAP": "test mAP", "train_sample_mAP": "training", "other": "in no line"}
    figures.score_curves(evaluations, scores, 0.07, "x", tmp_path / "mAP.png")
    curves = {one.get_label(): one.get_xydata().tolist() for one in drawn[0].axes[0].lines[:-1]}
    assert curves == {"test mAP": [[10, 0.2], [20, 0.4]], "training": [[20, 0.6]]}


def test_ap_per_class_is_sorted_with_the_best_on_top(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    metrics = {
        "AP": {"cat": 0.4, "dog": 0.6, "cow": 0.1}, "AP_guessing": {"cat": 0.3, "dog": 0.05, "cow": 0.2},
        "mAP": 1.1 / 3,
    }  # fmt: skip
    figures.ap_per_class(metrics, "x", tmp_path / "ap.png")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cow", "cat", "dog"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.4, 0.6]
    assert [text.get_text() for text in axes.texts] == ["0.10", "0.40", "0.60"]
    guessing, mean = axes.lines
    assert guessing.get_xdata().tolist() == [0.2, 0.3, 0.05]
    assert set(mean.get_xdata()) == {1.1 / 3} and mean.get_label() == "mAP, 0.367"


def test_the_figures_of_a_log_are_of_its_last_evaluation_and_of_all_of_them(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}) or path)

    def scored(step: int, mAP: float) -> dict:
        scores = {"mAP": mAP, "mAP_11point": mAP + 0.1, "mAP_guessing": 0.07, "train_sample_mAP": mAP + 0.2}
        return line(step, 0.5, 0.4) | scores | {"AP": {"cat": mAP}, "AP_guessing": {"cat": 0.07}}

    figures.multilabel_figures([scored(10, 0.2), scored(20, 0.3)], "CaffeNet, x", tmp_path)
    (curves,), (bars,) = drawn["mAP.png"].axes, drawn["ap_per_class.png"].axes
    assert {one.get_label(): list(one.get_ydata()) for one in curves.lines} == {
        "test mAP": [0.2, 0.3],
        "test mAP, VOC 2007's 11 points": pytest.approx([0.3, 0.4]),
        "mAP of a sample of the training images": pytest.approx([0.4, 0.5]),
        "guessing, 0.070": [0.07, 0.07],
    }
    assert [bar.get_width() for bar in bars.patches] == [0.3]
    assert bars.get_title() == "Test AP per class: CaffeNet, x\niteration 20"


def test_the_figures_of_a_log_of_digits_are_of_its_last_evaluation(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.update({path.name: figure}) or path)
    evaluations = [
        line(10, 0.5, 0.4) | {"accuracy": 0.5, "train_sample_accuracy": 0.6, "confusion": [[1, 1], [1, 1]]},
        line(20, 0.5, 0.4) | {"accuracy": 0.75, "train_sample_accuracy": 0.8, "confusion": [[2, 0], [1, 1]]},
    ]
    figures.digit_figures(evaluations, "MNIST", tmp_path)
    (curves,), (counts,) = drawn["accuracy.png"].axes, drawn["confusion.png"].axes
    assert [list(one.get_ydata()) for one in curves.lines] == [[0.5, 0.75], [0.6, 0.8], [0.5, 0.5]]
    assert {text.get_text() for text in counts.texts} == {"2", "1"} and len(counts.texts) == 3


def test_titles_say_which_network_and_which_data(written, tmp_path, monkeypatch):
    shutil.copytree(written[0].parent.parent, tmp_path / "run")
    config = run_files.read_config(tmp_path / "run")
    config["settings"]["script"] = "03_pascal_vgg16"
    run_files.write_json(tmp_path / "run" / "config.json", config)
    drawn = {}
    for module in (figures, summary_figures):
        monkeypatch.setattr(module, "save", lambda figure, path: drawn.update({path.name: figure}) or path)
    run_figures.write_multilabel_figures(tmp_path / "run")
    title = "VGG-16 from scratch, coloured noise (37 train / 23 test images)"
    assert drawn.pop("training.png").get_suptitle() == f"Training: {title}"
    assert len(drawn) == 3 and all(title in figure.axes[0].get_title() for figure in drawn.values())


def test_data_is_described_by_its_splits(written):
    config = run_files.read_config(written[0].parent.parent)
    assert figures.describe_data(config) == "coloured noise (37 train / 23 test images)"


@pytest.mark.parametrize(
    ("trainval", "test", "described"),
    [
        (5_011, 4_952, "VOC2007 (5,011 trainval / 4,952 test images)"),
        (5_010, 4_952, "VOC2007 (5,010 trainval / 4,952 test images)"),  # with --skip_bad_images
        (3_687, 1_406, "VOC, not 2007's split (3,687 trainval / 1,406 test images)"),
    ],
)
def test_other_photos_in_the_folder_of_voc_2007_are_told_from_it(trainval, test, described):
    splits = {"trainval": {"images": trainval}, "test": {"images": test}}
    assert figures.describe_data({"data": {"name": "VOC2007", "splits": splits}}) == described


def test_the_most_confident_mistakes_come_first_and_right_guesses_not_at_all(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    images = np.stack([np.full((2, 2, 1), number, np.uint8) for number in range(4)])
    examples = Examples("test", images, np.array([0, 1, 1, 0]), np.ones(4, np.float32), list("abcd"), "012")
    logits = np.log([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1], [0.99, 0.01]])
    figures.most_confidently_wrong(examples, logits, "x", tmp_path / "mistakes.png")
    assert [int(axes.images[0].get_array()[0, 0]) for axes in drawn[0].axes if axes.images] == [2, 1]
    titles = [axes.get_title() for axes in drawn[0].axes if axes.images]
    assert titles == ["1, taken for 0\n90.0%", "1, taken for 0\n70.0%"]


def test_confusion_matrix_shows_every_count(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, path: drawn.append(figure) or path)
    figures.confusion_matrix([[5, 1], [0, 1234]], "x", tmp_path / "confusion.png")
    (axes,) = drawn[0].axes
    shown = {(text.get_position(), text.get_text()) for text in axes.texts}
    assert shown == {((0, 0), "5"), ((1, 0), "1"), ((1, 1), "1,234")}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    np.testing.assert_allclose(axes.images[0].get_array(), [[5 / 6, 1 / 6], [0, 1]])


def test_the_figure_of_the_training_is_what_tensorboard_has(tmp_path, monkeypatch):
    """The learning rate by its closed form, the loss and the gradients as a hook sees them."""
    losses, largest = {}, {}

    class Note(hooks.Hook):
        def after_step(self, estimator, step, done):
            losses[step] = done.loss
            largest[step] = {name: np.abs(one).max() for name, one in done.gradients.items()}

    tiny_run.run(tmp_path, 40, Note())
    drawn = []
    monkeypatch.setattr(summary_figures, "save", lambda figure, path: drawn.append(figure) or path)
    assert summary_figures.training(tmp_path, "x", tmp_path / "training.png") == [tmp_path / "training.png"]
    loss, rate, gradients = drawn[0].axes
    assert dict(loss.lines[0].get_xydata()) == pytest.approx({step: losses[step] for step in range(5, 41, 5)})
    expected = {step: 0.01 * 0.5 ** ((step - 1) // 20) for step in range(5, 41, 5)}
    assert dict(rate.lines[0].get_xydata()) == pytest.approx(expected)
    for line in gradients.lines:
        by_step = {step: of[f"{line.get_label()}/kernel"] for step, of in largest.items() if of}
        assert dict(line.get_xydata()) == pytest.approx(by_step) and len(by_step) == 5
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["iteration"] * 3
    assert [(axes.get_title(), axes.get_ylabel()) for axes in drawn[0].axes] == [
        ("loss of the batch", "cross entropy [nats per label]"),
        ("learning rate as used", "learning rate"),
        ("gradients of the kernels", "largest absolute value"),
    ]


def write_summaries(folder, steps: int) -> None:
    writer = tf.summary.create_file_writer(str(folder))
    for step in range(1, 1 + steps):
        gradients = {"conv1/kernel": np.zeros(9), "fc8/kernel": np.array([-0.5, 0.25])}
        summaries.write_histograms(writer, step, "gradients", gradients)
        with writer.as_default(step):
            tf.summary.scalar("train/loss", 0.7)
            tf.summary.scalar("train/learning_rate", 0.1)
    writer.close()


@pytest.mark.parametrize(("steps", "marker"), [(1, "."), (2, "None")])
def test_a_single_step_of_the_training_is_a_dot(tmp_path, monkeypatch, steps, marker):
    write_summaries(tmp_path, steps)
    drawn = []
    monkeypatch.setattr(summary_figures, "save", lambda figure, path: drawn.append(figure) or path)
    summary_figures.training(tmp_path, "x", tmp_path / "training.png")
    assert [axes.lines[0].get_marker() for axes in drawn[0].axes[:2]] == [marker, marker]


def test_gradients_that_are_0_throughout_are_named(tmp_path, monkeypatch):
    write_summaries(tmp_path, 2)
    drawn = []
    monkeypatch.setattr(summary_figures, "save", lambda figure, path: drawn.append(figure) or path)
    summary_figures.training(tmp_path, "x", tmp_path / "training.png")
    axes = drawn[0].axes[2]
    shown = {
        text.get_text(): line for text, line in zip(axes.get_legend().get_texts(), axes.lines, strict=True)
    }
    assert shown["conv1: 0"].get_ydata().tolist() == [0, 0]
    assert shown["fc8"].get_ydata().tolist() == [0.5, 0.5]


def test_without_tensorboard_files_there_is_no_figure_of_the_training(tmp_path):
    assert summary_figures.training(tmp_path, "x", tmp_path / "training.png") == []


@pytest.mark.parametrize(
    ("difference", "shown"), [(0.0125, "+0.013"), (-0.5, "-0.500"), (0.0, "0.000"), (-0.0004, "0.000")]
)
def test_gains_have_their_sign_unless_there_is_none(difference, shown):
    assert figures.format_gain(difference) == shown
