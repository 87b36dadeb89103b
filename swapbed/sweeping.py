"""The verb `sweep`, and what comes of one: a table of parameters, outcomes, records and reported values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.database import writing
from models.errors import InvalidInput, NotFound
from models.settings import settings
from models.spec import Spec
from models.sweep import Point, Sweep, combinations, sweep_id, values_of
from models.templates import store_spec
from swapbed.lifecycle import committed, pass_on, project, source_of, template_named
from swapbed.present import html
from swapbed.present.progress import Report, quiet
from swapbed.privilege import user
from swapbed.record_objects import column, columns
from swapbed.serving import server
from swapbed.serving.launch import launch
from swapbed.sources.source import evaluated
from tasks.sweeps import claimed, path_of, read_sweep, write_sweep

if TYPE_CHECKING:
    import pandas

    from swapbed.sources.source import Definition

FACTS = ("repeat", "outcome", "record")
Grid = Mapping[str, "Iterable[Any] | str"]


def sweep(definition: Definition, grid: Grid | None = None, *, repeats: int = 1, parallel: int = 1, resume: bool = False,
          limit_s: float | None = None, parameters: Mapping[str, Any] | None = None, report: Report = quiet, **fixed: Any) -> Sweeping:
    """A run for every combination of the grid's values, `repeats` times: `sweep("x.yml", {"DELAY": ["5ms", "10ms"]}, repeats=3)`.

    definition: as for `deploy`, a template's name included. Points that differ in parameters of runs only share an instance.
    resume: go on with the same sweep where it was interrupted. limit_s: how long a run may take. fixed: parameters that are the same
    everywhere; also as `parameters`, for names that mean something else here.
    """
    fixed = {**(parameters or {}), **fixed}
    if parallel < 1:
        raise InvalidInput(f"{parallel} at once are none", where="parallel")
    values = {name: _values(name, given) for name, given in (grid or {}).items()}
    if twice := set(values) & set(fixed):
        raise InvalidInput(f"parameter '{min(twice)}' is both swept and fixed")
    points = [{name: _text(value) for name, value in fixed.items()} | point for point in combinations(values, repeats)]
    plan = _plan(definition, points, repeats, list(values), report)
    with claimed(plan.id):
        before = read_sweep(plan.id) if path_of(plan.id).exists() else None
        if before is not None:
            plan = before if resume else plan.model_copy(update={"instances": before.instances})
        plan = plan.model_copy(update={"parallel": parallel, "limit_s": limit_s})
        write_sweep(plan)
    server.ensure()
    launch("sweep", pass_on(report), sweep_id=plan.id)
    return Sweeping(read_sweep(plan.id), list(values))


def _values(name: str, given: Iterable[Any] | str) -> list[str]:
    if not isinstance(given, Iterable):
        raise InvalidInput(f"{given!r} is no list of values", where=name, next=f"Write it like [{given!r}], or name it outside of the grid")
    return values_of(given) if isinstance(given, str) else [_text(one) for one in given]


def _plan(definition: Definition, given: list[dict[str, str]], repeats: int, swept: list[str], report: Report) -> Sweep:
    """Evaluates the template under every combination, so that what is impossible is known before anything is made."""
    mine = project()
    chosen = template_named(definition)
    wanted = source_of(chosen) if chosen else definition
    groups: dict[str, int] = {}
    specs: list[Spec] = []
    group_of: list[int] = []
    points: list[dict[str, str]] = []  # with values as the template spells them
    spelled: dict[tuple[str, ...], dict[str, str]] = {}
    for done, point in enumerate(given):
        source, evaluation = evaluated(wanted, point)
        points.append(point | {one.name: one.value for one in evaluation.spec.parameters if one.name in point})
        other = spelled.setdefault(tuple(points[-1][name] for name in swept), point)
        if other is not point:
            name = next(name for name in swept if other[name] != point[name])
            raise InvalidInput(f"'{other[name]}' and '{point[name]}' are the same value", where=name)
        shape = evaluation.spec.model_copy(update={"parameters": ()}).digest
        if shape not in groups:
            groups[shape] = len(specs)
            specs.append(evaluation.spec)
        group_of.append(groups[shape])
        report("evaluating", done + 1, len(given))
    template = chosen or committed(source, evaluation)
    with writing() as session:
        spec_ids = [store_spec(session, mine.id, spec).id for spec in specs]
    runs = [Point(number=number, repeat=number % repeats + 1, parameters=points[number // repeats], group=group_of[number // repeats])
            for number in range(len(points) * repeats)]
    return Sweep(id=sweep_id(template.digest, points, repeats), name=template.name, project=settings().project, template_id=template.id,
                 created_by=user(), groups=spec_ids, points=runs)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Sweeping:
    """What came of a sweep. swept: names of the parameters that varied."""

    def __init__(self, plan: Sweep, swept: list[str]):
        self.plan, self.swept = plan, swept

    @property
    def points(self) -> list[Point]:
        return self.plan.points

    def rows(self) -> list[dict[str, Any]]:
        """One for each run: parameters, repeat, outcome, record, and reported values by name (`param.record`, `result.record` where that is
        a column already); numbers as numbers."""
        return [_row(point) for point in self.points]

    def frame(self) -> pandas.DataFrame:
        """Raises ImportError without pandas."""
        import pandas

        return pandas.DataFrame(self.rows())

    def values(self) -> list[str]:
        """Names of what agents reported."""
        return list(dict.fromkeys(name for point in self.points for name in point.results))

    def plot(self, path: Path | str, value: str | None = None, x: str | None = None) -> Path:
        """Mean of one reported value over one parameter, a line for each combination of the others; points are the single runs."""
        from swapbed.pictures.sweep import plot

        names = self.values()
        if not names or (value is not None and value not in names):
            raise NotFound(f"no run reported '{value}'" if value else "no run reported a value", where=self.plan.name,
                           next=f"There are: {', '.join(names)}" if names else "Agents report with `echo RESULT name value`")
        if x is not None and x not in self.swept:
            raise NotFound(f"'{x}' was not swept", where=self.plan.name, next=f"There are: {', '.join(self.swept)}")
        chosen, along = value or names[0], x or self.swept[-1]
        swept = {name: column(name, "param", FACTS) for name in self.swept}
        shown = column(chosen, "result", {*FACTS, *self.points[0].parameters})
        return plot(self.rows(), list(swept.values()), shown, swept[along], Path(path))

    def _repr_html_(self) -> str:
        rows = self.rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return html.heading(self.plan.name, remark=f"sweep of {len(rows)} runs") + html.table(
            columns, [[row.get(name) for name in columns] for row in rows])


def _row(point: Point) -> dict[str, Any]:
    facts = dict(zip(FACTS, (point.repeat, point.outcome, point.record_id), strict=True))
    told = columns(point.parameters, "param", FACTS) | facts
    return told | columns(point.results, "result", told)
