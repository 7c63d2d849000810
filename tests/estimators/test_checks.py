"""Every check of scikit-learn, of every estimator, without an exception."""

import pytest

pytest.importorskip("sklearn", reason="the extra 'estimators' is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

from aejax import estimators

ESTIMATORS = [getattr(estimators, name)() for name in estimators.__all__]

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore:false_alarm_rate. found .* are too few for a rate that low")
@pytest.mark.filterwarnings("ignore:x. the .* rows hold only about .* independent stretches")
@parametrize_with_checks(ESTIMATORS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
