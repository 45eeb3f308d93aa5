"""What a program in hack/ tells a person who has to do something. Raised everywhere, shown by each program's main."""


class Problem(Exception):
    """Something that a program can't overcome: `message` names thing and cause, `remedy` says what to do next."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
