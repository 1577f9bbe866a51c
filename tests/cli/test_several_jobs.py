"""What is done for several jobs, in one batch; the commands try the rest."""

import pytest

from jobs_app.cli.client import Json
from jobs_app.cli.failure import CONFLICT, NO_SUCH, Failure
from jobs_app.cli.several_jobs import Unchanged, do_each, is_single, several


def test_the_worst_code_of_a_batch_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def act(name: str) -> Json:
        if name == "a":
            raise Failure("in conflict", CONFLICT)
        if name == "b":
            raise Failure("not there", NO_SUCH)
        return {"name": name}

    batch = do_each(["a", "b", "c"], act, is_single=False)

    assert (batch.exit_code, batch.answers[-1]) == (CONFLICT, {"name": "c"})
    assert capsys.readouterr().err == "a: in conflict\nb: not there\n"
    with pytest.raises(Failure, match="in conflict"):
        do_each(["a"], act, is_single=True)


def test_the_sum_of_a_batch_counts_what_was_left() -> None:
    def act(name: str) -> Json:
        if name == "a":
            raise Failure("not there", NO_SUCH)
        return Unchanged(name=name) if name == "b" else {"name": name}

    assert do_each(["c"], act, is_single=False).summary("Paused") == "Paused 1 job."
    assert do_each(["a", "b", "c", "d"], act, is_single=False).summary("Paused") == (
        "Paused 2 jobs; 1 was so already; 1 was not, as said above."
    )


def test_jobs_are_named_with_their_number() -> None:
    assert several(["a"]) == "a"
    assert several(["a", "b"]) == "2 jobs (a, b)"
    assert (is_single(["a", "a"]), is_single(["a", "b"]), is_single([])) == (True, False, False)
