from docs import results_table


def test_the_readmes_table_is_what_the_logs_give():
    readme = (results_table.ROOT / "README.md").read_text()
    _, _, rest = readme.partition(results_table.START)
    table, end, _ = rest.partition(results_table.END)
    assert end and table.strip() == results_table.make_table()


def test_the_ten_classes_by_hand():
    values = {name: 0.5 for name in results_table.TEN_CLASSES} | {"bird": 1.0, "bus": 0.0}
    assert results_table.ten_class_mean(values) == 0.45
