"""Brings the catalogues in step with the texts in the code: new ones are added empty, gone ones are dropped.

Run `make messages`, then translate what is empty. A test fails while anything is missing.
"""

import pathlib
import sys

from babel.messages import extract, pofile
from babel.messages.catalog import Catalog

ROOT = pathlib.Path(__file__).parent.parent / "src" / "brimful"
LOCALES = ROOT / "i18n" / "locales"
KEYWORDS = {"t": None, "n": (1, 2)}
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract"),
           ("**/templates/**.txt", "jinja2.ext:babel_extract")]  # fmt: skip
OPTIONS = {name: {"trimmed": "false", "silent": "false", "encoding": "utf-8"} for name, _ in METHODS[1:]}


def messages() -> Catalog:
    """Every text of the portal and of the e-mails."""
    found = Catalog(charset="utf-8")
    for folder in ("portal", "email", "i18n"):
        for path, _line, message, _comments, _context in extract.extract_from_dir(
            ROOT / folder, METHODS, OPTIONS, keywords=KEYWORDS
        ):
            if (message and not isinstance(message, tuple)) or (isinstance(message, tuple) and all(message)):
                found.add(message, locations=[(f"{folder}/{path}", 0)])
    return found


def read(language: str) -> Catalog:
    path = LOCALES / f"{language}.po"
    if not path.exists():
        return Catalog(locale=language, charset="utf-8")
    with path.open("rb") as source:
        return pofile.read_po(source, locale=language)


def main() -> int:
    wanted = messages()
    for language in ("de", "ar"):
        catalogue = read(language)
        catalogue.update(wanted, no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with (LOCALES / f"{language}.po").open("wb") as target:
            pofile.write_po(target, catalogue, no_location=True, omit_header=True, sort_output=True, width=110)
        empty = [message.id for message in catalogue if message.id and not _complete(message.string)]
        print(f"{language}: {len(catalogue)} texts, {len(empty)} to translate")
        for text in empty:
            print("   ", text)
    return 0


def _complete(text: object) -> bool:
    return all(text) if isinstance(text, tuple) else bool(text)


if __name__ == "__main__":
    sys.exit(main())
