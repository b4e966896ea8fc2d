"""One page with every question of the handout, answered by the runs at hand.

    python -m common.report runs -o report.html

RUNS are model directories, or folders of them. The page holds all its pictures and needs no network; curves
are drawn from the logs, also of runs that haven't ended. Where a question has no run yet, it says how to make
one.
"""

import html
import json
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import cli
from common.command_line import command_of, told_settings
from common.questions import QUESTIONS, Question
from common.report_page import page, picture, table
from common.report_runs import Run, find_analyses, find_runs, shown, to_type
from common.score_titles import SCORE_TITLES


def _iterations(run: Run) -> str:
    made = f"{run.last['step']:,}"
    return made if run.has_ended else f"{made} of {run.settings['steps']:,}, not ended"


def _differences(runs: Sequence[Run]) -> list[list[object]]:
    """A row for the data, and for each setting in which the runs differ from each other or their script.

    Precision stands beside the time.
    """
    from common.figures import describe_data  # loads matplotlib, which `--help` shouldn't wait for

    settings = [run.config["settings"] for run in runs]
    told = {name for run in runs for name in told_settings(run.config)} - {"precision"}
    rows: list[list[object]] = [["data", *(describe_data(run.config) for run in runs)]]
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one.get(name) for one in settings]
        if name in told or any(value != values[0] for value in values):
            rows.append([name, *("" if value is None else value for value in values)])
    return rows


def _results(question: Question, runs: Sequence[Run]) -> str:
    """What the runs of one question ended with, a column for each."""
    head = ["", *(run.name for run in runs)]
    rows = [*_differences(runs), ["iterations", *map(_iterations, runs)]]
    for step in question.accuracy_after:
        found = [[line["accuracy"] for line in run.evaluations if line["step"] == step] for run in runs]
        values = (f"{one[0]:.4f}" if one else "" for one in found)
        rows.append([f"test accuracy after {step:,}", *values])
    rows.append(["test loss", *(f"{run.last['test_loss']:.4f}" for run in runs)])
    for name, title in SCORE_TITLES.items():
        if any(name in run.last for run in runs):
            rows.append([title, *(f"{run.last[name]:.4f}" if name in run.last else "" for run in runs)])
    classes = list(dict.fromkeys(name for run in runs for name in run.last.get("AP", {})))
    for name in classes:
        values = [run.last["AP"].get(name) for run in runs]
        rows.append([f"AP {name}", *("" if value is None else f"{value:.3f}" for value in values)])
    return table(head, rows)


def _training_time(run: Run) -> str:
    starts = [0, *(line["step"] for line in run.evaluations)]
    parts = zip(starts, run.evaluations, strict=False)
    timed = [(line["step"] - start, line["images_per_second"]) for start, line in parts]
    seconds = sum(steps * run.settings["batch_size"] / rate for steps, rate in timed if rate)
    return f"{max(seconds / 60, 0.1):,.1f} minutes of training, {run.settings['precision']} "


def _circumstances(config: Mapping[str, Any], time: str) -> str:
    """Data, time and machine of a run or an analysis, and its settings."""
    from common.figures import describe_data

    machine = config["environment"]
    about = (
        f"{describe_data(config)}; {time}on {machine['device']}, "
        f"Python {machine['python']}, TensorFlow {machine['libraries']['tensorflow']}"
    )
    rows = sorted({**config["settings"], **config["resumable_settings"]}.items())
    settings = table(["setting", "value"], rows)
    return f"<p>{html.escape(about)}</p><details><summary>settings</summary>{settings}</details>"


