"""All tables but the storage catalog's."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LIVING = sa.text("ended_at IS NULL")
LIVING_ROOT = sa.text("number = 1 AND expunged_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "host",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("python", sa.String(), nullable=True),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=True),
        sa.Column("cpus", sa.Float(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host")),
        sa.UniqueConstraint("name", name=op.f("uq_host_name")),
    )
    op.create_table(
        "lease",
        sa.Column("subject", sa.String(24), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("expires_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "subject_id", name=op.f("pk_lease")),
    )
    op.create_table(
        "metadata",
        sa.Column("subject", sa.String(24), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "subject_id", "key", name=op.f("pk_metadata")),
    )
    with op.batch_alter_table("metadata", schema=None) as batch_op:
        batch_op.create_index("ix_metadata_key_value", ["key", "value"], unique=False)

    op.create_table(
        "metadata_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("subject", sa.String(24), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metadata_change")),
    )
    with op.batch_alter_table("metadata_change", schema=None) as batch_op:
        batch_op.create_index("ix_metadata_change_subject", ["subject", "subject_id"], unique=False)

    op.create_table(
        "project",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_table(
        "spec",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_spec_project_id_project")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spec")),
        sa.UniqueConstraint("project_id", "digest", name=op.f("uq_spec_project_id_digest")),
    )
    op.create_table(
        "template",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("root_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("source_name", sa.String(), nullable=False),
        sa.Column("datastore", sa.String(), nullable=True),
        sa.Column("externals", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("parameters", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("imported_from", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expunged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["template.id"], name=op.f("fk_template_parent_id_template")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_template_project_id_project")),
        sa.ForeignKeyConstraint(["root_id"], ["template.id"], name=op.f("fk_template_root_id_template")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template")),
        sa.UniqueConstraint("project_id", "digest", name=op.f("uq_template_project_id_digest")),
        sa.UniqueConstraint("root_id", "number", name=op.f("uq_template_root_id_number")),
    )
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_template_digest"), ["digest"], unique=False)
        batch_op.create_index(batch_op.f("ix_template_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_template_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_template_project_id"), ["project_id"], unique=False)
        batch_op.create_index(
            "uq_template_root_name", ["project_id", "name"], unique=True, sqlite_where=LIVING_ROOT, postgresql_where=LIVING_ROOT
        )

    op.create_table(
        "instance",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("spec_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("parameters", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("start_run", sa.Boolean(), nullable=False),
        sa.Column("datastore_directory", sa.String(), nullable=True),
        sa.Column("replay_of_id", sa.String(), nullable=True),
        sa.Column("forked_from_id", sa.String(), nullable=True),
        sa.Column("checkpoint_id", sa.String(), nullable=True),
        sa.Column("home_id", sa.String(), nullable=True),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("virtual_ns", sa.BigInteger(), nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expunged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_instance_project_id_project")),
        sa.ForeignKeyConstraint(["home_id"], ["host.id"], name=op.f("fk_instance_home_id_host")),
        sa.ForeignKeyConstraint(["spec_id"], ["spec.id"], name=op.f("fk_instance_spec_id_spec")),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_instance_template_id_template")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_instance_forked_from_id"), ["forked_from_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_replay_of_id"), ["replay_of_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_instance_template_id"), ["template_id"], unique=False)
        batch_op.create_index(
            "uq_instance_living_name",
            ["project_id", "name"],
            unique=True,
            sqlite_where=LIVING,
            postgresql_where=LIVING,
        )

    op.create_table(
        "outbox_message",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("content", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("flow", sa.String(), nullable=True),
        sa.Column("ids", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_outbox_message_instance_id_instance")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_outbox_message_host_id_host")),
        sa.PrimaryKeyConstraint("instance_id", "host_id", "number", name=op.f("pk_outbox_message")),
    )
    with op.batch_alter_table("outbox_message", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_outbox_message_state"), ["state"], unique=False)

    op.create_table(
        "placement",
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_placement_host_id_host")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_placement_instance_id_instance")),
        sa.PrimaryKeyConstraint("instance_id", "node", name=op.f("pk_placement")),
    )
    with op.batch_alter_table("placement", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_placement_host_id"), ["host_id"], unique=False)

    op.create_table(
        "recording",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("begin_ns", sa.BigInteger(), nullable=False),
        sa.Column("skipped_ns", sa.BigInteger(), nullable=False),
        sa.Column("paused_ns", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_recording_instance_id_instance")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recording")),
    )
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recording_instance_id"), ["instance_id"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("template_id", sa.String(), nullable=False),
        sa.Column("spec_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("outcome", sa.String(24), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("parameters", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("environment_of_run", sa.String(), nullable=False),
        sa.Column("inputs", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("begin_ns", sa.BigInteger(), nullable=True),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("events_collected", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expunged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_run_instance_id_instance")),
        sa.ForeignKeyConstraint(["spec_id"], ["spec.id"], name=op.f("fk_run_spec_id_spec")),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_run_template_id_template")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("instance_id", "number", name=op.f("uq_run_instance_id_number")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_instance_id"), ["instance_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_outcome"), ["outcome"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_template_id"), ["template_id"], unique=False)

    op.create_table(
        "activity_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.BigInteger(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("arguments", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("planned_ns", sa.BigInteger(), nullable=True),
        sa.Column("actual_ns", sa.BigInteger(), nullable=False),
        sa.Column("run_ns", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome_code", sa.Integer(), nullable=True),
        sa.Column("outcome_error", sa.String(), nullable=True),
        sa.Column("detail", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_activity_event_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activity_event")),
        sa.UniqueConstraint("run_id", "number", name=op.f("uq_activity_event_run_id_number")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("instance_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("spec_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=True),
        sa.Column("virtual_ns", sa.BigInteger(), nullable=True),
        sa.Column("incarnation", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("requirements", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("hashed_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sent_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("durable_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expunged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_checkpoint_instance_id_instance")),
        sa.ForeignKeyConstraint(["parent_id"], ["checkpoint.id"], name=op.f("fk_checkpoint_parent_id_checkpoint")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_checkpoint_project_id_project")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_checkpoint_run_id_run")),
        sa.ForeignKeyConstraint(["spec_id"], ["spec.id"], name=op.f("fk_checkpoint_spec_id_spec")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint")),
    )
    with op.batch_alter_table("checkpoint", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_checkpoint_instance_id"), ["instance_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_checkpoint_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_checkpoint_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_checkpoint_root"), ["root"], unique=False)

    op.create_table(
        "record",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("amends_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("root", sa.String(), nullable=True),
        sa.Column("summary", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("rules", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("window_closes_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("imported_from", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finalized_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expunged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["amends_id"], ["record.id"], name=op.f("fk_record_amends_id_record")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_record_project_id_project")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_record_run_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record")),
        sa.UniqueConstraint("run_id", "revision", name=op.f("uq_record_run_id_revision")),
    )
    with op.batch_alter_table("record", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_record_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_record_root"), ["root"], unique=False)
        batch_op.create_index(batch_op.f("ix_record_state"), ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_record_window_closes_at"), ["window_closes_at"], unique=False)

    op.create_table(
        "recording_event",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("offset_ns", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("arguments", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.ForeignKeyConstraint(["recording_id"], ["recording.id"], name=op.f("fk_recording_event_recording_id_recording")),
        sa.PrimaryKeyConstraint("recording_id", "position", name=op.f("pk_recording_event")),
    )
    op.create_table(
        "checkpoint_part",
        sa.Column("checkpoint_id", sa.String(), nullable=False),
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("host_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("manifest", sa.String(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoint.id"], name=op.f("fk_checkpoint_part_checkpoint_id_checkpoint")),
        sa.ForeignKeyConstraint(["host_id"], ["host.id"], name=op.f("fk_checkpoint_part_host_id_host")),
        sa.PrimaryKeyConstraint("checkpoint_id", "part", name=op.f("pk_checkpoint_part")),
    )
    with op.batch_alter_table("checkpoint_part", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_checkpoint_part_host_id"), ["host_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("checkpoint_part", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_checkpoint_part_host_id"))

    op.drop_table("checkpoint_part")
    op.drop_table("recording_event")
    with op.batch_alter_table("record", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_record_window_closes_at"))
        batch_op.drop_index(batch_op.f("ix_record_state"))
        batch_op.drop_index(batch_op.f("ix_record_root"))
        batch_op.drop_index(batch_op.f("ix_record_project_id"))

    op.drop_table("record")
    with op.batch_alter_table("checkpoint", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_checkpoint_root"))
        batch_op.drop_index(batch_op.f("ix_checkpoint_project_id"))
        batch_op.drop_index(batch_op.f("ix_checkpoint_parent_id"))
        batch_op.drop_index(batch_op.f("ix_checkpoint_instance_id"))

    op.drop_table("checkpoint")
    op.drop_table("activity_event")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_template_id"))
        batch_op.drop_index(batch_op.f("ix_run_state"))
        batch_op.drop_index(batch_op.f("ix_run_outcome"))
        batch_op.drop_index(batch_op.f("ix_run_instance_id"))

    op.drop_table("run")
    with op.batch_alter_table("recording", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recording_instance_id"))

    op.drop_table("recording")
    with op.batch_alter_table("placement", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_placement_host_id"))

    op.drop_table("placement")
    with op.batch_alter_table("outbox_message", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_outbox_message_state"))

    op.drop_table("outbox_message")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_index("uq_instance_living_name", sqlite_where=LIVING, postgresql_where=LIVING)
        batch_op.drop_index(batch_op.f("ix_instance_template_id"))
        batch_op.drop_index(batch_op.f("ix_instance_state"))
        batch_op.drop_index(batch_op.f("ix_instance_replay_of_id"))
        batch_op.drop_index(batch_op.f("ix_instance_project_id"))
        batch_op.drop_index(batch_op.f("ix_instance_name"))
        batch_op.drop_index(batch_op.f("ix_instance_forked_from_id"))

    op.drop_table("instance")
    with op.batch_alter_table("template", schema=None) as batch_op:
        batch_op.drop_index("uq_template_root_name", sqlite_where=LIVING_ROOT, postgresql_where=LIVING_ROOT)
        batch_op.drop_index(batch_op.f("ix_template_project_id"))
        batch_op.drop_index(batch_op.f("ix_template_parent_id"))
        batch_op.drop_index(batch_op.f("ix_template_name"))
        batch_op.drop_index(batch_op.f("ix_template_digest"))

    op.drop_table("template")
    op.drop_table("spec")
    op.drop_table("project")
    with op.batch_alter_table("metadata_change", schema=None) as batch_op:
        batch_op.drop_index("ix_metadata_change_subject")

    op.drop_table("metadata_change")
    with op.batch_alter_table("metadata", schema=None) as batch_op:
        batch_op.drop_index("ix_metadata_key_value")

    op.drop_table("metadata")
    op.drop_table("lease")
    op.drop_table("host")
