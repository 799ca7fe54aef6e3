"""What a verb of the command line is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """Something the command line can do.

    Parameters
    ----------
    target
        ``module:function``, imported only when the verb is called. Options and their help come from its signature
        and docstring: a function of the library, or one beside the verb where it calls several.
    summary
        One line for ``amazon-ml --help``.
    positionals
        Parameters that are given by place; all others are options.
    show
        ``module:function`` that prints what the target gives.
    """

    target: str
    summary: str
    positionals: tuple[str, ...] = ()
    show: str | None = None
