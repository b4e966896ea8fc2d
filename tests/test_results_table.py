import re

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


def test_every_number_of_the_speed_table_stands_in_its_log():
    """As "| CaffeNet, training | 10 | 42.6 | 29.0 | 1.47 | [log](../results/benchmarks/...) |"."""
    rows = [line for line in SPEED.read_text().splitlines() if line.endswith(".txt) |")]
    assert len(rows) == 6
    for row in rows:
        _, batch, *numbers, link = [cell.strip() for cell in row.strip("|").split("|")]
        log = (SPEED.parent / link.removeprefix("[log](").removesuffix(")")).read_text()
        assert f"batch {batch}," in log
        assert all(re.search(rf"\b{re.escape(number.replace(',', ''))}", log) for number in numbers), row
