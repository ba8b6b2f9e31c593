"""The tree of errors. An error is a broken promise; each says what happened, what state was left, and what to do.

PillarsError
 +- ConfigInvalid      a YAML file that cannot be read as a project        exit 2
 +- SettingInvalid     an environment variable PILLARS_* that cannot be used   exit 2
 +- OptionInvalid      an option of a command that cannot be used           exit 2
 +- ConfigChanged      the YAML differs from the one the history was made with   exit 3
 +- UnknownName        no such project, period, version                    exit 2
 +- NobodyAnswers      no release of a project answers yet                 exit 2
 +- Dropped            rows that retention deleted                         exit 2
 +- InputInvalid       a column that cannot be encoded                      exit 2
 +- ColumnUnfit        a column of a file is not what was asked of it      exit 2
 +- TagRefused         a name that no data version can be given            exit 2
 +- ChampionOutgrown   rows no longer have what the champion takes         exit 4
 +- TooFewRows         a period holds too little to fit, validate and judge on   exit 4
 +- SourceBroken       a source did not give what its contract says        exit 4
 +- RebuildFailed      a registered version cannot be fitted again        exit 4
 +- DataCorrupt        bytes do not have the hash that names them          exit 5
 +- BundleRefused      a model bundle is incomplete, changed or too new    exit 5
 +- ArchiveRefused     a backup is damaged, cut off, or not what it says   exit 5
 +- LedgerBroken       the record was edited, cut or cannot be read        exit 5
 +- StoreUnavailable   a disk, database or server does not answer          exit 6
 +- Busy               somebody else holds the lock                        exit 7
 +- Overtaken          somebody else changed it first                      exit 7
 +- NotAllowed         this user may not do it                             exit 8
"""

from __future__ import annotations

from collections.abc import Sequence


class PillarsError(Exception):
    """Something promised did not hold. `exit_code` is what the command returns."""

    exit_code = 1


class ConfigInvalid(PillarsError):
    """A YAML file that cannot be read as a project; `problems` are sentences that name file, line and key."""

    exit_code = 2

    def __init__(self, file: str, problems: list[str]) -> None:
        super().__init__(file, problems)  # positional, so that it crosses processes
        self.file, self.problems = file, problems

    def __str__(self) -> str:
        return "\n".join([f"{self.file} is not a valid project; nothing was changed.", *(f"  {p}" for p in self.problems)])


class SettingInvalid(PillarsError):
    """An environment variable cannot be used; `problems` name it, and never quote a secret."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return f"{'; '.join(self.problems)}. Nothing was changed; set it right and run again."


class OptionInvalid(PillarsError):
    """An option of a command cannot be used; `problems` begin with its name."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return f"{'; '.join(self.problems)}. Nothing was done; say it otherwise and run again."


class ConfigChanged(PillarsError):
    """The YAML is not the one that the project's history was made with; `differences` name dotted keys."""

    exit_code = 3

    def __init__(self, project: str, differences: list[str]) -> None:
        super().__init__(project, differences)
        self.project, self.differences = project, differences

    def __str__(self) -> str:
        listed = "\n".join(f"  {d}" for d in self.differences)
        return (
            f"configs/{self.project}.yaml changed since the last run; nothing was done.\n{listed}\n"
            f"Go on with the new settings (--continue), or start over (pillars reset {self.project})."
        )


class UnknownName(PillarsError):
    """There is no such project, period or version; `known` lists what there is."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(kind, name, known)
        self.kind, self.name, self.known = kind, name, known

    def __str__(self) -> str:
        from difflib import get_close_matches

        near = get_close_matches(self.name, self.known, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(self.known) or 'none yet'}."
        return f"no {self.kind} named {self.name!r}.{hint}"


class NobodyAnswers(PillarsError):
    """No release of a project answers yet, so there is none to hold, to let go or to try another beside."""

    exit_code = 2

    def __init__(self, project: str) -> None:
        super().__init__(project)
        self.project = project

    def __str__(self) -> str:
        return f"nobody answers for {self.project} yet: pillars deploy {self.project} comes first. Nothing was changed."


class Dropped(PillarsError):
    """Rows that are gone because their time was over; `row` is the ledger's that says so."""

    exit_code = 2

    def __init__(self, file: str, row: int) -> None:
        super().__init__(file, row)
        self.file, self.row = file, row

    def __str__(self) -> str:
        return f"{self.file}: dropped by retention on ledger row {self.row}; nothing was changed."


class InputInvalid(PillarsError):
    """A column that the encoder cannot turn into numbers; nothing was predicted."""

    exit_code = 2

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(column, problem)
        self.column, self.problem = column, problem

    def __str__(self) -> str:
        return f"column {self.column} {self.problem}; nothing was predicted."


class ChampionOutgrown(PillarsError):
    """The rows no longer have what the champion takes; nothing was predicted."""

    exit_code = 4

    def __init__(self, project: str, period: str, version: int, columns: Sequence[str]) -> None:
        super().__init__(project, period, version, columns)
        self.project, self.period, self.version, self.columns = project, period, version, tuple(columns)

    def __str__(self) -> str:
        return (
            f"{self.project} {self.period}: the champion v{self.version} takes {', '.join(self.columns)}, which these rows have no more; "
            f"nothing was predicted. To have one that does without: pillars train {self.project}, then promote and deploy."
        )


class ColumnUnfit(PillarsError):
    """A column of a file that cannot be what was asked of it; no project was written."""

    exit_code = 2

    def __init__(self, column: str, problem: str) -> None:
        super().__init__(column, problem)
        self.column, self.problem = column, problem

    def __str__(self) -> str:
        return f"column {self.column}: {self.problem}; nothing was written."


