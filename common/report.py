"""One page with every question of the handout, answered by the runs at hand.

    python -m common.report runs -o report.html

RUNS are model directories, or folders of them. The page holds all its pictures and needs no network; curves
are drawn from the logs, also of runs that haven't ended. Where a question has no run yet, it says how to make
one.
"""

import base64
import html
import io
import json
import shlex
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from common import cli
from common.command_line import command_of
from common.errors import UserError
from common.questions import QUESTIONS, Question

_LARGE_PNG = 500_000  # bytes
_SCORES = {
    "accuracy": "test accuracy",
    "train_sample_accuracy": "accuracy of a sample of the training images",
    "mAP": "test mAP",
    "mAP_11point": "test mAP, VOC 2007's 11 points",
    "mAP_guessing": "mAP of guessing",
    "train_sample_mAP": "mAP of a sample of the training images",
}

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; color: #222 }
h2 { border-top: 1px solid #ccc; padding-top: 1.5rem; margin-top: 3rem }
img { max-width: 100%; margin: .5rem 0 }
pre { background: #f3f3f3; padding: .7rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
table { border-collapse: collapse; font-size: .85rem; margin: 1rem 0 }
td, th { border: 1px solid #ddd; padding: .15rem .6rem; text-align: right }
td:first-child, th:first-child { text-align: left; white-space: nowrap }
.missing { background: #fff6dd; padding: .7rem 1rem }
"""


def _shown(folder: Path) -> str:
    """A folder as one would type it here."""
    folder, here = folder.resolve(), Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


@dataclass(frozen=True)
class Run:
    """A run as its model directory tells it.

    Attributes:
        folder: the model directory.
        config: config.json.
        evaluations: lines of metrics.jsonl, at least one.
    """

    folder: Path
    config: Mapping[str, Any]
    evaluations: Sequence[Mapping[str, Any]]

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**self.config["settings"], **self.config["resumable_settings"]}

    @property
    def last(self) -> Mapping[str, Any]:
        return self.evaluations[-1]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def has_ended(self) -> bool:
        return self.last["step"] >= self.settings["steps"]

    @property
    def command(self) -> str:
        """Makes the run, or goes on with it; a run of which only the log is kept is made anew under runs/."""
        kept = (self.folder / "checkpoint").is_file()
        return command_of(self.config, _shown(self.folder) if kept else f"runs/{self.name}")


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """Every evaluated run in the folders or right below them, by name.

    Raises:
        UserError: a folder isn't there, or a run can't be read.
    """
    from common import run_files  # loads TensorFlow, which `--help` shouldn't wait for

    runs = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder")
        for path in sorted({*folder.glob("config.json"), *folder.glob("*/config.json")}):
            evaluations = run_files.read_metrics(path.parent)
            try:
                config = run_files.read_config(path.parent)
            except run_files.EarlierVersionError:
                print(f"{path.parent}: left out, it is an earlier version's", file=sys.stderr)
                continue
            if evaluations:
                runs.append(Run(path.parent.resolve(), config, evaluations))
    return list({run.folder: run for run in runs}.values())


def find_analyses(folders: Iterable[Path]) -> list[Path]:
    """Every folder of Task 5 in the folders or right below them."""
    found = (
        p for folder in folders for p in (*folder.glob("analysis.json"), *folder.glob("*/analysis.json"))
    )
    return sorted({path.parent for path in found})


def _picture(path: Path) -> str:
    """A picture inside the page; one of many photos, as JPEG in a fraction of the bytes."""
    kind, content = "png", path.read_bytes()
    if len(content) > _LARGE_PNG:
        with Image.open(path) as image, io.BytesIO() as jpeg:
            image.convert("RGB").save(jpeg, "JPEG", quality=88)
            kind, content = "jpeg", jpeg.getvalue()
    encoded = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/{kind};base64,{encoded}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(cells: Sequence[object], tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _iterations(run: Run) -> str:
    made = f"{run.last['step']:,}"
    return made if run.has_ended else f"{made} of {run.settings['steps']:,}, not ended"


def _results(runs: Sequence[Run]) -> str:
    """What the runs of one question ended with, a column for each."""
    head = ["", *(run.name for run in runs)]
    rows: list[list[object]] = [
        ["iterations", *map(_iterations, runs)],
        ["test loss", *(f"{run.last['test_loss']:.4f}" for run in runs)],
    ]
    for name, title in _SCORES.items():
        if any(name in run.last for run in runs):
            rows.append([title, *(f"{run.last[name]:.4f}" if name in run.last else "" for run in runs)])
    classes = list(dict.fromkeys(name for run in runs for name in run.last.get("AP", {})))
    for name in classes:
        values = [run.last["AP"].get(name) for run in runs]
        rows.append([f"AP {name}", *("" if value is None else f"{value:.3f}" for value in values)])
    return _table(head, rows)


def _training_time(run: Run) -> str:
    starts = [0, *(line["step"] for line in run.evaluations)]
    parts = zip(starts, run.evaluations, strict=False)
    timed = [(line["step"] - start, line["images_per_second"]) for start, line in parts]
    seconds = sum(steps * run.settings["batch_size"] / rate for steps, rate in timed if rate)
    return f"{max(seconds / 60, 0.1):,.1f} minutes of training, {run.settings['precision']} "


def _circumstances(config: Mapping[str, Any], time: str) -> str:
    """Data, time and machine of a run or an analysis, and its settings."""
    splits = ", ".join(f"{s['images']:,} {name} images" for name, s in config["data"]["splits"].items())
    machine = config["environment"]
    about = (
        f"{config['data']['name']}: {splits}; {time}on {machine['device']}, "
        f"Python {machine['python']}, TensorFlow {machine['libraries']['tensorflow']}"
    )
    rows = sorted({**config["settings"], **config["resumable_settings"]}.items())
    settings = _table(["setting", "value"], rows)
    return f"<p>{html.escape(about)}</p><details><summary>settings</summary>{settings}</details>"


def _pictures(question: Question, run: Run) -> list[str]:
    """The curves up to the last evaluation, and of a run that has ended the figures that it drew itself."""
    from common import figures

    draw = figures.digit_figures if "confusion" in run.last else figures.multilabel_figures
    with tempfile.TemporaryDirectory() as folder:
        title = f"{run.name}, {figures.describe_data(run.config)}"
        pictures = [_picture(path) for path in draw(run.evaluations, title, Path(folder))]
    if not run.has_ended:
        return pictures
    own = [run.folder / "figures" / name for name in question.figures]
    if run.last["step"] < run.settings["summary_every"]:  # none of the training's scalars was logged
        own = [path for path in own if path.name != "training.png"]
    missing = ", ".join(path.name for path in own if not path.is_file())
    note = f'<p class="missing">Not here: {missing}; the command above draws them.</p>' if missing else ""
    return [*pictures, *(_picture(path) for path in own if path.is_file()), note]


def _answer_by_runs(question: Question, runs: Sequence[Run]) -> str:
    parts = [_results(runs)]
    for run in runs:
        parts.append(f"<h3>{html.escape(run.name)}</h3><pre>{html.escape(run.command)}</pre>")
        parts.append(_circumstances(run.config, _training_time(run)))
        if not run.has_ended:
            parts.append('<p class="missing">It hasn\'t ended: the same command goes on.</p>')
        parts += _pictures(question, run)
    return "".join(parts)


def _answer_by_analyses(question: Question, folders: Sequence[Path]) -> str:
    parts = []
    for folder in folders:
        try:
            parts += _answer_by_analysis(folder, json.loads((folder / "analysis.json").read_text()))
        except (ValueError, KeyError, TypeError, AttributeError):
            print(f"{folder}: left out, it is damaged or an earlier version's", file=sys.stderr)
            continue
        parts += [_picture(folder / name) for name in question.figures if (folder / name).is_file()]
    return "".join(parts)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _answer_by_analysis(folder: Path, result: Mapping[str, Any]) -> list[str]:
    """Command, circumstances, AP per class with the gains, and the shares of neighbours."""
    titles, tuned, scratch = result["titles"], result["AP"]["vgg16"], result["AP"]["caffenet"]
    rows: list[list[object]] = [["mAP", *(f"{one['mAP']:.4f}" for one in (tuned, scratch)), ""]]
    gains = {name: tuned["AP"][name] - ap for name, ap in scratch["AP"].items()}
    for name in sorted(gains, key=gains.get, reverse=True):
        values = (f"{one['AP'][name]:.3f}" for one in (tuned, scratch))
        rows.append([f"AP {name}", *values, f"{gains[name]:+.3f}"])
    shares = result["neighbours_with_a_class_in_common"]
    of_neighbours = [
        [feature, metric, _share(shares["shown"][feature][metric]), _share(share)]
        for feature, by_metric in shares["all"].items()
        for metric, share in by_metric.items()
    ]
    of_neighbours.append(["two images at random", "", "", _share(shares["at random"])])
    command = f"{command_of(result, None)} --output_dir {shlex.quote(_shown(folder))}"
    return [
        f"<h3>{html.escape(folder.name)}</h3><pre>{html.escape(command)}</pre>",
        _circumstances(result, f"{result['seconds'] / 60:,.1f} minutes "),
        _table(["", titles["vgg16"], titles["caffenet"], "gain"], rows),
        _table(["neighbours with a class in common", "metric", "shown", "all test images"], of_neighbours),
    ]


def write_report(folders: Sequence[Path], output: Path) -> Path:
    """Writes the page.

    Args:
        folders: model directories, or folders of them.
        output: the HTML file.

    Returns:
        The file.

    Raises:
        UserError: a folder isn't there, or a run can't be read.
    """
    runs, analyses = find_runs(folders), find_analyses(folders)
    sections = []
    for question in QUESTIONS:
        answering = [run for run in runs if run.settings.get("script") == question.script]
        answer = _answer_by_runs(question, answering) if answering else ""
        if question.script == "05_analysis":
            answer = _answer_by_analyses(question, analyses)
        if not answer:
            command = f"python {question.script}.py {question.arguments}"
            answer = (
                f'<div class="missing">No run yet. This makes one:<pre>{html.escape(command)}</pre></div>'
            )
        sections.append(f"<h2>{html.escape(question.title)}</h2><p>{html.escape(question.text)}</p>{answer}")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Multi-label classification on PASCAL VOC'
        f"</title><style>{_STYLE}</style><h1>Multi-label classification on PASCAL VOC, in TensorFlow</h1>"
        f"{''.join(sections)}</html>\n"
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
    return output


def main(argv: Sequence[str] | None = None) -> Path:
    """Writes the report that the command line asks for; returns its file."""
    parser = cli.Parser(__doc__)
    parser.add_argument("runs", nargs="+", type=cli.path, help="model directories, or folders of them")
    parser.add_argument(
        "-o", "--output", type=cli.path, default=Path("report.html"), help="HTML file to write"
    )
    options = parser.parse_args(argv)
    cli.import_tensorflow()
    output = write_report(options.runs, options.output)
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
    return output


if __name__ == "__main__":
    cli.run(main)
