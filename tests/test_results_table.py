import json
import re

import pytest

from common import run_files
from docs import precision, results_table, vgg16_curves

TEN = "bus car cat chair cow dog horse person sheep train".split()
SPEED = results_table.ROOT / "docs" / "speed.md"


def speed_text():
    """The page on speed in one line."""
    return " ".join(SPEED.read_text().split())


def read_benchmark(name):
    return (results_table.ROOT / f"results/benchmarks/{name}.txt").read_text()


def test_the_readmes_table_is_what_the_logs_give():
    readme = (results_table.ROOT / "README.md").read_text()
    _, _, rest = readme.partition(results_table.START)
    table, end, _ = rest.partition(results_table.END)
    assert end and table.strip() == results_table.make_table()


def test_every_score_in_the_readmes_table_stands_in_the_log_that_its_row_links():
    """Read anew, and not by what made the table."""
    _, _, rest = (results_table.ROOT / "README.md").read_text().partition(results_table.START)
    rows = [line for line in rest.partition(results_table.END)[0].splitlines() if "metrics.jsonl" in line]
    assert rows
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        _, steps, scores, guessing, of_ten, guessing_of_ten, links = cells
        logs = re.findall(r"\((results/[^)]+)\)", links)
        assert len(logs) == len(scores.split())
        for number, log in enumerate(logs):
            lines = map(json.loads, (results_table.ROOT / log).read_text().splitlines())
            (line,) = [line for line in lines if line["step"] == int(steps.replace(",", ""))]
            score = line.get("accuracy", line.get("mAP"))
            assert scores.split()[number] == f"{score:.3f}"
            if "AP" in line:
                assert guessing == f"{line['mAP_guessing']:.3f}"
                mean = sum(line["AP"][name] for name in TEN) / 10
                assert of_ten.split()[number] == f"{mean:.3f}"
                assert guessing_of_ten == f"{sum(line['AP_guessing'][name] for name in TEN) / 10:.3f}"
            else:
                assert guessing == "0.100" and len(line["confusion"]) == 10


SOLVER = {"batch_size": 10, "learning_rate": 0.001, "decay_rate": 0.5, "momentum": 0.9, "dropout": 0.5}
FROM_SCRATCH = SOLVER | {"decay_steps": 10_000}
FINE_TUNED = SOLVER | {
    "script": "04_pascal_vgg16_finetune",
    "decay_steps": 1_000,
    "restore_up_to": "conv5_3",
    "init": "caffe",
}
SETTINGS = {
    "Task 0, MNIST": {"script": "00_mnist", "batch_size": 100, "learning_rate": 0.001},
    "Task 1, two layers": {"script": "01_pascal", "batch_size": 100, "learning_rate": 0.001},
    "Task 2, CaffeNet": FROM_SCRATCH | {"script": "02_pascal_alexnet", "init": "gaussian"},
    "Task 2, to the end": FROM_SCRATCH | {"script": "02_pascal_alexnet", "init": "gaussian"},
    "Task 2, in float32": FROM_SCRATCH | {"script": "02_pascal_alexnet", "init": "gaussian"},
    "Task 3, VGG-16 from scratch": FROM_SCRATCH | {"script": "03_pascal_vgg16", "init": "xavier"},
    "Task 3, with N(0, 0.01)": FROM_SCRATCH | {"script": "03_pascal_vgg16", "init": "gaussian"},
    "Task 4, fine-tuned, rate 0.0001": FINE_TUNED | {"learning_rate": 0.0001},
    "Task 4, fine-tuned, rate 0.001": FINE_TUNED,
    "Task 6, mixup": FROM_SCRATCH
    | {"script": "06_mixup", "network": "caffenet", "init": "gaussian", "alpha": 0.2, "share_per": "pair"},
}