def _pictures(question: Question, run: Run) -> list[str]:
    """The curves up to the last evaluation, and of a run that has ended the figures that it drew itself."""
    from common import figures

    draw = figures.digit_figures if "confusion" in run.last else figures.multilabel_figures
    with tempfile.TemporaryDirectory() as folder:
        title = f"{run.name}, {figures.describe_data(run.config)}"
        pictures = [picture(path) for path in draw(run.evaluations, title, Path(folder))]
    if not run.has_ended:
        return pictures
    own = [run.folder / "figures" / name for name in question.figures]
    if run.last["step"] < run.settings["summary_every"]:  # none of the training's scalars was logged
        own = [path for path in own if path.name != "training.png"]
    missing = ", ".join(path.name for path in own if not path.is_file())
    note = f'<p class="missing">Not here: {missing}; the command above draws them.</p>' if missing else ""
    return [*pictures, *(picture(path) for path in own if path.is_file()), note]


def _answer_by_runs(question: Question, runs: Sequence[Run]) -> str:
    parts = [_results(question, runs)]
    for run in runs:
        parts.append(f"<h3>{html.escape(run.name)}</h3><pre>{html.escape(run.command)}</pre>")
        parts.append(_circumstances(run.config, _training_time(run)))
        if not run.has_ended:
            parts.append('<p class="missing">It hasn\'t ended: the same command goes on.</p>')
        elif run.comparison:
            ours, theirs = run.comparison["mixup"], run.comparison["baseline"]
            names = [f"{name}, iteration {ours['step']:,}" for name in (run.name, run.comparison["name"])]
            parts.append(_gains(names, ours, theirs))
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
        parts += [picture(folder / name) for name in question.figures if (folder / name).is_file()]
    return "".join(parts)


def _gains(names: Sequence[str], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """mAP and AP per class of two evaluations on the same images, the largest gain first."""
    from common.figures import format_gain

    gains = {name: ours["AP"][name] - ap for name, ap in theirs["AP"].items()}
    rows = [["mAP", ours["mAP"], theirs["mAP"], ours["mAP"] - theirs["mAP"], ours["mAP_guessing"]]] + [
        [f"AP {name}", ours["AP"][name], theirs["AP"][name], gains[name], ours["AP_guessing"][name]]
        for name in sorted(gains, key=gains.get, reverse=True)
    ]
    shown_rows = (
        [what, f"{one:.3f}", f"{other:.3f}", format_gain(gain), f"{guessing:.3f}"]
        for what, one, other, gain, guessing in rows
    )
    return table(["", *names, "gain", "guessing"], shown_rows)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _answer_by_analysis(folder: Path, result: Mapping[str, Any]) -> list[str]:
    """Command, circumstances, AP per class with the gains, and the shares of neighbours."""
    titles, aps = ([result[part][network] for network in ("vgg16", "caffenet")] for part in ("titles", "AP"))
    shares = result["neighbours_with_a_class_in_common"]
    of_neighbours = [
        [feature, metric, _share(shares["shown"][feature][metric]), _share(share)]
        for feature, by_metric in shares["all"].items()
        for metric, share in by_metric.items()
    ]
    of_neighbours.append(["two images at random", "", "", _share(shares["at random"])])
    # The runs' folders are stored as seen from the analysis'.
    of_runs = {name: to_type(folder / result["settings"][name]) for name in ("caffenet", "vgg")}
    result = {**result, "settings": {**result["settings"], **of_runs}}
    command = f"{command_of(result, None)} --output_dir {shlex.quote(shown(folder))}"
    return [
        f"<h3>{html.escape(folder.name)}</h3><pre>{html.escape(command)}</pre>",
        _circumstances(result, f"{result['seconds'] / 60:,.1f} minutes "),
        _gains(titles, *aps),
        table(["neighbours with a class in common", "metric", "shown", "all test images"], of_neighbours),
    ]


def write_report(folders: Sequence[Path], output: Path) -> Path:
    """Writes the page, and prints of how many runs and analyses it is.

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
    output.parent.mkdir(parents=True, exist_ok=True)
    content = page("Multi-label classification on PASCAL VOC, in TensorFlow", sections)
    output.write_text(content, encoding="utf-8")
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, of {len(runs)} runs and {len(analyses)} analyses")
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
    return write_report(options.runs, options.output)


if __name__ == "__main__":
    cli.run(main)
