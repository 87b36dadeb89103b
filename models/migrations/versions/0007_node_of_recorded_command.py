"""Where a recorded command was run by hand: the template that replays it needs an agent there."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("recording_event") as batch_op:
        batch_op.add_column(sa.Column("node", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("recording_event") as batch_op:
        batch_op.drop_column("node")
