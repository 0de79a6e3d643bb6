"""``aws:ec2/*``: networks."""

from sandbox.providers.aws.resources._ec2_endpoints import VPC_ENDPOINT
from sandbox.providers.aws.resources._ec2_groups import SECURITY_GROUP
from sandbox.providers.aws.resources._ec2_network import INTERNET_GATEWAY, SUBNET, VPC
from sandbox.providers.aws.resources._ec2_routes import ROUTE, ROUTE_TABLE, ROUTE_TABLE_ASSOCIATION

RESOURCES = (
    VPC,
    SUBNET,
    INTERNET_GATEWAY,
    ROUTE_TABLE,
    ROUTE,
    ROUTE_TABLE_ASSOCIATION,
    SECURITY_GROUP,
    VPC_ENDPOINT,
)
