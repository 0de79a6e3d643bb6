"""Application load balancers on real ports of this machine.

Ministack serves them by a host name under its own port, which no browser and no container resolves, takes
every target for healthy, and opens a thread and a connection for each request. Here each load balancer
listens on loopback and on Docker's bridge, in a thread of its own, and ``DescribeLoadBalancers`` gives that
address. Rules and actions stay ministack's. A port stands for the listener of HTTP with the lowest port;
there is no TLS, no stickiness and no WebSocket.
"""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import hypercorn.asyncio
from hypercorn.config import Config

from sandbox.aws import balancer_requests, target_health
from sandbox.aws.bridge import bridge_addresses
from sandbox.aws.forwarding import Body, Forwarder, Headers, Receive, Send, TargetError
from sandbox.aws.patching import module, replace, replace_operation
from sandbox.environment import port_is_free

logger = logging.getLogger("benchtop.aws")

PORTS = range(18000, 18900)
IDLE_S = 60.0
"""The load balancer's ``idle_timeout.timeout_seconds`` when nobody has set it."""
LISTEN_S = 10.0

_REASONS = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}
_SERVER = (b"server", b"awselb/2.0")


def port_of(name: str, taken: set[int], addresses: tuple[str, ...]) -> int:
    """A free port that depends on the load balancer's name: the same after ``destroy`` and ``up``."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(PORTS)
    for number in range(len(PORTS)):
        port = PORTS[(start + number) % len(PORTS)]
        if port not in taken and all(port_is_free(port, address) for address in addresses):
            return port
    raise OSError(f"no free port for a load balancer in {PORTS.start}-{PORTS.stop - 1}")


class Balancers:
    """All load balancers of this sandbox: their listeners, and the health of their targets."""

    def __init__(self) -> None:
        bridge = bridge_addresses()
        self.address = bridge[0] if bridge else "127.0.0.1"
        self.addresses = tuple(dict.fromkeys(("127.0.0.1", *bridge)))
        self.health = target_health.TargetHealth()
        self._forwarder = Forwarder()
        self._listening: dict[str, tuple[int, asyncio.Event, asyncio.Task[None]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()

    def dns_name(self, balancer: dict[str, Any]) -> str:
        return f"{self.address}:{balancer['LocalPort']}"

    def sync(self) -> None:
        """Listen for every load balancer that there is, and for no other; return when it is so."""
        with self._lock:
            balancers = dict(module("services.alb")._lbs._data)
            if self._loop is None and balancers:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="load-balancers", daemon=True).start()
                asyncio.run_coroutine_threadsafe(self.health.run(), self._loop)
            if self._loop is None:
                return
            taken = {balancer["LocalPort"] for balancer in balancers.values() if "LocalPort" in balancer}
            wanted: dict[str, int] = {}
            for key, balancer in balancers.items():
                if balancer.get("Type", "application") != "application":
                    continue
                arn, port = key[-1], balancer.get("LocalPort")
                if arn not in self._listening and (
                    port is None or not all(port_is_free(port, address) for address in self.addresses)
                ):
                    balancer["LocalPort"] = port_of(balancer["LoadBalancerName"], taken, self.addresses)
                    if port is not None:
                        logger.warning("load balancer %s moves from port %s, which is taken, to %s",
                                       balancer["LoadBalancerName"], port, balancer["LocalPort"])  # fmt: skip
                    taken.add(balancer["LocalPort"])
                wanted[arn] = balancer["LocalPort"]
            asyncio.run_coroutine_threadsafe(self._listen(wanted), self._loop).result(LISTEN_S)

    async def _listen(self, wanted: dict[str, int]) -> None:
        for arn in set(self._listening) - set(wanted):
            _port, stop, task = self._listening.pop(arn)
            stop.set()
            # Its port is free again when this returns.
            await asyncio.wait({task}, timeout=LISTEN_S / 2)
        for arn in set(wanted) - set(self._listening):
            config, stop = Config(), asyncio.Event()
            config.bind = [f"{address}:{wanted[arn]}" for address in self.addresses]
            config.include_server_header, config.include_date_header = False, True
            config.keep_alive_timeout = IDLE_S
            config.graceful_timeout = config.shutdown_timeout = 1
            config.backlog = 1024
            config.loglevel = "WARNING"
            application: Any = self._application(arn)
            serving = hypercorn.asyncio.serve(application, config, shutdown_trigger=stop.wait)
            self._listening[arn] = (wanted[arn], stop, asyncio.ensure_future(serving))
        while not all(map(_answers, [port for port, _stop, _task in self._listening.values()])):
            await asyncio.sleep(0.01)

    def _application(self, arn: str) -> Callable[..., Any]:
        async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": f"{message['type']}.complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            if scope["type"] != "http":
                raise RuntimeError("load balancers of the sandbox carry HTTP only")
            account, region = arn.split(":")[4], arn.split(":")[3]
            with module("core.responses").request_scope(account, region):
                try:
                    await self._serve(arn, scope, receive, send)
                except ConnectionResetError:
                    return  # the client is gone

        return application

    async def _serve(self, arn: str, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        alb, path = module("services.alb"), scope["raw_path"].decode("ascii", "replace")
        query = scope["query_string"].decode("ascii", "replace")
        known = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parameters = parse_qs(query, keep_blank_values=True)
        body = Body(receive, scope["headers"])
        listener, actions = _matching(arn, scope["method"], path, known, parameters)
        if listener is None:
            return await _refuse(send, 503)
        await body.read_ahead()
        # The address that the client used is, here, the load balancer's own.
        local = {**listener, "Port": self._listening[arn][0]}
        forwarded = alb._target_headers(arn, local, known, (scope.get("client") or ("127.0.0.1", 0))[0])
        group = _only_group(actions)
        if group is None:
            content = b"".join([part async for part in body.parts()])
            answer = await alb._execute_actions(
                actions, scope["method"], path, forwarded, content, parameters, local["Port"], lb_arn=arn,
                raw_query_string=query, raw_path=path,
            )  # fmt: skip
            return await _send_whole(send, *alb._with_alb_server(answer, listener["ListenerArn"]))
        idle_s = float(alb._lb_attr(arn, "idle_timeout.timeout_seconds", IDLE_S))
        target_path = scope["raw_path"] + (b"?" + scope["query_string"] if query else b"")
        headers = _request_headers(scope, forwarded)
        await self._to_target(group, scope["method"], target_path, headers, idle_s, body, send)

    async def _to_target(
        self, group: str, method: str, path: bytes, headers: Headers, idle_s: float, body: Body, send: Send
    ) -> None:  # fmt: skip
        healthy = self.health.healthy(group)
        turn = self._turns[group] = self._turns.get(group, -1) + 1
        for number in range(len(healthy)):
            target = healthy[(turn + number) % len(healthy)]
            try:
                return await self._forwarder.forward(target, method, path, headers, idle_s, body, send)
            except TargetError as error:
                logger.info("target %s:%s of %s: %s", *target, group.split("/")[1], error)
                if error.sent or not body.repeatable or number == len(healthy) - 1:
                    return await _refuse(send, error.status)
        return await _refuse(send, 503)


def _answers(port: int) -> bool:
    return not port_is_free(port)


def _matching(
    arn: str, method: str, path: str, headers: dict[str, str], parameters: dict[str, list[str]]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The listener that the port stands for (HTTP on 80, else the lowest port) and the rule's actions."""
    alb = module("services.alb")
    listeners = [found for found in alb._listeners.values() if found["LoadBalancerArn"] == arn]
    if not listeners:
        return None, []
    listener = min(listeners, key=lambda found: (found.get("Protocol") != "HTTP", found.get("Port", 80)))
    rules = [rule for rule in alb._rules.values() if rule.get("ListenerArn") == listener["ListenerArn"]]
    for rule in sorted(rules, key=alb._rule_sort_key):
        conditions = rule.get("Conditions", [])
        if rule.get("IsDefault") or all(
            alb._match_condition(condition, method, path, headers, parameters) for condition in conditions
        ):
            return listener, rule.get("Actions") or listener.get("DefaultActions", [])
    return listener, listener.get("DefaultActions", [])


