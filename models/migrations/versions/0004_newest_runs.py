"""The newest runs first, without sorting all of them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_run_created_at", "run", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_run_created_at", "run")
