"""What a person who watches an experiment in Prefect's pages gets to see of it: topology and links, as artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from languages.units import format_duration, format_loss, format_rate
from models.database import reading
from models.errors import NotFound
from models.instances import instance_by_id, placements
from models.protocol.runs import LinkOfRun, Links
from models.shaping import path
from models.spec import Lan, Shaping, Spec
from models.tables import Host, Record, Run, Template
from models.templates import load_spec
from tasks.record_plot import plot
from tasks.record_trees import recorded, tree_of
from tasks.study_pictures import link, publish_plot, publish_study

ROWS_LIMIT = 200  # an artifact is one row of Prefect's database, sent whole with every page that shows it


def publish_topology(instance_id: str) -> None:
    """Artifacts named after the instance: what it consists of and where it is, and what was asked of its links; its study's page."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        spec = load_spec(session, instance.spec_id)
        hosts = {place.node: session.get_one(Host, place.host_id).name for place in placements(session, instance_id)}
        template = session.get_one(Template, instance.template_id)
    key = instance.name.lower()
    head = f"Instance of {link(f'{template.name}@{template.number}', 'template', template.name)}; its {link('last record', 'record', key)}"
    create_markdown_artifact(f"{topology(instance.name, spec, hosts)}\n\n{head}\n", key=f"topology-{key}",
                             description=f"Topology of {instance.name}")
    create_table_artifact([row for lan in spec.lans[:ROWS_LIMIT] for row in requested(lan)], key=f"links-{key}",
                          description=f"What was asked of the links of {instance.name}")
    publish_study(instance_id)


def publish_record(record: Record) -> None:
    """Artifacts named after the instance: what the run's record says, what its links did, its picture. None before it is committed."""
    if record.root is None:
        return
    store, root = tree_of(record)
    said = recorded(record)
    key = said.instance.lower()
    rows = [{"what": "run", "value": f"{said.run} of {said.instance}"}, {"what": "outcome", "value": said.outcome},
            {"what": "reason", "value": said.reason or ""}, {"what": "record", "value": f"{record.id}, {record.state}, {root}"},
            {"what": "files", "value": f"{record.files}, {record.size_bytes} bytes"},
            *({"what": f"parameter {name}", "value": value} for name, value in said.parameters.items()),
            *({"what": f"result {name}", "value": value} for name, value in record.summary.get("results", {}).items())]
    with reading() as session:
        run = session.get_one(Run, record.run_id)
        template = session.get_one(Template, run.template_id)
    names = f"{link(said.instance, 'topology', key)}, {link(f'{template.name}@{template.number}', 'template', template.name)}"
    create_table_artifact(rows[:ROWS_LIMIT], key=f"record-{key}",
                          description=f"Record of run {said.run} of {said.instance}: {names}, {link('results', 'results', key)}")
    if said.origin != "sweep":  # which has a page and a picture of its own, for all its runs
        publish_study(run.instance_id)
        with suppress(NotFound):  # there is nothing to draw
            publish_plot(said.instance, said.run, plot(record, "png", dpi=80))
    try:
        links = Links.model_validate_json(store.read_file(root, "links.json")).links
    except NotFound:  # the run was lost, or somebody removed it
        return
    create_table_artifact([achieved(pipe) for pipe in links[:ROWS_LIMIT]], key=f"links-{key}",
                          description=f"What was asked of the links of {said.instance}, and what they did in run {said.run}")


def achieved(pipe: LinkOfRun) -> dict[str, str]:
    """One row: a pipe as the spec asks and as it was; late: actual minus planned departures, which is the error of the delay."""
    dropped = pipe.dropped_queue + pipe.dropped_red + pipe.dropped_loss + pipe.dropped_down
    late = [f"{value / 1000:.0f}" for value in (pipe.late_p50_ns, pipe.late_p99_ns) if value is not None]
    return {"link": pipe.lan, "node": f"{pipe.node} {pipe.direction}", **_values(pipe.requested),
            "achieved bandwidth": format_rate(pipe.achieved_bps) if pipe.achieved_bps else "never full",
            "late µs (p50, p99)": ", ".join(late), "frames in": str(pipe.in_frames), "frames out": str(pipe.out_frames),
            "dropped": str(dropped)}


def topology(name: str, spec: Spec, hosts: dict[str, str]) -> str:
    """Markdown: a Mermaid graph, and the nodes with their addresses and hosts."""
    edges = [f"  {_vertex('n', member.node)} --- {_vertex('l', lan.name)}"
             for lan in spec.lans if lan.kind == "lan" for member in lan.members]
    edges += [f"  {_vertex('n', lan.members[0].node)} -- {lan.name} --- {_vertex('n', lan.members[1].node)}"
              for lan in spec.lans if lan.kind == "link"]
    rows = [[node.name, node.kind, hosts.get(node.name, "–"),
             "<br>".join(f"{member.interface}: {', '.join(member.addresses)} ({lan.name})" for lan, member in spec.memberships(node.name))]
            for node in spec.nodes[:ROWS_LIMIT]]
    more = [f"… and {len(spec.nodes) - ROWS_LIMIT} more nodes"] if len(spec.nodes) > ROWS_LIMIT else []
    return "\n".join([f"# {name}", "", "```mermaid", "graph LR", *edges[:ROWS_LIMIT], "```", "",
                      *_table(("node", "kind", "host", "interfaces"), rows), *more])


def requested(lan: Lan) -> list[dict[str, str]]:
    """One row for each direction between the ends of a link; one for each member of a LAN, to and from it."""
    if lan.kind == "link":
        first, second = lan.members
        pairs = [(one.node, other.node, path(one.uplink, other.downlink)) for one, other in ((first, second), (second, first))]
    else:
        pairs = [(member.node, lan.name, member.uplink) for member in lan.members]
        pairs += [(lan.name, member.node, member.downlink) for member in lan.members]
    return [{"link": lan.name, "from": source, "to": target, **_values(shaping)} for source, target, shaping in pairs]


def _values(shaping: Shaping) -> dict[str, str]:
    bandwidth = format_rate(shaping.bandwidth_bps) if shaping.bandwidth_bps else "unlimited"
    queue = f"{shaping.queue.limit} {shaping.queue.unit} {shaping.queue.discipline}"
    return {"bandwidth": bandwidth, "delay": format_duration(shaping.delay_s), "loss": format_loss(shaping.loss), "queue": queue}


def _vertex(kind: str, name: str) -> str:
    """Mermaid takes some names for words of its own, so they are labels only."""
    return f'{kind}_{name.replace("-", "_").replace(".", "_")}["{name}"]'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
