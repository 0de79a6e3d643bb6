"""Cases of the light aws provider's networks, load balancers and databases; see ``aws_provider_cases``."""

from collections.abc import Callable, Mapping

from tests.sandbox.aws_provider_support import REGION, Cloud, Values, resource_policy

Inputs = Callable[[Cloud], Values]

TAGS = {"tags": {"team": "planners", "stage": "test"}}
OPEN = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}
CERTIFICATE = f"arn:aws:acm:{REGION}:000000000000:certificate/00000000-0000-0000-0000-000000000000"
HTTPS = {"protocol": "tcp", "fromPort": 443, "toPort": 443}

NETWORK_CASES: Mapping[str, tuple[Inputs, Inputs | None, str]] = {
    "aws:ec2/vpc:Vpc": (
        lambda c: {"cidrBlock": "10.9.0.0/16", "enableDnsHostnames": True, **TAGS},
        lambda c: {"enableDnsHostnames": False, "enableDnsSupport": False, "tags": {"team": "roads"}},
        "{id}",
    ),
    "aws:ec2/subnet:Subnet": (
        lambda c: {
            "vpcId": c.vpc.id,
            "cidrBlock": "10.8.9.0/24",
            "availabilityZone": "ca-central-1b",
            "mapPublicIpOnLaunch": True,
            **TAGS,
        },
        lambda c: {
            "mapPublicIpOnLaunch": False,
            "privateDnsHostnameTypeOnLaunch": "resource-name",
            "enableResourceNameDnsARecordOnLaunch": True,
            "tags": {},
        },
        "{id}",
    ),
    "aws:ec2/internetGateway:InternetGateway": (
        lambda c: {"vpcId": c.spare_vpcs[0].id, **TAGS},
        lambda c: {"vpcId": c.spare_vpcs[1].id, "tags": {"stage": "test"}},
        "{id}",
    ),
    "aws:ec2/routeTable:RouteTable": (
        lambda c: {
            "vpcId": c.vpc.id,
            "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": c.gateway.id}],
            **TAGS,
        },
        lambda c: {
            "routes": [
                {"cidrBlock": "192.168.0.0/16", "gatewayId": c.gateway.id},
                {"cidrBlock": "0.0.0.0/0", "natGatewayId": "nat-00000000000000001"},
            ]
        },
        "{id}",
    ),
    "aws:ec2/route:Route": (
        lambda c: {
            "routeTableId": c.route_table.id,
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": c.gateway.id,
        },
        lambda c: {"gatewayId": None, "natGatewayId": "nat-00000000000000001"},
        "{routeTableId}_{destinationCidrBlock}",
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": (
        lambda c: {"subnetId": c.subnets[0].id, "routeTableId": c.route_table.id},
        lambda c: {"routeTableId": c.vpc["mainRouteTableId"]},
        "{subnetId}/{routeTableId}",
    ),
    "aws:ec2/securityGroup:SecurityGroup": (
        lambda c: {
            "vpcId": c.vpc.id,
            "description": "tasks",
            "ingress": [
                {**HTTPS, "cidrBlocks": ["10.8.0.0/16", "10.7.0.0/16"], "self": True},
                {**HTTPS, "securityGroups": [c.group.id], "description": "from the balancer"},
            ],
            "egress": [OPEN],
            **TAGS,
        },
        lambda c: {
            "ingress": [{**HTTPS, "protocol": "TCP", "cidrBlocks": ["10.7.0.0/16"], "description": "one"}],
            "egress": [],
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": (
        lambda c: {
            "securityGroupId": c.group.id,
            "ipProtocol": "tcp",
            "fromPort": 80,
            "toPort": 80,
            "cidrIpv4": "10.0.0.0/8",
            **TAGS,
        },
        lambda c: {"toPort": 81, "cidrIpv4": "10.1.0.0/16", "description": "plain", "tags": {"x": "y"}},
        "{id}",
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": (
        lambda c: {
            "securityGroupId": c.group.id,
            "ipProtocol": "-1",
            "referencedSecurityGroupId": c.group.id,
            "description": "each other",
        },
        lambda c: {"description": "one another", "ipProtocol": "udp", "fromPort": 53, "toPort": 53},
        "{id}",
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": (
        lambda c: {
            "vpcId": c.vpc.id,
            "serviceName": f"com.amazonaws.{REGION}.s3",
            "vpcEndpointType": "Gateway",
            "routeTableIds": [c.route_table.id],
            **TAGS,
        },
        lambda c: {
            "routeTableIds": [c.vpc["mainRouteTableId"]],
            "policy": resource_policy(c, "s3:GetObject", f"arn:aws:s3:::{c.bucket.id}/*"),
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:lb/loadBalancer:LoadBalancer": (
        lambda c: {
            "subnets": [subnet.id for subnet in c.subnets],
            "securityGroups": [c.group.id],
            "internal": True,
            "dropInvalidHeaderFields": True,
            "accessLogs": {"bucket": c.bucket.id, "prefix": "web", "enabled": True},
            **TAGS,
        },
        lambda c: {
            "idleTimeout": 120,
            "dropInvalidHeaderFields": False,
            "accessLogs": None,
            "securityGroups": [c.group.id, c.vpc["defaultSecurityGroupId"]],
            "subnets": [c.subnets[1].id, c.subnets[0].id, c.third_subnet.id],
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:lb/targetGroup:TargetGroup": (
        lambda c: {
            "port": 8000,
            "protocol": "HTTP",
            "vpcId": c.vpc.id,
            "targetType": "ip",
            "deregistrationDelay": 10,
            "healthCheck": {"path": "/health", "interval": 10, "timeout": 5, "matcher": "200-299"},
            **TAGS,
        },
        lambda c: {
            "deregistrationDelay": None,
            "healthCheck": {"path": "/health", "unhealthyThreshold": 4},
            "stickiness": {"type": "lb_cookie", "cookieDuration": 600},
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:lb/listener:Listener": (
        lambda c: {
            "loadBalancerArn": c.balancer.id,
            "port": 443,
            "protocol": "HTTPS",
            "certificateArn": CERTIFICATE,
            "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
            "defaultActions": [{"type": "forward", "targetGroupArn": c.target_group.id}],
            **TAGS,
        },
        lambda c: {
            "port": 80,
            "protocol": "HTTP",
            "certificateArn": None,
            "sslPolicy": None,
            "defaultActions": [
                {
                    "type": "redirect",
                    "redirect": {"port": "443", "protocol": "HTTPS", "statusCode": "HTTP_301"},
                }
            ],
            "routingHttpResponseStrictTransportSecurityHeaderValue": "max-age=300",
        },
        "{id}",
    ),
    "aws:lb/listenerRule:ListenerRule": (
        lambda c: {
            "listenerArn": c.listener.id,
            "conditions": [
                {"pathPattern": {"values": ["/covid/*", "/users/*"]}},
                {"httpHeader": {"httpHeaderName": "Accept", "values": ["text/html"]}},
            ],
            "actions": [{"type": "forward", "targetGroupArn": c.target_group.id}],
            **TAGS,
        },
        lambda c: {
            "priority": 40,
            "conditions": [{"hostHeader": {"values": ["a.example", "*.b.example"]}}],
            "actions": [
                {
                    "type": "fixed-response",
                    "fixedResponse": {
                        "contentType": "text/plain",
                        "messageBody": "gone",
                        "statusCode": "410",
                    },
                }
            ],
            "tags": {},
        },
        "{id}",
    ),
    "aws:rds/subnetGroup:SubnetGroup": (
        lambda c: {"subnetIds": [subnet.id for subnet in c.subnets], **TAGS},
        lambda c: {
            "subnetIds": [c.subnets[1].id, c.third_subnet.id],
            "description": "of the databases",
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:rds/parameterGroup:ParameterGroup": (
        lambda c: {
            "family": "postgres17",
            "parameters": [
                {"name": "log_min_duration_statement", "value": "1000"},
                {"name": "max_connections", "value": "50", "applyMethod": "pending-reboot"},
            ],
            **TAGS,
        },
        lambda c: {
            "parameters": [
                {"name": "log_min_duration_statement", "value": "500", "applyMethod": "immediate"}
            ],
            "tags": {},
        },
        "{id}",
    ),
    "aws:rds/instance:Instance": (
        lambda c: {
            "engine": "postgres",
            "engineVersion": "17",
            "instanceClass": "db.t4g.micro",
            "allocatedStorage": 20,
            "storageType": "gp3",
            "storageEncrypted": True,
            "dbName": "projections",
            "username": "site",
            "password": "correct-horse-battery",
            "dbSubnetGroupName": c.subnet_group.id,
            "vpcSecurityGroupIds": [c.group.id],
            "backupRetentionPeriod": 7,
            "skipFinalSnapshot": True,
            "performanceInsightsEnabled": True,
            "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
            **TAGS,
        },
        lambda c: {
            "allocatedStorage": 30,
            "maxAllocatedStorage": 100,
            "instanceClass": "db.t4g.small",
            "password": "another-horse-battery",
            "vpcSecurityGroupIds": [c.vpc["defaultSecurityGroupId"]],
            "parameterGroupName": c.parameter_group.id,
            "copyTagsToSnapshot": True,
            "autoMinorVersionUpgrade": False,
            "performanceInsightsEnabled": False,
            "enabledCloudwatchLogsExports": ["postgresql"],
            "applyImmediately": True,
            "tags": {"team": "roads"},
        },
        "{identifier}",
    ),
}
