"""The headers of pages: what a browser may do with them, and how long they may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "worker-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}

#: Of every page; S30. No page has a script or a style within: so none needs a nonce, and a cache
#: may keep what is everybody's. The policy on referrers lets a form say where it comes from.
SECURITY: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _CSP.items()),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
)
#: Whose page it is alone.
PERSONAL = "private, no-store"
#: Everybody's, in one language: a cache in front keeps it for a moment.
PUBLIC = "public, max-age=1, stale-while-revalidate=5"
#: What never changes at its address.
FOREVER = "public, max-age=31536000, immutable"
#: What a page depends on besides its address.
VARY = "Accept-Encoding, Accept-Language, Cookie"