def _only_group(actions: list[dict[str, Any]]) -> str | None:
    """The target group of addresses that a request goes to; None for anything else that a rule can say."""
    if len(actions) != 1 or str(actions[0].get("Type", "")).lower() != "forward":
        return None
    groups = (actions[0].get("ForwardConfig") or {}).get("TargetGroups") or [{}]
    arn = actions[0].get("TargetGroupArn") or groups[0].get("TargetGroupArn") or ""
    group = module("services.alb")._tgs.get(arn)
    return arn if group is not None and group.get("TargetType", "instance") != "lambda" else None


def _request_headers(scope: MutableMapping[str, Any], forwarded: dict[str, str]) -> Headers:
    """The client's headers as they came, repeated ones too, with those of the load balancer."""
    ours = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-amzn-trace-id")
    names = {name.encode() for name in ours}
    kept = [(name, value) for name, value in scope["headers"] if name not in names]
    return kept + [(name.encode(), forwarded[name].encode("latin-1")) for name in ours if name in forwarded]


async def _refuse(send: Send, status: int) -> None:
    title = f"{status} {_REASONS[status]}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    await _send_whole(send, status, {"content-type": "text/html", "server": "awselb/2.0"},
                      f"{page}</body>\r\n</html>\r\n".encode())  # fmt: skip


async def _send_whole(send: Send, status: int, headers: dict[str, Any], content: bytes) -> None:
    fields = [
        (name.lower().encode(), str(value).encode("latin-1"))
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    fields.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def listen_for_real(balancers: Balancers) -> None:
    """A load balancer's name is an address and a port on which it listens, kept with its state."""

    def change(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_listen(*arguments: Any) -> Any:
            answer = original(*arguments)
            balancers.sync()
            return answer

        return and_listen

    def describe(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_address(balancer: dict[str, Any]) -> Any:
            if "LocalPort" not in balancer:
                balancers.sync()
            if "LocalPort" not in balancer:
                return original(balancer)  # of another type
            return original({**balancer, "DNSName": balancers.dns_name(balancer)})

        return with_address

    replace("services.alb", "_lb_xml", describe)
    replace("services.alb", "load_persisted_state", change)
    replace_operation("services.alb", "CreateLoadBalancer", change)
    replace_operation("services.alb", "DeleteLoadBalancer", change)


def apply() -> None:
    """Make these adjustments, before the first request."""
    balancers = Balancers()
    balancer_requests.apply()
    listen_for_real(balancers)
    target_health.targets_are_checked(balancers.health)
    target_health.services_wait_for_targets(balancers.health)