def test_the_runs_of_each_row_are_what_its_name_says():
    """By their config.json; earlier versions' doesn't name the script, nor keeps the splits apart."""
    assert {name for name, _, _ in results_table.ROWS} == SETTINGS.keys()
    for name, folders, steps in results_table.ROWS:
        for seed, folder in enumerate(folders):
            config = json.loads((results_table.ROOT / "results" / folder / "config.json").read_text())
            made = {"script": SETTINGS[name]["script"]} | config["settings"]
            for setting, value in (SETTINGS[name] | {"seed": seed}).items():
                assert made[setting] == value, (folder, setting)
            assert steps[-1] <= config["resumable_settings"]["steps"]
            precision_of_run = config["environment"].get("precision", made["precision"])
            assert (precision_of_run == "float32") == name.endswith("float32")
            splits = config["data"].get("splits", config["data"])
            sizes = [splits[name]["images"] for name in splits if name != "name"]
            assert sizes == ([60_000, 10_000] if "MNIST" in name else [3_687, 1_406])


def results_json(name):
    return json.loads((results_table.ROOT / "results" / name).read_text())


def test_what_readme_says_of_the_analysis_stands_in_its_log():
    text = " ".join(results_table.ROOT.joinpath("README.md").read_text().split())
    ap = {name: scores["AP"] for name, scores in results_json("05_analysis/analysis.json")["AP"].items()}
    for plural, said in re.findall(r"(dogs|buses) \+(0\.\d\d)", text):
        name = {"dogs": "dog", "buses": "bus"}[plural]
        assert said == f"{ap['vgg16'][name] - ap['caffenet'][name]:.2f}"
    gains = {name: ap["vgg16"][name] - ap["caffenet"][name] for name in ap["vgg16"]}
    assert sorted(gains, key=gains.get)[-2:] == ["bus", "dog"]


def test_what_readme_says_of_mixup_stands_in_its_log():
    text = " ".join(results_table.ROOT.joinpath("README.md").read_text().split())
    comparison = results_json("mixup-40000/comparison.json")
    mixup, baseline = comparison["mixup"], comparison["baseline"]
    said = re.findall(r"(0\.\d+) of the training images instead of (0\.\d+)", text)
    assert said == [tuple(f"{run['train_sample_mAP']:.2f}" for run in (mixup, baseline))]
    said = re.findall(r"a little lower, (0\.\d+) instead of (0\.\d+)", text)
    assert said == [tuple(f"{run['test_loss']:.3f}" for run in (mixup, baseline))]
    said = re.findall(r"in the end (0\.\d+) \(\[its numbers\]\(\S+\)\) instead of (0\.\d+)", text)
    assert said == [tuple(f"{run['mAP']:.3f}" for run in (mixup, baseline))]
    folders = (results_table.ROOT / "results" / name for name in ("mixup-40000", "caffenet-40000"))
    log, other = ({line["step"]: line for line in run_files.read_metrics(folder)} for folder in folders)
    lower = [step for step in log if log[step]["mAP"] < other[step]["mAP"]]
    assert f"lower at each of the {len(lower)} evaluations" in text and len(lower) == len(log)
    losses = [baseline["AP"][name] - mixup["AP"][name] for name in TEN]
    assert sum(loss > 0 for loss in losses) == 8 and round(max(losses), 2) == 0.05


def test_the_curves_of_vgg16_are_those_of_their_logs():
    losses, scores = vgg16_curves.draw().axes
    for folder, label in vgg16_curves.RUNS.items():
        log = results_table.ROOT / "results" / folder / "metrics.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        (loss,) = [one for one in losses.lines if one.get_label() == label]
        (score,) = [one for one in scores.lines if one.get_label() == label]
        assert loss.get_xydata().tolist() == [[line["step"], line["test_loss"]] for line in lines]
        for (step, mean), line in zip(score.get_xydata(), lines, strict=True):
            assert step == line["step"] and mean == pytest.approx(sum(line["AP"][one] for one in TEN) / 10)


def test_the_ten_classes_by_hand():
    values = {name: 0.5 for name in results_table.TEN_CLASSES} | {"bird": 1.0, "bus": 0.0}
    assert results_table.ten_class_mean(values) == 0.45