class TagRefused(PillarsError):
    """A name that a data version cannot be given, or not without moving it from another; nothing was changed."""

    exit_code = 2

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name, self.problem = name, problem

    def __str__(self) -> str:
        return f"tag {self.name!r}: {self.problem}. Nothing was changed."


class TooFewRows(PillarsError):
    """A period holds too little to fit, validate and judge on."""

    exit_code = 4

    def __init__(self, period: str, problem: str) -> None:
        super().__init__(period, problem)
        self.period, self.problem = period, problem

    def __str__(self) -> str:
        return f"period {self.period}: {self.problem}. Nothing was trained; wait for more rows, or change the split."


class SourceBroken(PillarsError):
    """A source did not give what its contract says; nothing of the period was kept. A `period` of "all": not even periods."""

    exit_code = 4

    def __init__(self, source: str, period: str, problem: str) -> None:
        super().__init__(source, period, problem)
        self.source, self.period, self.problem = source, period, problem

    def __str__(self) -> str:
        where, what = ("", "Nothing") if self.period == "all" else (f", period {self.period}", "Nothing of this period")
        return f"source {self.source}{where}: {self.problem}. {what} was kept; mend the source and run again."


class RebuildFailed(PillarsError):
    """A registered version cannot be fitted again: the process that tried ended without a model. `problem` are its last words."""

    exit_code = 4

    def __init__(self, project: str, version: int, problem: str) -> None:
        super().__init__(project, version, problem)
        self.project, self.version, self.problem = project, version, problem

    def __str__(self) -> str:
        return (
            f"v{self.version} of {self.project} cannot be fitted again: {self.problem}. Nothing was changed; "
            "run it with the code and the lock of its time (see its tags in MLflow)."
        )


FROM_DVC = "Restore it from the remote (dvc fetch) or from the source (pillars data rebuild)."


class DataCorrupt(PillarsError):
    """A file's bytes do not have the hash that names them."""

    exit_code = 5

    def __init__(self, file: str, expected: str, found: str, remedy: str = FROM_DVC) -> None:
        super().__init__(file, expected, found, remedy)
        self.file, self.expected, self.found, self.remedy = file, expected, found, remedy

    def __str__(self) -> str:
        return f"{self.file} should have hash {self.expected} and has {self.found}; it was not used. {self.remedy}"


class BundleRefused(PillarsError):
    """A model bundle is incomplete, was changed, or has a format this code does not know; what ran before still runs."""

    exit_code = 5

    def __init__(self, path: str, problem: str, remedy: str = "export it again (pillars deploy)") -> None:
        super().__init__(path, problem, remedy)
        self.path, self.problem, self.remedy = path, problem, remedy

    def __str__(self) -> str:
        return f"bundle {self.path} refused: {self.problem}. Nothing was switched; {self.remedy}."


class ArchiveRefused(PillarsError):
    """A backup is damaged, cut off, or not what it says of itself; nothing of it was used."""

    exit_code = 5

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(file, problem)
        self.file, self.problem = file, problem

    def __str__(self) -> str:
        return f"backup {self.file} refused: {self.problem}. Nothing was changed; take another backup."


class LedgerBroken(PillarsError):
    """The ledger's chain does not hold: a row was edited, deleted or cut off."""

    exit_code = 5

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(row, problem)
        self.row, self.problem = row, problem

    def __str__(self) -> str:
        return f"ledger row {self.row}: {self.problem}. Nothing was written; restore the ledger from a backup."


class StoreUnavailable(PillarsError):
    """A disk, database or server that the project needs does not answer."""

    exit_code = 6

    def __init__(self, store: str, problem: str, remedy: str) -> None:
        super().__init__(store, problem, remedy)
        self.store, self.problem, self.remedy = store, problem, remedy

    @classmethod
    def refused(cls, what: str, err: OSError, remedy: str, deed: str = "used") -> StoreUnavailable:
        """A refusal of the operating system, with its reason; `deed` is what was refused."""
        return cls(what, f"cannot be {deed} ({err.strerror or type(err).__name__})", remedy)

    def __str__(self) -> str:
        return f"{self.store}: {self.problem}. {self.remedy}"


class Busy(PillarsError):
    """Somebody else holds the lock; `holder` says who, as far as is known."""

    exit_code = 7

    def __init__(self, what: str, waited_s: float, holder: str) -> None:
        super().__init__(what, waited_s, holder)
        self.what, self.waited_s, self.holder = what, waited_s, holder

    def __str__(self) -> str:
        return f"{self.what} is held by {self.holder}; waited {self.waited_s:.0f} s, changed nothing. Run again when it is done."


class Overtaken(PillarsError):
    """Somebody else changed it first: `what` was expected at generation `expected` and is at `found`."""

    exit_code = 7

    def __init__(self, what: str, expected: int, found: int) -> None:
        super().__init__(what, expected, found)
        self.what, self.expected, self.found = what, expected, found

    def __str__(self) -> str:
        return f"{self.what} is at generation {self.found}, not {self.expected}: somebody was first. Changed nothing; look, and run again."


class NotAllowed(PillarsError):
    """This user may not do it; `who` may."""

    exit_code = 8

    def __init__(self, deed: str, what: str, who: str) -> None:
        super().__init__(deed, what, who)
        self.deed, self.what, self.who = deed, what, who

    def __str__(self) -> str:
        return f"you may not {self.deed} {self.what}: {self.who} may. Nothing was read or changed; ask them."
