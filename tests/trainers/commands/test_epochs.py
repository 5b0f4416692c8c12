"""One report an epoch, whatever a program does."""

from trainers.commands.epochs import MAX_EPOCHS, MAX_FIGURES, Epochs, Record


def reported(*records: Record) -> list:
    epochs = Epochs()
    return [each for record in records for each in epochs.add(record)] + epochs.finish()


def test_records_without_an_epoch_are_counted_from_one_and_reported_at_once():
    epochs = Epochs()
    assert epochs.add(Record({"acc": 0.1})) == [(1, {"acc": 0.1})]
    assert epochs.add(Record({"acc": 0.2})) == [(2, {"acc": 0.2})]
    assert epochs.finish() == []


def test_the_last_figure_of_an_epoch_counts():
    records = [Record({"acc": 0.1, "loss": 3.0}, 5), Record({"acc": 0.2}, 5), Record({"acc": 0.4}, 6)]
    assert reported(*records) == [(5, {"acc": 0.2, "loss": 3.0}), (6, {"acc": 0.4})]


def test_an_epoch_is_reported_at_once_where_each_had_one_record():
    epochs = Epochs()
    assert epochs.add(Record({"acc": 0.1}, 0)) == []
    assert epochs.add(Record({"acc": 0.2}, 1)) == [(0, {"acc": 0.1}), (1, {"acc": 0.2})]


def test_an_epoch_waits_for_its_end_where_one_had_several_records():
    epochs = Epochs()
    for value in (0.1, 0.2):
        assert epochs.add(Record({"acc": value}, 0)) == []
    assert epochs.add(Record({"acc": 0.3}, 1)) == [(0, {"acc": 0.2})]
    assert epochs.add(Record({"acc": 0.4}, 1)) == []
    assert epochs.finish() == [(1, {"acc": 0.4})]


def test_counting_goes_on_after_the_largest_epoch_that_was_named():
    assert [epoch for epoch, _ in reported(Record({"acc": 0.1}, 7), Record({"acc": 0.2}))] == [7, 8]


def test_a_program_that_reports_every_step_is_followed_for_so_many_epochs():
    epochs = Epochs()
    given = [each for step in range(MAX_EPOCHS + 5) for each in epochs.add(Record({"acc": float(step)}))]
    assert len(given) == MAX_EPOCHS
    assert epochs.left_out == 5


def test_a_report_holds_no_more_figures_than_a_search_takes():
    [(_, figures)] = reported(Record({f"figure {index}": 0.0 for index in range(MAX_FIGURES + 5)}))
    assert len(figures) == MAX_FIGURES
