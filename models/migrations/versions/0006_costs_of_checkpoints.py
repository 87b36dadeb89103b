"""What a checkpoint cost: how long its instance stood still, and what each part of it took to store."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("checkpoint") as batch_op:
        batch_op.add_column(sa.Column("costs", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False, server_default="{}"))


def downgrade() -> None:
    with op.batch_alter_table("checkpoint") as batch_op:
        batch_op.drop_column("costs")
