"""Reads a form of a page as a browser would send it without a change."""

from html.parser import HTMLParser


class _Forms(HTMLParser):
    """Collects the controls of all forms; `form=` attributes are not followed."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, list[tuple[str, str]]]] = [("", [])]
        self._select: str | None = None
        self._options: list[tuple[str | None, bool, str]] = []
        self._textarea: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        match tag:
            case "form":
                self.forms.append((values.get("action", ""), []))
            case "input" if "name" in values and "disabled" not in values:
                is_tick = values.get("type") in ("checkbox", "radio")
                if values.get("type") != "submit" and (not is_tick or "checked" in values):
                    self._add(values["name"], values.get("value", "on" if is_tick else ""))
            case "select":
                self._select, self._options = values.get("name"), []
            case "option":
                self._text = ""
                self._options.append((values.get("value"), "selected" in values, ""))
            case "textarea":
                self._textarea, self._text = values.get("name"), ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" or (tag == "select" and self._options):
            value, is_selected, text = self._options[-1]
            self._options[-1] = (value, is_selected, text or self._text)
        if tag == "select" and self._select and self._options:
            selected = [option for option in self._options if option[1]] or self._options[:1]
            value, _, text = selected[-1]
            self._add(self._select, text if value is None else value)
            self._select = None
        if tag == "textarea" and self._textarea:
            # The first line break behind the tag is not part of the text.
            text = self._text.removeprefix("\n")
            self._add(self._textarea, text.replace("\n", "\r\n"))
            self._textarea = None

    def handle_data(self, data: str) -> None:
        self._text += data

    def _add(self, name: str, value: str) -> None:
        self.forms[-1][1].append((name, value))


def forms_of(html: str) -> dict[str, dict[str, str]]:
    """Return the controls of each form by its action; those outside of forms under ""."""
    parser = _Forms()
    parser.feed(html)
    return {action: dict(controls) for action, controls in parser.forms}
