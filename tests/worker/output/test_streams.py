"""`sys.stdout` of a task is a real text stream, and no task spoils it for the next."""

import codecs
import csv
import faulthandler
import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jobs_app.worker.output.capture import capture_output
from jobs_app.worker.output.streams import RoutedText
from tests.worker.output.sinks import Memory


@pytest.fixture
def sink() -> Memory:
    return Memory()


def stdout() -> Any:
    """Return the stream without the type that typeshed gives to `sys.stdout`."""
    return sys.stdout


def reconfigure() -> None:
    stdout().reconfigure(encoding="utf-8", line_buffering=True)
    print("é")


def wrap() -> None:
    wrapper = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    wrapper.write("é\n")
    del wrapper  # It flushes and closes the buffer.


def write_lines() -> None:
    sys.stdout.buffer.writelines([b"\xc3", b"\xa9\n"])


def write_raw() -> None:
    stdout().buffer.raw.write(memoryview(bytearray(b"\xc3\xa9\n")))


def encode_by_hand() -> None:
    sys.stdout.buffer.write("é\n".encode(sys.stdout.encoding, sys.stdout.errors or ""))


def use_codecs() -> None:
    codecs.getwriter("utf-8")(sys.stdout.buffer).write("é\n")


def write_csv() -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(["é"])


def close() -> None:
    sys.stdout.close()
    sys.stdout.buffer.close()
    print("é")


def detach() -> None:
    stdout().detach().detach().write("é\n".encode())


def leave_a_block() -> None:
    with sys.stdout:
        print("é")


HABITS = [
    reconfigure,
    wrap,
    write_lines,
    write_raw,
    encode_by_hand,
    use_codecs,
    write_csv,
    close,
    detach,
    leave_a_block,
]


@pytest.mark.parametrize("habit", HABITS)
def test_each_habit_writes_to_the_log_and_leaves_the_stream_as_it_was(
    sink: Memory, habit: Callable[[], None]
) -> None:
    with capture_output(sink):
        habit()
    with capture_output(sink):
        print("ñ")

    assert sink.out.decode() == "é\nñ\n"


def test_the_stream_describes_itself_as_that_of_python(sink: Memory) -> None:
    with capture_output(sink):
        out, buffer = sys.stdout, sys.stdout.buffer
        found = (out.name, out.mode, out.encoding, out.errors, out.line_buffering, out.closed)
        numbers = [stream.fileno() for stream in (out, buffer, sys.stderr)]
        manners = (out.writable(), out.readable(), buffer.readable(), buffer.closed, out.isatty())

    assert found == ("<stdout>", "w", "utf-8", "backslashreplace", True, False)
    assert numbers == [1, 1, 2]
    assert manners == (True, False, False, False, False)
    assert isinstance(out, io.TextIOWrapper)
    assert isinstance(buffer, io.BufferedWriter)


def test_an_encoding_lasts_for_one_run(sink: Memory) -> None:
    with capture_output(sink):
        stdout().reconfigure(encoding="latin-1", errors="strict")
        print("é")
    with capture_output(sink):
        print("é\udcff")

    assert sink.out == "é\n".encode("latin-1") + "é\\udcff\n".encode()


def test_bytes_are_no_text(sink: Memory) -> None:
    with capture_output(sink), pytest.raises(TypeError, match="must be str, not bytes"):
        sys.stdout.write(b"x")  # type: ignore[arg-type]  # the mistake of the test


def test_every_write_is_in_the_log_at_once(sink: Memory) -> None:
    with capture_output(sink):
        print(".", end="")
        assert sink.out == b"."


def test_a_stream_below_can_be_text_alone() -> None:
    text = io.StringIO()
    stream = RoutedText("stdout", text)

    print("worker é", file=stream)

    assert text.getvalue() == "worker é\n"


def test_a_traceback_of_the_interpreter_goes_where_the_number_leads(
    sink: Memory, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_output(sink):
        faulthandler.dump_traceback(file=sys.stderr)

    assert "Current thread" in capfd.readouterr().err
