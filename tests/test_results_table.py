import re

import pytest

from docs import results_table

SPEED = results_table.ROOT / "docs" / "speed.md"


def test_the_readmes_table_is_what_the_logs_give():
    readme = (results_table.ROOT / "README.md").read_text()
    _, _, rest = readme.partition(results_table.START)
    table, end, _ = rest.partition(results_table.END)
    assert end and table.strip() == results_table.make_table()


def test_the_ten_classes_by_hand():
    values = {name: 0.5 for name in results_table.TEN_CLASSES} | {"bird": 1.0, "bus": 0.0}
    assert results_table.ten_class_mean(values) == 0.45


def test_the_table_of_speed_is_what_its_logs_give():
    """A row is "| CaffeNet, training | 10 | 42.6 | 29.0 | 1.47 | [log](../results/benchmarks/...) |"."""
    rows = [line for line in SPEED.read_text().splitlines() if line.endswith(".txt) |")]
    assert len(rows) == 6
    for row in rows:
        what, batch, *numbers, link = [cell.strip() for cell in row.strip("|").split("|")]
        log = SPEED.parent / link.removeprefix("[log](").removesuffix(")")
        title, _, ours, pytorch, ratio, *_ = log.read_text().splitlines()
        network, mode, its_batch, _ = title.split(", ")
        assert its_batch == f"batch {batch}"
        assert network in what.lower().replace("-", "") and mode[:5] in what
        measured = [re.findall(r"\d+\.\d", line)[1] for line in (ours, pytorch)]
        assert [float(number.replace(",", "")) for number in numbers[:2]] == pytest.approx(
            [float(number) for number in measured], abs=0.5 if float(measured[0]) > 1000 else 0.01
        )
        assert ratio.startswith(f"{numbers[2]} times")
