"""E-mail to customers. It follows events and never delays money."""

from brimful.email import send as send, templates as templates