def test_the_table_of_speed_is_what_its_logs_give():
    """A row is "| CaffeNet, training | 10 | 43.6 | 29.7 | 1.47 | 45.3 | 0.96 | [log](../results/...) |"."""
    rows = [line for line in SPEED.read_text().splitlines() if line.endswith(".txt) |")]
    assert len(rows) == 11
    for row in rows:
        what, batch, *numbers, link = [cell.strip() for cell in row.strip("|").split("|")]
        log = SPEED.parent / link.removeprefix("[log](").removesuffix(")")
        title, _, *sides = log.read_text().splitlines()[:5]
        network, mode, its_batch, precision = title.split(", ")
        assert precision == ("float32" if "float32" in link else "bfloat16")
        assert its_batch == f"batch {batch}"
        assert network in what.lower().replace("-", "") and mode[:5] in what
        ours, *theirs = (re.findall(r"\d+\.\d+", line)[1:3] for line in sides)
        assert [number.replace(",", "") for number in numbers] == [ours[0], *theirs[0], *theirs[1]]


def test_what_is_printed_on_precision_is_what_the_logs_give(capsys):
    precision.main()
    printed = capsys.readouterr().out
    assert printed == (results_table.ROOT / "results" / "precision.txt").read_text()
    text = speed_text()
    means, deviations = zip(*re.findall(r"(0\.\d{4}) +(0\.\d{4})\n", printed), strict=True)
    assert f"{means[0]} in bfloat16 and {means[1]} in float32" in text
    assert f"deviate by {' and '.join(deviations)}" in text
    for kind, folders in precision.RUNS.items():
        for seed, folder in enumerate(folders):
            config = json.loads((results_table.ROOT / "results" / folder / "config.json").read_text())
            # Runs of earlier commits have "auto" in the settings, and what it meant beside the device.
            computed = config["environment"].get("precision", config["settings"]["precision"])
            assert (computed, config["settings"]["seed"]) == (kind, seed)


def test_scores_by_precision_by_hand():
    table = precision.describe({"bfloat16": [0.3, 0.4], "float32": [0.25, 0.35, 0.45]}).splitlines()
    assert table[1].split() == ["bfloat16", "0.3000", "0.4000", "0.3500", "0.0707"]
    assert table[2].split() == ["float32", "0.2500", "0.3500", "0.4500", "0.3500", "0.1000"]
    assert table[3] == "bfloat16 - float32: +0.0000"


@pytest.mark.parametrize(
    ("said", "log", "pattern"),
    [
        (r"CaffeNet reaches (0\.\d\d) of them", "machine_limit", r"caffenet.* (0\.\d\d)"),
        (r"VGG-16 (0\.\d\d)\.", "machine_limit", r"vgg16.* (0\.\d\d)"),
        (r"training steps (1\.\d\d) times", "onednn", r"without .* (1\.\d\d)"),
        (r"VGG-16 is (\d\.\d\d) times", "winograd_vgg16", r"(\d\.\d\d) times as fast"),
        (r"one of CaffeNet (\d\.\d\d) times", "winograd_caffenet", r"(\d\.\d\d) times as fast"),
        (r"makes CaffeNet's step (1\.\d\d) times", "momentum_float32", r"(1\.\d\d) times as fast"),
        (r"it is (\d\.\d) % of the step", "step_profile_caffenet_float32", r"momentum.* (\d\.\d)%"),
        (r"of (\S+) of an output's", "winograd_rounding", r"conv2 +Winograd's +(\S+)"),
        (r"TensorFlow's own has (\S+)\. For", "winograd_rounding", r"conv2 +TensorFlow's +(\S+)"),
        (r"3 x 3 it is (\S+) beside", "winograd_rounding", r"conv4_2 +Winograd's +(\S+)"),
        (r"beside (\S+) \(", "winograd_rounding", r"conv4_2 +TensorFlow's +(\S+)"),
        (r"of 10 (1\.\d\d) times", "momentum", r"(1\.\d\d) times as fast"),
        (r"takes? (\d\.\d\d) % of 1,000", "overhead", r"together.* (\d\.\d\d)%"),
        (r"and (\d\.\d\d) % of a step at which", "overhead", r"a plain step .* (\d\.\d\d)\d\d%"),
        (r"ms of (\d+), and", "step_profile_caffenet", r"batch 10: (\d+) ms a step"),
        (r"the cache (\d\.\d\d) times", "cache", r"(\d\.\d\d) times as fast"),
        (r"Decoding into the cache is (\d\.\d\d) times", "cache_float32", r"(\d\.\d\d) times as fast"),
        (r"were (\d\.\d\d) % of 1,000", "overhead_float32", r"together.* (\d\.\d\d)%"),
        (r"batch 10 gets (\d\.\d\d),", "machine_limit_float32", r"caffenet.* (\d\.\d\d)"),
        (r"VGG-16's (\d\.\d\d) \(", "machine_limit_float32", r"vgg16.* (\d\.\d\d)"),
    ],
)
def test_what_the_text_on_speed_says_stands_in_its_logs(said, log, pattern):
    (number,) = re.findall(said, speed_text())
    assert number in re.findall(pattern, read_benchmark(log))


