"""What innspect raises on purpose."""


class NotAnalyzeableModelError(ValueError):
    """A model, or one of its layers, that the chosen method has no rule for."""


class PlainKeyError(KeyError):
    """A `KeyError` that prints its message as it is, without quotes and escapes."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""
