"""``aws:lb/*``: application load balancers."""

from sandbox.providers.aws.resources._lb_balancer import LOAD_BALANCER
from sandbox.providers.aws.resources._lb_listener import LISTENER, LISTENER_RULE
from sandbox.providers.aws.resources._lb_target_group import TARGET_GROUP

RESOURCES = (LOAD_BALANCER, TARGET_GROUP, LISTENER, LISTENER_RULE)
