"""An answer as it stands in the cache: compressed, and encrypted if the cache has a key. Used by `sharing`."""

from __future__ import annotations

import hmac
import secrets

from mcp_orchestrator.runner.results import packing
from mcp_orchestrator.runner.results.answers import Answer

NONCE_BYTES = 12
PURPOSE = b"mcp-orchestrator: answers in the cache"
"""Makes the key of the encryption another than that of the digests, which come from the same secret."""


class Seal:
    """Closes and opens answers, each for its own place: one that was put elsewhere can't be opened there."""

    def __init__(self, secret: bytes = b"") -> None:
        self._cipher = None
        if secret:
            # Imported here: most caches have no key.
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(hmac.digest(secret, PURPOSE, "sha256"))

    def close(self, place: str, encoded: bytes) -> bytes:
        """An answer's JSON, for that place: AES-256-GCM behind its nonce, where there is a key."""
        data = packing.compress(encoded)
        if self._cipher is None:
            return data
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, place.encode())

    def open(self, place: str, data: bytes) -> Answer | None:
        """The answer that was closed; None for anything else."""
        try:
            return packing.decode(packing.decompress(self._decrypted(place, data)))
        except packing.Unreadable:
            return None

    def _decrypted(self, place: str, data: bytes) -> bytes:
        if self._cipher is None:
            return data
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise packing.Unreadable("it was closed with another key, for another place, or not at all") from error
