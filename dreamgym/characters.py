"""Half characters: JSON and Python let them pass, files and tokenizers do not."""


def whole(text: str) -> str:
    """Replace lone surrogates, the halves of characters outside the first plane, by U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
