"""The platform's look: an accent, a radius and a logo. Everything else is ours."""

import colorsys
import dataclasses
import io
import pathlib

from PIL import Image, UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import Response

from brimful.core import colors
from brimful.core.errors import ConfigurationError
from brimful.settings.model import PortalSettings

_DARK_CARD = colors.rgb("#171d1a")
_CONTRAST_MIN = 6.0  # of the accent on dark cards: lightened until it reads well
_CALM = 0.6  # of the saturation: bright colours glare on dark
_LOGO_BYTES_MAX = 2_000_000
_LOGO_PIXELS_MAX = 20_000_000
_LOGO_HEIGHT_PX = 96
_CACHE = {"Cache-Control": "public, max-age=3600"}


@dataclasses.dataclass(frozen=True)
class Theme:
    """`/theme.css` and `/logo.png`, made once at the start."""

    css: str
    logo: bytes | None

    @classmethod
    def of(cls, settings: PortalSettings) -> "Theme":
        """Raises ConfigurationError for a logo that is no PNG or JPEG."""
        light = settings.accent
        dark = _lightened(light)
        css = (
            f":root{{--green:light-dark({light},{dark});--on-green:light-dark(#ffffff,#06130f);"
            f"--radius:{settings.radius_px}px;"
            f"--mist:color-mix(in srgb,var(--green) 10%,var(--card))}}\n"
        )
        return cls(css, None if settings.logo is None else _logo(pathlib.Path(settings.logo)))

    async def serve_css(self, _request: Request) -> Response:
        return Response(self.css, media_type="text/css", headers=_CACHE)

    async def serve_logo(self, _request: Request) -> Response:
        if self.logo is None:
            return Response(status_code=404)
        return Response(self.logo, media_type="image/png", headers=_CACHE)


def _lightened(colour: str) -> str:
    """The accent in a lighter shade that reads on a dark card."""
    hue, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colors.rgb(colour)))
    for percent in range(int(light * 100), 101):
        parts = colorsys.hls_to_rgb(hue, percent / 100, saturation * _CALM)
        mixed = (round(parts[0] * 255), round(parts[1] * 255), round(parts[2] * 255))
        if colors.contrast(mixed, _DARK_CARD) >= _CONTRAST_MIN:
            return "#" + "".join(f"{part:02x}" for part in mixed)
    return "#ffffff"


def _logo(path: pathlib.Path) -> bytes:
    """Re-encode the picture: everything else that the file held is dropped."""
    try:
        data = path.read_bytes()
        if len(data) > _LOGO_BYTES_MAX:
            raise ConfigurationError(f"BRIMFUL_LOGO {path} is larger than {_LOGO_BYTES_MAX // 1_000_000} MB.")
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > _LOGO_PIXELS_MAX:
                raise ConfigurationError(f"BRIMFUL_LOGO {path} has too many pixels.")
            drawn = image.convert("RGBA")
            drawn.thumbnail((_LOGO_HEIGHT_PX * 4, _LOGO_HEIGHT_PX))
            out = io.BytesIO()
            drawn.save(out, "PNG", optimize=True)
    except (OSError, UnidentifiedImageError) as error:
        raise ConfigurationError(f"BRIMFUL_LOGO {path} cannot be used: a PNG or JPEG file is needed.") from error
    return out.getvalue()
