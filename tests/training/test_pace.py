"""How long parts are: whole epochs where that costs little, and what one run has learned the next one begins with."""

from aejax.training.pace import Pace, pace_of
from aejax.training.plans import Plan

PLAN = Plan(num_epochs=3, steps_per_epoch=20, batch_size=8, num_rows=160, num_validation=0)


def test_parts_grow_to_half_a_second_and_shrink_at_once():
    pace = Pace(PLAN)
    assert pace.next_part(0) == (1, 1)
    pace.measure(0.001, 1, False)
    assert pace.next_part(1) == (9, 1)
    pace.measure(4.0, 8, False)
    assert pace.next_part(9) == (10, 1)


def test_a_part_ends_with_an_epoch_where_one_is_near():
    pace = Pace(PLAN)
    pace.measure(0.01, 1, False)
    assert pace.next_part(0) == (8, 1)
    assert pace.next_part(4) == (20, 1)
    pace.measure(0.5, 50, False)
    assert pace.next_part(0) == (40, 1)
    assert pace.next_part(30) == (60, 1)
    assert pace.next_part(40) == (60, 1)


def test_blocks_of_validation_rows_are_paced_by_themselves():
    pace = Pace(PLAN)
    pace.measure(0.001, 0, True)
    assert pace.next_part(0) == (1, 8)
    pace.measure(5.0, 0, True)
    assert pace.next_part(0) == (1, 1)


def test_the_next_run_of_a_program_begins_with_what_was_learned():
    algorithm = ("any", "algorithm")
    pace_of(algorithm, PLAN, (4,)).measure(0.01, 1, False)
    assert pace_of(algorithm, PLAN, (4,)).next_part(0) == (8, 1)
    assert pace_of(algorithm, PLAN, (8,)).next_part(0) == (1, 1)


def test_where_validation_is_left_at_the_last_end_no_step_follows():
    """A part that ended there, with blocks of validation rows to go, was followed by an epoch more than asked for."""
    pace = Pace(PLAN)
    for _ in range(2):
        pace.measure(0.01, 50, False)
    assert pace.next_part(60) == (60, 1)