@pytest.mark.parametrize(
    ("said", "log"),
    [
        (r"costs CaffeNet's step (\d\.\d) %", "constant_batch"),
        (r"measured: (-?\d\.\d) % beside", "constant_batch_float32"),
    ],
)
def test_what_input_costs_is_what_its_log_has_beyond_1(said, log):
    (more,) = re.findall(said, speed_text())
    (times,) = re.findall(r"(\d\.\d+) times the step", read_benchmark(log))
    assert more == f"{100 * (float(times) - 1):.1f}"


def milliseconds_of(part, log):
    """What a part of a step takes: measured, and at the machine's rates."""
    (numbers,) = re.findall(rf"{part} +(\d+\.\d) ms +\d+\.\d% +(\d+\.\d) ms", read_benchmark(log))
    return [float(number) for number in numbers]


def test_the_share_of_the_kernels_gradients_is_their_profiles():
    (times,) = re.findall(r"take (\d\.\d) times as long as the forward", speed_text())
    gradient, _ = milliseconds_of("gradient of the kernel", "step_profile_caffenet")
    forward, _ = milliseconds_of("convolutions, forward", "step_profile_caffenet")
    assert times == f"{gradient / forward:.1f}"


def test_what_caffenets_weights_cost_is_the_sum_of_their_parts():
    ((cost, at_best),) = re.findall(r"take (\d+) ms of \d+, and would take (\d+) ms", speed_text())
    parts = ("products of fc6 to fc8, forward and backward", "momentum update", "float32 and bfloat16")
    sums = map(sum, zip(*(milliseconds_of(part, "step_profile_caffenet") for part in parts), strict=True))
    assert [cost, at_best] == [f"{total:.0f}" for total in sums]


def costs_by_number_of_images(log):
    """Milliseconds of a batch and of a step, and GB, each a tuple for 1,000, 10,000 and 100,000 images."""
    rows = re.findall(r"^ *[\d,]+ +(\d+\.\d) +(\d+\.\d) +(\d\.\d\d) GB", read_benchmark(log), re.MULTILINE)
    return zip(*rows, strict=True)


@pytest.mark.parametrize(("log", "takes"), [("cache", "takes"), ("cache_float32", "took")])
def test_the_times_and_memory_of_1000_to_100000_images_are_the_logs(log, takes):
    inputs, steps, memory = costs_by_number_of_images(log)
    said = "{}, {} and {}".format
    text = speed_text()
    assert f"{takes} {said(*(f'{float(step) / 1000:.2f}' for step in steps))} s a step" in text
    assert f"a peak of {said(*memory)} GB" in text
    if log == "cache":
        assert f"The input alone takes {said(*(f'{float(one):.0f}' for one in inputs))} ms" in text


def test_the_earlier_peaks_of_memory_are_their_logs():
    _, _, memory = costs_by_number_of_images("cache_float32_second")
    assert "the peaks were {}, {} and {} GB".format(*memory) in speed_text()
