"""Every error of ours: what was expected, what came, what to do next."""


class DreamGymError(Exception):
    """Base of all errors a user can act on; its text says how."""


class ConfigError(DreamGymError):
    """A setting is unknown or out of range."""


class WorkspaceError(DreamGymError):
    """A folder or database is not ours, too new, locked or damaged."""


class AnnotationError(DreamGymError):
    """An answer, or a line of a file of answers, says what cannot be."""


class LeakError(DreamGymError):
    """An evaluation set shares with training data what its split forbids."""


class EnvironmentUnavailableError(DreamGymError):
    """A real environment cannot run here: a package, a compiler or its data is missing."""


class EnvironmentFailedError(DreamGymError):
    """A real environment died, hung or broke during an episode; the episode is failed, not lost."""


class EpisodeOverError(DreamGymError):
    """`step` after the last step, or before `reset`."""


class TaskError(DreamGymError):
    """A task names a game that does not exist or cannot be played."""


class EngineError(DreamGymError):
    """Text generation failed: a model cannot be loaded, or its worker process died."""


class RequestRefusedError(EngineError):
    """An endpoint does not take this request, however often it is sent: the text has its own words."""

    def __init__(self, text: str, status: int) -> None:
        """`status`: HTTP's, e.g. 400 for a prompt that is too long, 401 for a wrong key, 404 for an unknown model."""
        super().__init__(text)
        self.status = status


class TrainingError(DreamGymError):
    """An update went wrong; nothing of it was saved, so the last checkpoint is good."""


class MalformedReplyError(DreamGymError):
    """A model's reply cannot be read; the episode ends with this as its reason, never with a reward of 0."""

    def __init__(self, reason: str, raw_reply: str, token_probabilities: bytes | None = None) -> None:
        """Keep the reply as generated, with the probabilities of its tokens where they are known."""
        super().__init__(f"malformed reply: {reason}")
        self.raw_reply = raw_reply
        self.token_probabilities = token_probabilities
