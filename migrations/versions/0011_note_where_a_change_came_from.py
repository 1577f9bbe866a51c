"""Note the token and the address behind each event of the audit, and revoked tokens.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without defaults: on PostgreSQL this rewrites no row, and the locks are a moment's.
    op.add_column("audit_events", sa.Column("token_id", sa.Integer(), nullable=True))
    op.add_column("audit_events", sa.Column("remote_address", sa.String(64), nullable=True))
    op.add_column("tokens", sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    # An older version knows no revoked tokens: it would accept them again.
    op.execute("DELETE FROM tokens WHERE revoked_at IS NOT NULL")
    op.drop_column("tokens", "revoked_at")
    op.drop_column("audit_events", "remote_address")
    op.drop_column("audit_events", "token_id")
