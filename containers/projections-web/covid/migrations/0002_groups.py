"""The three groups: which compute a user's runs go to. Without a group it is Fargate."""

from typing import Any

from django.db import migrations

NAMES = ("Fargate", "Fargate Spot", "Onboard")


def make(apps: Any, schema_editor: Any) -> None:
    groups = apps.get_model("auth", "Group")
    for name in NAMES:
        groups.objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = (("covid", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length"))
    operations = (migrations.RunPython(make, migrations.RunPython.noop),)
