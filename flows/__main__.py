"""The command: `pillars VERB [PROJECT]`. A verb that changes something runs the flow of the same name."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TextIO

import click

from pillars.errors import PillarsError, StoreUnavailable
from pillars.masking import masked

REFUSALS = {  # of the world; a file that is not there is a bug of ours
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
PROJECT = click.argument("project", default="flights")
STRATEGIES = ("direct", "blue-green", "canary", "shadow", "ab")
FAULTS = (
    *("errors", "latency", "corrupt bundle", "wrong scores", "flipped labels", "unit change", "registry down", "half-written policy"),
    *("killed controller", "killed worker", "full disk", "clock jump", "late labels"),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
CONTINUE = click.option("--continue", "accept_changes", is_flag=True, help="Go on although the YAML changed since the last run.")


class Verbs(click.Group):
    """Turns our errors into one message and the exit code they carry."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the loop, not of the alphabet."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse words that are no text."""
        if odd := [a for a in args if not a.isascii() and a.encode(errors="replace").decode() != a]:
            raise click.UsageError(f"{odd[0]!r} is no UTF-8; nothing was changed")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error of ours ends it with its message and exit code."""
        try:
            return super().invoke(ctx)
        except PillarsError as err:
            _end(ctx, str(err), err.exit_code)
        except KeyboardInterrupt:
            _end(ctx, "interrupted; the same command goes on from here.", 130)
        except Exception as err:
            if (refused := of_the_system(err)) is None:
                raise  # a bug: its traceback is wanted
            _end(ctx, str(refused), refused.exit_code)


def of_the_system(err: BaseException | None) -> StoreUnavailable | None:
    """What the operating system refused, as ours; None when `err`, and whatever it was raised from, is something else."""
    while err is not None:
        if isinstance(err, OSError) and err.errno in REFUSALS:
            what = err.filename if isinstance(err.filename, str) else "a file or the output"
            return StoreUnavailable.refused(
                what, err, "What is on record stays. Mend it (disk, rights, limits) and run the same command again."
            )
        err = err.__cause__ or err.__context__
    return None


def _end(ctx: click.Context, message: str, code: int) -> None:
    click.echo(f"pillars: {masked(message)}", err=True)
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):  # a full or closed output, which Python would try and complain about once more
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    ctx.exit(code)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="five-pillars")
def main() -> None:
    """The five pillars of MLOps as one loop: data, development, training, deployment, monitoring.

    PROJECT is the name of a YAML in configs/; flights if not given.
    """


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", required=True, metavar="COLUMN", help="What is to be predicted: one of two, one of several, or a number.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="What kind of target it is; else its values say.")
@click.option("--time", metavar="COLUMN", help="When each prediction is asked for; without it, periods are blocks of rows.")
@click.option("--id", "key", metavar="COLUMN", multiple=True, help="The column that names a row; several times for several.")
@click.option(
    "--protect", metavar="COLUMN", multiple=True, help="A column that leaves ingest as a keyed pseudonym only; several times for several."
)
@click.option("--name", help="The project's name; the file's if not given.")
@click.option("--force", is_flag=True, help="Replace a configs/NAME.yaml that is there.")
@JSON
def init(
    file: Path,
    target: str,
    task: str | None,
    time: str | None,
    key: tuple[str, ...],
    protect: tuple[str, ...],
    name: str,
    force: bool,
    as_json: bool,
) -> None:
    """Look at a CSV or Parquet FILE and write configs/NAME.yaml for it: types, roles, expectations, split, gate. Then: pillars run NAME."""
    from flows import data_commands

    wishes = {"target": target, "task": task, "time": time, "key": key, "protect": protect}
    data_commands.init(file, name, wishes, force=force, as_json=as_json)


@main.command()
@PROJECT
@CONTINUE
@JSON
def run(project: str, accept_changes: bool, as_json: bool) -> None:
    """Replay every unfinished period of a project, then show the whole story."""
    from flows import terminal

    terminal.run(project, accept_changes, as_json)


@main.command()
@click.option("--detach", is_flag=True, help="Return as soon as everything answers.")
def up(detach: bool) -> None:
    """Start Prefect, MLflow, Evidently, prediction servers and the schedules; print their addresses."""
    from flows import up as stack
    from pillars.stores import Stores

    sys.exit(stack.up(Stores(), detach=detach))


