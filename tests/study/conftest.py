"""What the tests of the study's report share: synthetic replicates, and the report on all of them."""

import pytest

from pipeline import params
from pipeline.reporting.render import RenderedReport
from pipeline.trials.ledger import Lookup
from tests.support import study_pages, study_runs
from tests.support.frozen import FROZEN


@pytest.fixture(scope="package")
def lookups() -> list[Lookup]:
    """Return all planned replicates."""
    return study_runs.lookups(study_pages.four())


@pytest.fixture
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the drawing in tests of text and numbers."""
    study_pages.skip_drawing(monkeypatch)


@pytest.fixture(scope="package")
def whole(lookups: list[Lookup]) -> RenderedReport:
    """Return the report on all replicates, without drawing."""
    with pytest.MonkeyPatch.context() as patch:
        study_pages.skip_drawing(patch)
        return study_pages.report_on(lookups, params.load(FROZEN / "params.yaml"))
