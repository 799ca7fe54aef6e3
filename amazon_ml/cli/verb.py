"""A verb of the command line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """An entry in the table of verbs.

    Parameters
    ----------
    target
        ``module:function``, which is imported only when the verb is called: a function of the library, or one in the
        module of the verb. Its signature and docstring give the options and their help.
    summary
        One line for ``amazon-ml --help``.
    positionals
        Parameters that are positional; all others are options.
    show
        ``module:function`` that prints the result.
    """

    target: str
    summary: str
    positionals: tuple[str, ...] = ()
    show: str | None = None
