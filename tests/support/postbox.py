"""A real SMTP server that keeps what arrives."""

import contextlib
import email
import email.policy
import re

from aiosmtpd.controller import Controller

from support.harness import free_port


class Postbox:
    """Keeps what arrives; refuses while told to."""

    def __init__(self):
        self.letters = []
        self.refusing = False

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd calls it so
        if self.refusing:
            return "451 Try again later"
        self.letters.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"

    def text(self, index=-1):
        return self.letters[index].get_body(("plain",)).get_content()

    def subjects(self):
        """Of all but codes, which come between a form and what it changes."""
        return [letter["Subject"] for letter in self.letters if not re.search("[0-9]{6}", letter["Subject"])]

    def code(self):
        """The code that came last. It is taken out: the stories are about the letters of record."""
        [*_, place] = [n for n, letter in enumerate(self.letters) if re.search("[0-9]{6}", letter["Subject"])]
        return re.search("[0-9]{6}", self.letters.pop(place)["Subject"])[0]


@contextlib.contextmanager
def opened():
    box = Postbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.url = f"smtp://127.0.0.1:{controller.port}"
    try:
        yield box
    finally:
        controller.stop()
