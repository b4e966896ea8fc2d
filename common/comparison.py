"""A run with mixup and its baseline, side by side."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from common import figures, run_files
from common.distribution import Replicas
from common.errors import UserError
from common.task_networks import BASELINES, network_of


def check_baseline(model_dir: Path, baseline: Path) -> None:
    """Checks that a run with mixup and its baseline differ in nothing else.

    Args:
        model_dir: of the run of 06_mixup.py.
        baseline: model directory of a run of Task 2, or for VGG-16 of Task 4.

    Raises:
        UserError: the baseline is no run that was evaluated, has other data or another solver, or was
            evaluated at other iterations.
    """
    if not Replicas().is_chief:  # which alone has written config.json
        return
    if not (baseline / "config.json").is_file() or not run_files.read_metrics(baseline):
        raise UserError(f"{baseline}: is no model directory of an evaluated run; give --baseline_dir another")
    ours = run_files.read_config(model_dir)
    theirs = run_files.read_config(baseline)
    settings = theirs["settings"]
    wanted = BASELINES[ours["settings"]["network"]]
    if settings["script"] != wanted:
        raise UserError(
            f"{baseline}: is a run of {settings['script']}.py, the baseline has to be one of {wanted}.py"
        )
    differing = [
        f"{name} {settings[name]} and not {ours['settings'][name]}"
        for name in run_files.differing_settings(settings, ours["settings"])
        if name != "script"
    ]
    if ours["data"]["splits"] != theirs["data"]["splits"]:
        differing.append("other data")
    if differing:
        raise UserError(
            f"{baseline}: is no baseline of {model_dir}, it has {', '.join(differing)}; give the same "
            "settings, or --baseline_dir another"
        )
    own = ours["resumable_settings"]
    planned = {*range(own["eval_every"], own["steps"], own["eval_every"]), own["steps"]}
    made = [line["step"] for line in run_files.read_metrics(baseline)]
    if planned.isdisjoint(made):
        raise UserError(
            f"{baseline}: was evaluated at none of the iterations that {model_dir} will be; give "
            "--eval_every and --steps like its own"
        )
    if made[-1] < own["steps"]:
        print(
            f"{baseline}: stands at iteration {made[-1]:,}, this run goes to {own['steps']:,}; the figures "
            "will compare as far as both have got by then, and this command, repeated, draws them anew",
            flush=True,
        )


def _at(steps: Collection[int], evaluations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The evaluations at some iterations, with the mean training loss since the one before of them."""
    kept: list[dict[str, Any]] = []
    counted, total, before = 0, 0.0, 0
    for line in evaluations:
        if line["train_loss"] is not None:
            counted += line["step"] - before
            total += (line["step"] - before) * line["train_loss"]
        before = line["step"]
        if line["step"] in steps:
            kept.append({**line, "train_loss": total / counted if counted else None})
            counted, total = 0, 0.0
    return kept


def write_figures(model_dir: Path, baseline: Path) -> list[Path]:
    """Compares a run with mixup and its baseline at the iterations they have in common.

    Draws their curves and their AP per class, prints both mAPs, and writes comparison.json: the "name" of
    the baseline's folder, and of "mixup" and "baseline" the last line of metrics.jsonl at an iteration that
    both have.

    Args:
        model_dir: of the run.
        baseline: model directory of its baseline.

    Returns:
        The figures, in the run's figures/, and comparison.json; of several workers the first alone makes
        them.

    Raises:
        UserError: the two have no iteration in common.
    """
    if not Replicas().is_chief:
        return []
    ours, theirs = run_files.read_metrics(model_dir), run_files.read_metrics(baseline)
    common = {line["step"] for line in ours} & {line["step"] for line in theirs}
    if not common:
        raise UserError(
            f"{baseline}: was evaluated at none of the iterations of {model_dir}; give --baseline_dir another"
        )
    config = run_files.read_config(model_dir)
    title = f"{network_of(config)[1]} and its baseline {baseline.resolve().name}"
    title += f"\n{figures.describe_data(config)}"
    last = ours[-1]["step"]
    ours, theirs = _at(common, ours), _at(common, theirs)
    if ours[-1]["step"] < last:
        title += f"\nup to iteration {ours[-1]['step']:,} of {last:,}, the last that the baseline has too"
    folder = model_dir / "figures"
    compared = {"name": baseline.resolve().name, "mixup": ours[-1], "baseline": theirs[-1]}
    mixed, plain = ours[-1]["mAP"], theirs[-1]["mAP"]
    gain = figures.format_gain(mixed - plain)
    print(f"mAP at iteration {ours[-1]['step']:,}: {mixed:.4f} with mixup, {plain:.4f} of {baseline}, {gain}")
    return [
        _curves(ours, theirs, title, folder / "with_baseline.png"),
        figures.paired_ap(ours[-1], theirs[-1], "mixup", "baseline", title, folder / "ap_with_baseline.png"),
        run_files.write_json(model_dir / "comparison.json", compared),
    ]


def _curves(
    ours: Sequence[Mapping[str, Any]],
    theirs: Sequence[Mapping[str, Any]],
    title: str,
    path: Path,
) -> Path:
    figure = Figure((12, 5), layout="constrained")
    figure.suptitle(title)
    losses, scores = figure.subplots(1, 2)
    for lines, name, kind, color in (
        (ours, "mixup", ", on mixtures", "tab:orange"), (theirs, "baseline", "", "tab:blue")
    ):  # fmt: skip
        steps = [line["step"] for line in lines]
        label = f"{name}, training{kind}"
        losses.plot(steps, [line["train_loss"] for line in lines], ".--", color=color, label=label)
        losses.plot(steps, [line["test_loss"] for line in lines], ".-", color=color, label=f"{name}, test")
        figures.plot_score(scores, lines, "mAP", ".-", color=color, label=f"{name}, test")
        label = f"{name}, training images as they are"
        figures.plot_score(scores, lines, "train_sample_mAP", ".--", color=color, label=label)
    guessing = theirs[-1]["mAP_guessing"]
    scores.axhline(guessing, color="gray", linestyle="--", label=f"guessing, {guessing:.3f}")
    losses.set(title="training: mean since the point before")
    losses.set(xlabel="iteration", ylabel="cross entropy [nats per label]")
    scores.set(xlabel="iteration", ylabel="mAP")
    scores.set_ylim(bottom=0)
    for axes in (losses, scores):
        axes.legend()
        axes.set_xlim(left=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    return figures.save(figure, path)
