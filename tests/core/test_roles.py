"""Roles add up, from the viewer to the admin."""

from jobs_app.core.roles import Role


def test_a_role_includes_itself_and_those_before_it() -> None:
    included = {role: [other for other in Role if role.includes(other)] for role in Role}

    assert included == {
        Role.VIEWER: [Role.VIEWER],
        Role.OPERATOR: [Role.VIEWER, Role.OPERATOR],
        Role.EDITOR: [Role.VIEWER, Role.OPERATOR, Role.EDITOR],
        Role.ADMIN: list(Role),
    }
