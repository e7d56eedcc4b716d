"""CBOR, the encoding of what an authenticator says, checked before a library decodes it.

Decoders build an object for each tag: shared values that are nested in each other, or regular expressions, so that
1 KB can keep a processor busy for minutes. Authenticators send no tags: CTAP 2.1, section 8, defines the form that they
use, in which each item has one encoding. So a library that decodes and encodes an item again finds the end of it.
"""

MAX_DEPTH = 4  # maps and arrays within each other, as CTAP allows
WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}  # bytes of the number that follows the first byte
UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
HAS_KEY = 0x40  # a flag: 16 bytes follow, the length of the credential's id in 2, the id, and the key


def check_authenticator_data(data: bytes) -> None:
    """Raise ValueError unless the key and the extensions in authenticator data are in the form of CTAP."""
    begin = 37  # after the hash of the host, the flags and the sign count
    if len(data) >= begin and data[32] & HAS_KEY:
        begin += 18 + int.from_bytes(data[begin + 16 : begin + 18])
    check(data[begin:])


def check(data: bytes) -> None:
    """Raise ValueError unless the data is a sequence of CBOR items in the form of CTAP."""
    at = 0
    while at < len(data):
        at = _end(data, at, 0)
    if at > len(data):
        raise ValueError("CBOR is cut off")


def _end(data: bytes, at: int, depth: int) -> int:
    """Return where the item that begins at a place ends."""
    if at >= len(data) or depth > MAX_DEPTH:
        raise ValueError("CBOR is cut off or too deep")
    kind, number = divmod(data[at], 32)
    at += 1
    if width := WIDTHS.get(number, 0):
        number = int.from_bytes(data[at : at + width])
        at += width
    is_shortest = number < 24 if not width else number >= (24 if width == 1 else 256 ** (width // 2))
    if not is_shortest or kind == TAG or (kind == SIMPLE and not 20 <= number <= 23):
        raise ValueError("CBOR is not in the form of authenticators")
    if kind in (BYTES, TEXT):
        return at + number
    for _ in range(number * {ARRAY: 1, MAP: 2}.get(kind, 0)):
        at = _end(data, at, depth + 1)
    return at
