"""``aws:rds/*``: PostgreSQL servers."""

from sandbox.providers.aws.resources._rds_groups import PARAMETER_GROUP, SUBNET_GROUP
from sandbox.providers.aws.resources._rds_instance import INSTANCE

RESOURCES = (INSTANCE, SUBNET_GROUP, PARAMETER_GROUP)
