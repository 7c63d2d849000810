import numpy as np

from aejax.data.columns.sentinels import find_sentinels

OTHERS = [20.0, 21.0, 19.5, 20.5, 22.0]  # a range of 2.5


def column(*values):
    return np.array(values)[:, None]


def test_a_value_ten_ranges_away_from_the_nearest_other_is_found():
    assert find_sentinels(column(*OTHERS, *[-6.0] * 3)) == [(0, -6.0, 3)]
    assert find_sentinels(column(*OTHERS, *[48.0] * 4, np.nan)) == [(0, 48.0, 4)]
    assert find_sentinels(column(*OTHERS, *[-5.0] * 3)) == []  # 24.5 from the nearest, 27 from the farthest


def test_a_fault_does_not_repeat_itself_and_switches_have_few_values():
    assert find_sentinels(column(*OTHERS, *[-999.0] * 2)) == []
    assert find_sentinels(column(*OTHERS[:4], *[-999.0] * 3)) == []
    assert find_sentinels(column(0.0, 0.0, 0.0, 1000.0, 1000.0, 1001.0)) == []


def test_marks_and_spikes_do_not_hide_each_other():
    assert find_sentinels(column(*OTHERS, *[-999.0] * 3, *[9999.0] * 4)) == [(0, -999.0, 3), (0, 9999.0, 4)]
    assert find_sentinels(column(*OTHERS, *[-9999.0] * 3, *[-999.0] * 4)) == [(0, -9999.0, 3), (0, -999.0, 4)]
    assert find_sentinels(column(*OTHERS, *[32767.0] * 3, 1e6)) == [(0, 32767.0, 3)]
