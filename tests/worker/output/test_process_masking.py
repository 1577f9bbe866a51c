"""The process's own output holds no secret of an active run."""

import logging

import pytest

from jobs_app.worker.output.process_masking import (
    MaskedRecords,
    mask_process_output,
    masked,
    masked_bytes,
)
from jobs_app.worker.output.secret_masking import Mask


def test_values_are_masked_only_while_a_run_has_the_secret() -> None:
    with mask_process_output(Mask(["hunter2"])), mask_process_output(Mask(["other-one"])):
        assert masked({"x": "hunter2", "other-one": 1}) == {"x": "***", "***": 1}
        assert masked_bytes(b"hunter2 other-one") == b"*** ***"

    assert masked_bytes(b"hunter2") == b"hunter2"


def test_log_records_of_this_process_are_masked_while_a_run_has_the_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(MaskedRecords(before))
    logger = logging.getLogger("tests.masking")
    try:
        with mask_process_output(Mask(["hunter2"])):
            logger.warning("with %s and %r", "hunter2", {"x": "hunter2"})
            logger.warning("bad %d", "hunter2")
            try:
                raise KeyError("hunter2")
            except KeyError:
                logger.exception("oh")
        logger.warning("with %s", "hunter2")
    finally:
        logging.setLogRecordFactory(before)

    assert [record.getMessage() for record in caplog.records] == [
        "with *** and {'x': '***'}",
        "'bad %d' % ('***',)",
        "oh",
        "with hunter2",
    ]
    assert "KeyError: '***'" in caplog.text
    assert caplog.text.count("hunter2") == 1