@main.command()
@PROJECT
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere than on this machine only with tokens.")
@click.option("--port", type=click.IntRange(1, 65535), help="By default PILLARS_PORT_SERVING (8080), or the next free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@JSON
def serve(project: str, host: str, port: int | None, workers: int, as_json: bool) -> None:
    """Answer predictions over HTTP until ^C, by the releases of the traffic policy; a switch needs no restart."""
    from flows import serving_commands

    serving_commands.serve(project, host, port, workers, as_json=as_json)


@main.command()
def down() -> None:
    """Stop what `up` started."""
    from flows import up as stack
    from pillars.stores import Stores

    sys.exit(stack.down(Stores()))


@main.command()
@PROJECT
@JSON
def status(project: str, as_json: bool) -> None:
    """Champion, traffic, data version, last verdict; exit 1 when something is stale or broken."""
    from flows import terminal

    sys.exit(terminal.status(project, as_json))


def _flow(verb: str, **parameters: Any) -> Any:
    """Run the flow `flows.<verb>.<verb>` in this process, seen by Prefect."""
    from flows import terminal

    return terminal.perform(verb, parameters)


def _show(value: Any, as_json: bool) -> None:
    from flows import terminal

    terminal.show(value, as_json)


def _of_a_period(verb: str, needed: bool, text: str) -> None:
    """Register a verb that takes a project and a period."""

    def command(project: str, period: str | None, as_json: bool) -> None:
        _show(_flow(verb, project=project, period=period), as_json)

    project = click.argument("project") if needed else PROJECT
    decorated = project(click.argument("period", required=needed)(JSON(command)))
    main.command(verb, help=text)(decorated)


_of_a_period("ingest", True, "Collect, check, protect and version one period.")
_of_a_period("score", True, "Score one period with the live champion.")


@main.command()
@click.argument("project")
@click.argument("period")
@click.option("--page", is_flag=True, help="Draw Evidently's reports of the period as HTML (about 4 MB each) from what is on record.")
@JSON
def monitor(project: str, period: str, page: bool, as_json: bool) -> None:
    """Compare one period with the reference; say whether to train again."""
    if page:
        from flows import terminal

        _show({"project": project, "period": period, "pages": terminal.pages(project, period)}, as_json)
    else:
        _show(_flow("monitor", project=project, period=period), as_json)


@main.command()
@PROJECT
@click.argument("period", required=False)
@click.option(
    "--set",
    "settings",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="An experiment: another setting than the YAML's, compared and never released.",
)
@JSON
def train(project: str, period: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Search, judge and refit a candidate (newest period if not named)."""
    if settings:
        from flows import experiment_commands

        experiment_commands.experiment(project, period, settings, as_json=as_json)
    else:
        _show(_flow("train", project=project, period=period), as_json)


_of_a_period("promote", False, "Hold the newest candidate against its gate.")


@main.command()
@PROJECT
@click.option("--version", type=int, help="A promoted version; the newest if not named.")
@JSON
def deploy(project: str, version: int | None, as_json: bool) -> None:
    """Export a promoted version and give it the traffic."""
    _show(_flow("deploy", project=project, version=version), as_json)


@main.command()
@PROJECT
@JSON
def rollout(project: str, as_json: bool) -> None:
    """Look at the release on trial once: the next share, the end, back, or nothing yet; exit 1 when it harmed."""
    from flows import rollout_commands

    sys.exit(rollout_commands.rollout(project, as_json=as_json))


@main.command()
@PROJECT
@click.option("--serve", "port", type=click.IntRange(0, 65535), help="Answer over HTTP at this port until ^C (0: any): GET /verdict.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--report", "arms", is_flag=True, help="Arm by arm, and where a shadow would have answered otherwise.")
@JSON
def verdict(project: str, port: int | None, host: str, arms: bool, as_json: bool) -> None:
    """How the release on trial does, and nothing is changed; exit 1 when it harms."""
    from flows import rollout_commands

    sys.exit(rollout_commands.verdict(project, port, host, arms=arms, as_json=as_json))


@main.command()
@PROJECT
@click.option("--for", "target", type=click.Choice(["kserve", "argo"]), default="kserve", show_default=True, help="Who splits the traffic.")
@click.option("--image", required=True, help="Image of the prediction server, with a tag or digest.")
@click.option("--claim", required=True, help="Claim of the volume that holds var.")
@click.option("--namespace", default="default", show_default=True, help="Namespace of all of it.")
@click.option("--replicas", type=int, default=2, show_default=True, help="Pods of each arm.")
@click.option("--tokens", default="", help="Secret with the key tokens: who may ask the server.")
@click.option("--flows", default="", help="argo: image of the flows, which judges.")
@click.option("--gateway", default="", help="argo: Gateway that splits by weight; without it, pods are counted.")
@click.option("--hostname", "host", default="", help="argo: host name at the gateway.")
@JSON
def manifests(project: str, target: Literal["kserve", "argo"], as_json: bool, **given: Any) -> None:
    """Print the rollout as Kubernetes manifests: KServe's InferenceService, or an Argo Rollout that asks `pillars verdict`."""
    from flows import rollout_commands

    rollout_commands.manifests(project, target, given, as_json=as_json)


@main.command()
@click.argument("words", metavar="VERSION [PROJECT]", nargs=-1, required=True)
@click.option("--reason", default="asked for by hand", help="Why, for the record.")
@JSON
def pin(words: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Give all traffic to VERSION (its number, or champion) and hold it there: no automation changes that until unpin."""
    from flows import rollout_commands

    rollout_commands.pin(words, reason, as_json=as_json)


@main.command()
@PROJECT
@click.option("--reason", default="asked for by hand", help="Why, for the record.")
@JSON
def unpin(project: str, reason: str, as_json: bool) -> None:
    """Let automation go on; who answers stays as it is."""
    _show(_flow("unpin", project=project, reason=reason), as_json)


@main.command()
@PROJECT
@click.option("--reason", default="asked for by hand", help="Why, for the record.")
@JSON
def rollback(project: str, reason: str, as_json: bool) -> None:
    """Give the traffic back to the last good release, with Prefect and MLflow down if need be."""
    from flows import terminal

    terminal.show(terminal.rollback(project, reason), as_json)


_of_a_period("cycle", False, "One period through the whole loop (the oldest unfinished if not named).")


@main.command()
@PROJECT
@click.option("--from", "first", metavar="PERIOD", help="First period.")
@click.option("--to", "last", metavar="PERIOD", help="Last period.")
@CONTINUE
@JSON
def replay(project: str, first: str | None, last: str | None, accept_changes: bool, as_json: bool) -> None:
    """Run the cycle for every unfinished period of a range."""
    if first and last and last < first:
        raise click.UsageError(f"--to {last} is before --from {first}; nothing was replayed")
    done = _flow("replay", project=project, first=first, last=last, accept_changes=accept_changes)
    _show({"project": project, "replayed": done}, as_json)


@main.command()
@PROJECT
@JSON
def compact(project: str, as_json: bool) -> None:
    """Turn what the prediction server logged into Parquet: every segment that is finished."""
    _show(_flow("compact", project=project), as_json)


@main.command()
@PROJECT
@click.option("--strategy", "strategies", type=click.Choice(STRATEGIES), multiple=True, help="One of them; several times for several.")
@click.option("--fault", "faults", type=click.Choice(FAULTS), multiple=True, help="One of them; several times for several.")
@click.option("--all", "every", is_flag=True, help="Every strategy; without it the YAML's own.")
@click.option("--controls", type=click.IntRange(0), default=2, show_default=True, help="Runs of each strategy without a fault.")
@JSON
def drill(project: str, strategies: tuple[str, ...], faults: tuple[str, ...], every: bool, controls: int, as_json: bool) -> None:
    """Inject faults into rollouts of the champion, in a throw-away folder under load; exit 1 when one is not found, or ends unsafe."""
    from flows import drill_commands

    sys.exit(drill_commands.drill(project, strategies, faults, controls, every=every, as_json=as_json))


@main.command()
@click.argument("prediction")
@PROJECT
@click.option("--recompute", is_flag=True, help="Answer the row again by the model that did, with what each feature added.")
@JSON
def why(prediction: str, project: str, recompute: bool, as_json: bool) -> None:
    """Why a request was answered as it was. PREDICTION is its request_id, a dash and the row (from 0). Exit 1 when it comes out other."""
    from flows import serving_commands

    sys.exit(serving_commands.why(project, prediction, recompute=recompute, as_json=as_json))


@main.command()
@click.argument("words", metavar="[VERSION] [PROJECT]", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every registered version of the project.")
@click.option(
    "--epsilon", type=click.FloatRange(min=0), help="Scores that differ by no more are enough (exit 0); without it, only equal bytes are."
)
@JSON
def reproduce(words: tuple[str, ...], every: bool, epsilon: float | None, as_json: bool) -> None:
    """Make a registered version again from its lineage, in a clean folder, and compare; exit 1 when it came out other, or not at all.

    VERSION is a number, champion, newest or random (an earlier one); PROJECT is flights if not given.
    """
    from flows import reproduction_commands

    sys.exit(reproduction_commands.reproduce(words, every=every, epsilon=epsilon, as_json=as_json))


@main.command()
@click.argument("words", metavar="V1 V2 [PROJECT]", nargs=-1)
@click.option("--attribute", is_flag=True, help="Fit both again, each with one factor of the other's, and say which moved the loss.")
@JSON
def compare(words: tuple[str, ...], attribute: bool, as_json: bool) -> None:
    """Two registered versions side by side: what each was made from, and both on the newest rows that neither was fitted on.

    V1 and V2 are numbers, champion or newest; PROJECT is flights if not given.
    """
    from flows import compare_commands

    compare_commands.compare(words, attribute=attribute, as_json=as_json)


@main.group()
def gate() -> None:
    """What decides on a challenger, and how far its own noise reaches."""


@gate.command("calibrate")
@PROJECT
@click.option("--models", type=click.IntRange(min=4), default=40, show_default=True, help="Models that differ in seed and luck only.")
@click.option("--pairs", type=click.IntRange(min=0), default=0, show_default=True, help="Distinct pairs of them; 0: all.")
@click.option("--rate", type=click.FloatRange(0.001, 0.5), default=0.05, show_default=True, help="False promotions that are put up with.")
@click.option(
    "--period", "periods", multiple=True, help="A judged period; several times for several. The newest with outcomes if not named."
)
@click.option("--rows", type=click.IntRange(min=100), help="Newest rows that are fitted on; all if not given.")
@click.option("--write", is_flag=True, help="Put the margin into the YAML, where it is higher; comments stay.")
@JSON
def gate_calibrate(
    project: str, models: int, pairs: int, rate: float, periods: tuple[str, ...], rows: int | None, write: bool, as_json: bool
) -> None:
    """Ask the gate about models that are equal in truth: how often it promotes one, which margin keeps that rare, what it finds then."""
    from flows import gate_commands

    gate_commands.calibrate(project, list(periods), models, pairs, rate, rows, write=write, as_json=as_json)


@gate.command("show")
@PROJECT
@JSON
def gate_show(project: str, as_json: bool) -> None:
    """The newest calibration; exit 1 when the margin does not stand on one, or on one of other settings."""
    from flows import gate_commands

    sys.exit(gate_commands.show(project, as_json=as_json))


@main.group()
def data() -> None:
    """The data set and its versions."""


@data.command()
@PROJECT
@click.option("--pin", is_flag=True, help="Write data.dvc, the pinned version of the default project.")
@JSON
def rebuild(project: str, pin: bool, as_json: bool) -> None:
    """Make the data set again from its source; fills cache and remote."""
    from flows import terminal

    _show(terminal.rebuild(project, pin), as_json)


@data.command()
@PROJECT
@click.argument("version", default="newest")
@click.option("--all", "every", is_flag=True, help="All versions, newest first, a line each.")
@JSON
def show(project: str, version: str, every: bool, as_json: bool) -> None:
    """A data version (the newest if not named): when, from what, what was set aside, which models and predictions rest on it."""
    from flows import data_commands

    data_commands.show(project, version, every=every, as_json=as_json)


@data.command()
@PROJECT
@click.argument("old", required=False)
@click.argument("new", default="newest")
@JSON
def diff(project: str, old: str | None, new: str, as_json: bool) -> None:
    """What it takes to come from one data version to another, by key (by default: the newest, and what it was made from)."""
    from flows import data_commands

    data_commands.diff(project, old, new, as_json=as_json)


@data.command()
@PROJECT
@click.argument("version", default="newest")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Folder for the files (var/checkouts/... if not named).")
@click.option("--verify", is_flag=True, help="First hash both copies of every file, and mend a bad one from the other.")
@click.option("--plain", is_flag=True, help="Open sealed files (privacy.encrypt); without it they are as DVC has them.")
@JSON
def checkout(project: str, version: str, to: Path | None, verify: bool, plain: bool, as_json: bool) -> None:
    """Write the files of a data version into a folder."""
    from flows import data_commands

    data_commands.checkout(project, version, to, verify=verify, plain=plain, as_json=as_json)


@data.command("open")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), help="File for the content (FILE.plain beside it if not named).")
@JSON
def open_file(file: Path, to: Path | None, as_json: bool) -> None:
    """Open one sealed file, wherever DVC put it: its content into a file of its owner alone."""
    from flows import data_commands

    data_commands.open_file(file, to, as_json=as_json)


@data.command()
@PROJECT
@click.argument("version", default="newest")
@JSON
def audit(project: str, version: str, as_json: bool) -> None:
    """Hold a data version against the rules of today, and both copies of its files against their hashes; exit 1 when one does not hold."""
    from flows import data_commands

    sys.exit(data_commands.audit(project, version, as_json))


@data.command()
@click.argument("project")
@click.argument("version")
@click.argument("name", required=False)
@click.option("--text", default="", help="One line for people.")
@click.option("--force", is_flag=True, help="Move the name from another version.")
@click.option("--delete", is_flag=True, help="Take the name away; VERSION may be left out.")
@JSON
def tag(project: str, version: str, name: str | None, text: str, force: bool, delete: bool, as_json: bool) -> None:
    """Give a data VERSION a NAME that stays on it: a git tag, good wherever a version is asked for, and for dvc."""
    from flows import data_commands

    if delete and (text or force):
        raise click.UsageError("--delete takes neither --text nor --force")
    if name is None and not delete:
        raise click.MissingParameter(param_type="argument", param_hint="'NAME'")
    data_commands.tag(project, version if name else None, name or version, text, force=force, delete=delete, as_json=as_json)


@data.command()
@PROJECT
@JSON
def tags(project: str, as_json: bool) -> None:
    """Names that data versions were given, a line each."""
    from flows import data_commands

    data_commands.tags(project, as_json=as_json)


@data.command()
@PROJECT
@click.option("--dry-run", is_flag=True, help="Only say what would go and what is held back.")
@JSON
def retain(project: str, dry_run: bool, as_json: bool) -> None:
    """Delete what is older than the YAML's retention says: what came in, and rows. What a live or held model needs stays."""
    from flows import data_commands

    data_commands.retain(project, dry_run=dry_run, as_json=as_json)


@data.command()
@PROJECT
@JSON
def revisions(project: str, as_json: bool) -> None:
    """Periods that came again with other rows, and which models and predictions rest on the rows they had before."""
    from flows import data_commands

    data_commands.revisions(project, as_json=as_json)


@data.command()
@PROJECT
@click.argument("period", required=False)
@JSON
def source(project: str, period: str | None, as_json: bool) -> None:
    """Hold a project's source to its contract, on one period (the newest if not named). Nothing is kept; exit 1 when it breaks one."""
    from flows import data_commands

    sys.exit(data_commands.source(project, period, as_json))


@data.command()
@PROJECT
@click.argument("period", required=False)
@click.option("--moments", type=click.IntRange(min=1), default=5, show_default=True, help="Moments of the period that are tried.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Which moments, and which other futures.")
@JSON
def future(project: str, period: str | None, moments: int, seed: int, as_json: bool) -> None:
    """Scramble what comes after moments of a period (the newest if not named); exit 1 unless rows and predictions until then stay."""
    from flows import data_commands

    sys.exit(data_commands.future(project, period, moments, seed, as_json=as_json))


@data.group()
def expectations() -> None:
    """What a batch must be, and what past batches say it could be held to."""


@expectations.command("propose")
@PROJECT
@click.option("--over", type=click.IntRange(min=6), default=12, show_default=True, help="Batches that the limits of statistics rest on.")
@click.option("--k", type=click.FloatRange(min=1, max=8), default=4.0, show_default=True, help="Their width, in standard deviations.")
@click.option("--write", is_flag=True, help="Put them into the YAML; comments and your own checks stay.")
@JSON
def expectations_propose(project: str, over: int, k: float, write: bool, as_json: bool) -> None:
    """Propose bounds from accepted batches: the diff of the YAML, and which past batches each bound would have failed."""
    from flows import expectation_commands

    expectation_commands.propose(project, over, k, write=write, as_json=as_json)


@data.group()
def quarantine() -> None:
    """Rows that were set aside with their reasons, and batches that were rejected whole."""


@quarantine.command("list")
@PROJECT
@JSON
def quarantine_list(project: str, as_json: bool) -> None:
    """What is set aside now, period by period, and why."""
    from flows import data_commands

    data_commands.quarantine_list(project, as_json=as_json)


@quarantine.command("show")
@PROJECT
@click.argument("period")
@click.option("--rows", "most", type=click.IntRange(min=1), default=20, show_default=True, help="Rows that are shown at most.")
@JSON
def quarantine_show(project: str, period: str, most: int, as_json: bool) -> None:
    """Rows of one period that are set aside, as they came, with their reasons."""
    from flows import data_commands

    data_commands.quarantine_show(project, period, most, as_json=as_json)


@quarantine.command("replay")
@PROJECT
@click.argument("period", required=False)
@CONTINUE
@JSON
def quarantine_replay(project: str, period: str | None, accept_changes: bool, as_json: bool) -> None:
    """Check what is set aside by the rules of today: what passes joins the data set as a revision of its period."""
    from flows import data_commands

    data_commands.quarantine_replay(project, period, accept_changes=accept_changes, as_json=as_json)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--check", is_flag=True, help="Make none: verify the one that is there.")
@JSON
def backup(file: Path, check: bool, as_json: bool) -> None:
    """Write everything into one file, while all runs: data, models, ledger, runs, keys, configs."""
    from flows import recovery_commands

    (recovery_commands.check if check else recovery_commands.backup)(file, as_json=as_json)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@JSON
def restore(file: Path, as_json: bool) -> None:
    """Verify a backup and put it here, where nothing is yet (see PILLARS_VAR)."""
    from flows import recovery_commands

    recovery_commands.restore(file, as_json=as_json)


@main.command()
@click.option("--fix", is_flag=True, help="Give files and folders the rights that are promised.")
@JSON
def scan(fix: bool, as_json: bool) -> None:
    """Search var, data branches and tracked files for secrets, and var for rights that are too loose; exit 1 when one is found."""
    from flows import access_commands

    sys.exit(access_commands.scan(fix=fix, as_json=as_json))


@main.group()
def keys() -> None:
    """Keys that seal what came in, where columns are personal or sensitive."""


@keys.command("show")
@JSON
def keys_show(as_json: bool) -> None:
    """Which keys there are and how many files each one seals; never a key itself."""
    from flows import key_commands

    key_commands.show(as_json=as_json)


@keys.command("rotate")
@JSON
def keys_rotate(as_json: bool) -> None:
    """Seal all files anew with a new key and drop the old ones. Safe to interrupt: run again, it goes on."""
    from flows import key_commands

    key_commands.rotate(as_json=as_json)


@keys.command("destroy")
@PROJECT
@click.option("--from", "given", metavar="FILE", type=click.File(), default="-", help="Persons as the subject column has them, one a line.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def keys_destroy(project: str, given: TextIO, yes: bool, as_json: bool) -> None:
    """Destroy the keys of persons, for ever: their pseudonyms can be linked to nobody. Names are read from standard input or a file."""
    from flows import key_commands

    key_commands.destroy(project, given.read(), lambda question: yes or _agreed(question), as_json=as_json)


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # nobody there to answer
        click.echo(err=True)
        return False


@main.command()
@PROJECT
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", default="asked for by hand", help="Why, for the record.")
def reset(project: str, yes: bool, reason: str) -> None:
    """Start a project over, on record: its history is kept, and no longer counts."""
    if not yes and not _agreed(f"Start {project} over? Its history stays in the ledger; nothing of it counts any more."):
        raise click.ClickException("nothing was changed. To start over without being asked, say --yes.")
    _flow("reset", project=project, reason=reason)
    click.echo(f"{project} starts over. Next: pillars run {project}")


if __name__ == "__main__":
    main()
