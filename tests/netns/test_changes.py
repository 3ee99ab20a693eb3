# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a state does not matter: options changed on a live host, objects made one by one, all in one task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import lab
import neighbours

Options = Dict[str, Any]

PORTS = ["8080:80", "127.0.0.1:8081:81", "80/udp"]
ENDPOINTS = ("web", "cli", "other")
OPTIONS: List[Options] = [
    {"icc": False},
    {"ip_masq": False},
    {"internal": True},
    {"gateway_mode_ipv4": "routed"},
    {"gateway_mode_ipv4": "nat-unprotected"},
    {"host_ipv4": "192.0.2.1"},
    {"trusted_host_interfaces": ["eth0", "eth7"]},
    {"allow_direct_routing": True},
    {"bridge_accept_fwmark": "0x1/0xff"},
    {"userland_proxy": True},
    {"iptables": False},
    {"clamp_mss": True},
    {"mtu": "1400"},
    {"bip": "10.5.0.1/24"},
    {"ipv6": True, "bip6": "fd00:17::1/64"},
    {"ipv6": True, "bip6": "fd00:17::1/64", "gateway_mode_ipv6": "routed"},
]
IDS = [",".join(f"{name}={value}" for name, value in options.items() if name != "bip6") for options in OPTIONS]


def task(**options: Any) -> Options:
    """Two networks, endpoints with and without ports; ``options`` are docker0's."""
    return {
        "ip_forward": {"ipv6": True},  # else what a bridge switched on would stay on
        "bridges": [{"name": "docker0", **options}, {"name": "br-n1", "bip": "10.10.0.1/24"}],
        "endpoints": [
            {"name": "web", "published_ports": PORTS},
            {"name": "cli"},
            {"name": "other", "bridge": "br-n1", "published_ports": ["8082:80"]},
        ],
    }


def shape(host: lab.Host) -> Dict[str, str]:
    """What the host and its endpoints have, without chance and without the order of independent rules."""
    parts = {family: neighbours.settled(host.save(family)) for family in ("ip", "ip6")}
    parts["ports"] = host.sh("bridge -d link")
    parts["settings"] = host.sh("grep -s . /proc/sys/net/ipv4/conf/docker0/route_localnet || true")
    for name in ENDPOINTS:
        parts[f"{name} link"] = lab.sh(name, "ip -o link show eth0")
        for show in ("addr", "route", "-6 route"):
            parts[f"{name} {show}"] = lab.sh(name, f"ip {show}")
        parts[f"{name} hosts"] = Path("/etc/netns", name, "hosts").read_text(encoding="utf-8")
    parts["links"] = host.sh("ip -o link show docker0; ip addr show docker0")
    return {name: _lines(text) for name, text in parts.items()}


def _lines(text: str) -> str:
    text = re.sub(
        r"state \S+|(?<=<)\S+(?=>)|@if\d+|^\d+: |\btentative\b|valid_lft.*|proto kernel_ll |mcast_n_groups \d+|"
        r"link-netns\S* \S+",
        "",
        text,
        flags=re.M,
    )
    return "\n".join(sorted(line.strip() for line in text.splitlines() if "fe80" not in line))


def direct(**options: Any) -> Dict[str, str]:
    """The shape of a host on which all was made in one task."""
    host = lab.new_host()
    host.run("host_network", **task(**options))
    result = shape(host)
    lab.clear()
    return result


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
def test_option_of_a_live_bridge(isolated: None, options: Options) -> None:
    """There: as if it had been so from the start. And back, but for an MTU, which stays until another is given."""
    there, home = direct(**options), direct()
    host = lab.new_host()
    host.run("host_network", **task())
    assert host.run("host_network", **task(**options))["changed"]
    assert not lab.difference(there, shape(host))
    assert not host.run("host_network", **task(**options))["changed"]
    host.run("host_network", **task(**({"mtu": "1500"} if "mtu" in options else {"bip": "172.17.0.1/16"})))
    assert not lab.difference(home, shape(host))


# What of an option does not lie in the bridge and its rules: the endpoints' own routes, addresses and MTU.
NEEDS_ENDPOINTS = ("internal", "mtu", "bip", "ipv6")


@pytest.mark.parametrize(
    "options",
    [options for options in OPTIONS if not set(options) & set(NEEDS_ENDPOINTS)],
    ids=[name for name, options in zip(IDS, OPTIONS) if not set(options) & set(NEEDS_ENDPOINTS)],
)
def test_docker_bridge_alone_brings_the_rules(host: lab.Host, options: Options) -> None:
    """The endpoints' rules change with their bridge's policy, also those of endpoints that publish nothing."""
    host.run("host_network", **task())
    host.run("docker_bridge", name="docker0", **options)
    assert host.run("host_network", check=True, **task(**options))["changes"] == []


def test_docker_bridge_alone_says_whom_it_leaves_behind(host: lab.Host) -> None:
    """An endpoint's address is its own task's business; that the bridge leaves its subnet is said."""
    host.run("host_network", **task())
    told = lab.warnings(host.run("docker_bridge", name="docker0", bip="10.5.0.1/24", check=True))
    assert told == [
        "bridge docker0: endpoints keep addresses of 172.17.0.0/16 and are cut off: cli, web; name them in "
        "host_network or veth_endpoint to give them new ones"
    ]
    assert lab.warnings(host.run("docker_bridge", name="docker0", bip="10.5.0.1/24")) == told
    assert "warnings" not in host.run("host_network", **task(bip="10.5.0.1/24"))
    assert "warnings" not in host.run("docker_bridge", name="docker0", bip="10.5.0.1/24")


@pytest.mark.parametrize("options", [{"gateway_mode_ipv4": "nat-unprotected"}, {"internal": True}, {"iptables": False}])
def test_guards_come_back_with_the_bridge(host: lab.Host, options: Options) -> None:
    """A bridge that was open and is closed again closes all its endpoints, at once."""
    host.run("host_network", **task())
    guards = [line for line in host.save().splitlines() if "-j DROP" in line and line.startswith("-A PREROUTING -d 1")]
    host.run("docker_bridge", name="docker0", **options)
    assert not [line for line in host.save().splitlines() if "-A PREROUTING -d 172.17.0.3/32" in line]
    host.run("docker_bridge", name="docker0")
    rules = host.save().splitlines()
    assert [guard for guard in guards if guard not in rules and "127.0.0.1" not in guard] == []


# These two say nothing of the bridge itself but of each endpoint's guard: a bridge without endpoints cannot show them.
ON_ENDPOINTS = ("trusted_host_interfaces", "allow_direct_routing")


@pytest.mark.parametrize("option", ON_ENDPOINTS)
def test_options_that_show_on_endpoints(host: lab.Host, option: str) -> None:
    """The first endpoint is closed, which is safe, until the bridge is named again; those that follow it are not."""
    bridge = {"name": "docker0", option: {"trusted_host_interfaces": ["eth7"], "allow_direct_routing": True}[option]}
    host.run("docker_bridge", **bridge)
    host.run("veth_endpoint", name="web")
    guard = "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"
    assert [line for line in host.save().splitlines() if "172.17.0.2/32" in line] == [guard]
    host.run("port_publish", endpoint="web", published_ports=["8080:80"])
    host.run("docker_bridge", **bridge)
    host.run("veth_endpoint", name="next")
    rules = host.save()
    whole = {"bridges": [bridge], "endpoints": [{"name": "web"}, {"name": "next"}]}
    assert not host.run("host_network", check=True, **whole)["changed"]
    assert ("172.17.0.3/32 -i eth7" in rules) == (guard in rules) == (option == "trusted_host_interfaces")


FROM_THE_HOST = [options for options in OPTIONS if not set(options) & set(ON_ENDPOINTS)]


@pytest.mark.parametrize(
    "options", FROM_THE_HOST, ids=[name for name, options in zip(IDS, OPTIONS) if options in FROM_THE_HOST]
)
def test_one_by_one(isolated: None, options: Options) -> None:
    """veth_endpoint and port_publish find the bridge's policy in what is on the host: no option is said again."""
    wanted = direct(**options)
    host = lab.new_host()
    host.run("ip_forward", ipv6=True)
    for bridge in task(**options)["bridges"]:
        host.run("docker_bridge", **bridge)
    for item in task()["endpoints"]:
        ports = item.pop("published_ports", [])
        host.run("veth_endpoint", **item)
        if ports:
            host.run("port_publish", endpoint=item["name"], published_ports=ports)
        assert not host.run("veth_endpoint", **item)["changed"]
    assert not lab.difference(wanted, shape(host))
    assert host.run("host_network", check=True, **task(**options))["changes"] == []


def test_bridges_do_not_touch_one_another(each_host: lab.Host) -> None:
    """Each of three networks comes and goes, and the rules of the others stay as they are, in their places."""
    host = each_host
    host.run("host_network", **task())
    before = host.save()
    extra = {"name": "br-n2", "bip": "10.20.0.1/24", "internal": True, "icc": False}
    host.run("host_network", bridges=[extra], endpoints=[{"name": "third", "bridge": "br-n2"}])
    assert [line for line in host.save().splitlines() if "br-n2" not in line and "10.20." not in line] == (
        before.splitlines()
    )
    gone = {"bridges": [{**extra, "state": "absent"}], "endpoints": [{"name": "third", "bridge": "br-n2"}]}
    gone["endpoints"][0]["state"] = "absent"
    host.run("host_network", **gone)
    assert host.save() == before


def test_endpoint_moves_to_another_bridge(host: lab.Host) -> None:
    """It takes an address there; what it published at the old one is published at the new one."""
    host.run("host_network", **task())
    ports = ["8080:80", "127.0.0.1:8081:81"]
    given = {"endpoints": [{"name": "web", "bridge": "br-n1", "published_ports": ports}]}
    host.run("host_network", **given)
    assert not host.run("host_network", **given)["changed"]
    assert "10.10.0.3/24" in lab.sh("web", "ip addr show eth0")
    assert "default via 10.10.0.1" in lab.sh("web", "ip route")
    assert "172.17.0.2" not in host.save() + lab.sh("web", "ip addr")
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"


def test_ports_follow_the_gateway_network(host: lab.Host) -> None:
    """An endpoint that is put on a second network, first by name: its ports and its default route are there now."""
    nets = [{"name": "zz", "bip": "10.2.0.1/24"}, {"name": "aa", "bip": "10.1.0.1/24"}]
    host.run("host_network", ip_forward={}, bridges=nets, endpoints=[{"name": "web", "bridge": "zz"}])
    host.run("port_publish", endpoint="web", published_ports=["8080:80"])
    host.run("veth_endpoint", name="web-aa", netns="web", bridge="aa", interface="eth1")
    assert "default via 10.1.0.1 dev eth1" in lab.sh("web", "ip route")
    assert "--dport 8080 -j DNAT --to-destination 10.1.0.2:80" in host.save()
    assert "10.2.0.2:80" not in host.save()
    assert not host.run("port_publish", endpoint="web", published_ports=["8080:80"])["changed"]
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    host.run("veth_endpoint", name="web-aa", netns="web", bridge="aa", interface="eth1", state="absent")
    assert "eth1" not in lab.sh("web", "ip link")


def test_network_modes(host: lab.Host) -> None:
    """none: lo alone. host: nothing to make. container: the same namespace and files under a second name."""
    host.run("docker_bridge")
    modes = [
        {"name": "web", "published_ports": ["8080:80"]},
        {"name": "alone", "network_mode": "none"},
        {"name": "all", "network_mode": "host"},
        {"name": "side", "network_mode": "container:web"},
    ]
    result = host.run("host_network", ip_forward={}, endpoints=modes)
    assert not host.run("host_network", endpoints=modes)["changed"]
    assert [item.get("network_mode", "bridge") for item in result["endpoints"]] == [
        "bridge",
        "none",
        "host",
        "container:web",
    ]
    assert lab.sh("alone", "ip -br link").split()[0] == "lo" and "eth0" not in lab.sh("alone", "ip -br link")
    assert Path("/run/netns/side").stat().st_ino == Path("/run/netns/web").stat().st_ino
    for name in ("hosts", "hostname", "resolv.conf"):
        assert Path("/etc/netns/side", name).read_text() == Path("/etc/netns/web", name).read_text()
    assert not Path("/run/netns/all").exists()
    with lab.serve("side", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    gone = [
        {"name": item["name"], "network_mode": item.get("network_mode", "bridge"), "state": "absent"} for item in modes
    ]
    host.run("veth_endpoint", endpoints=gone[:2])
    assert Path("/run/netns/side").exists(), "the shared namespace lives on under its second name"
    host.run("veth_endpoint", endpoints=gone[2:])
    assert sorted(path.name for path in Path("/run/netns").iterdir()) == [host.name, host.lan]
    assert not list(Path("/etc/netns").iterdir())


@pytest.mark.parametrize("mode", ["host", "none"])
def test_an_endpoint_leaves_its_network(host: lab.Host, mode: str) -> None:
    """Its pair and the rules of its ports go, with mode host its namespace too; the next run has nothing to do."""
    web = {"name": "web", "published_ports": ["8080:80"]}
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[web])
    asked: Options = {"name": "web", "network_mode": mode}
    foreseen = host.run("veth_endpoint", check=True, **asked)["changes"]
    assert host.run("veth_endpoint", **asked)["changes"] == foreseen
    assert "172.17.0.2" not in host.save() and "master docker0" not in host.sh("ip link")
    assert Path("/run/netns/web").exists() == Path("/etc/netns/web").exists() == (mode == "none")
    assert not host.run("veth_endpoint", **asked)["changed"]


@pytest.mark.parametrize("names", [("web", "side", "aside"), ("a", "b", "c"), ("c", "b", "a")], ids="/".join)
def test_shared_namespaces(host: lab.Host, names: Tuple[str, str, str]) -> None:
    """Whatever the order of names and items: one namespace, nothing more to do, and told such that it stays."""
    web, side, aside = names
    items: List[Options] = [
        {"name": aside, "network_mode": f"container:{side}"},
        {"name": side, "network_mode": f"container:{web}"},
        {"name": web, "published_ports": ["8080:80"]},
        {"name": "alone", "network_mode": "none", "hostname": "hermit"},
    ]
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=items)
    assert len({Path("/run/netns", name).stat().st_ino for name in names}) == 1
    assert not host.run("host_network", endpoints=items, purge=True)["changed"]
    words = host.run("host_network_info")
    modes = {item["name"]: item.get("network_mode", "bridge") for item in words["endpoints"]}
    assert modes == {web: "bridge", side: f"container:{web}", aside: f"container:{web}", "alone": "none"}
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []


@pytest.mark.parametrize("check", [True, False])
def test_nobody_to_join(host: lab.Host, check: bool) -> None:
    before = lab.snapshot(host)
    for modes in ({"web": "container:db"}, {"web": "container:web"}, {"web": "container:db", "db": "container:web"}):
        items = [{"name": name, "network_mode": mode} for name, mode in modes.items()]
        said = host.run("host_network", fails=True, check=check, endpoints=items)["msg"]
        wrong = modes["web"].partition(":")[2]
        assert f"network_mode: 'container:{wrong}'" in said and f"there is no endpoint {wrong} to join" in said
    assert lab.difference(before, lab.snapshot(host)) == ""


def test_names_of_interfaces_change(each_backend: lab.Host) -> None:
    """One name at a time: the pair is another one; address, port and reachability are those of before in one run."""
    host = each_backend
    start: Options = {"name": "web", "published_ports": ["8080:80"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[start, {"name": "db"}])
    for names in (
        {"interface": "eth1"},
        {"interface": "eth1", "host_interface": "vweb"},
        {"interface": "eth7", "host_interface": "vweb"},
        {"interface": "eth7"},
        {},
    ):
        item = {**start, **names}
        foreseen = host.run("host_network", check=True, endpoints=[item])["changes"]
        result = host.run("host_network", endpoints=[item])
        assert result["changes"] == foreseen
        assert result["endpoints"][0]["ipv4_address"] == "172.17.0.2"
        assert not host.run("host_network", endpoints=[item, {"name": "db"}], purge=True)["changed"]
        links = lab.sh("web", "ip -br link").split()
        assert [word.partition("@")[0] for word in links if "@" in word] == [names.get("interface", "eth0")]
        with lab.serve("web", 80):
            assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
            assert lab.probe("web", "192.0.2.254", 9) == "refused"


def test_an_address_changes_hands(each_backend: lab.Host) -> None:
    """In one task: the one who had it goes, with its port, and the other gets it without."""
    host = each_backend
    first: Options = {"name": "old", "ipv4_address": "172.17.0.9", "published_ports": ["8080:80"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[first, {"name": "db"}])
    with lab.serve("old", 80):  # the host learns whose address it is
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    both = [{"name": "new", "ipv4_address": "172.17.0.9"}, {"name": "old", "state": "absent"}]
    host.run("host_network", endpoints=both)
    assert not host.run("host_network", endpoints=both)["changed"]
    with lab.serve("new", 80):
        assert lab.probe(host.name, "172.17.0.9", 80) == "open, from=172.17.0.1"
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "refused"


def test_host_end_of_another_endpoint(host: lab.Host) -> None:
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web", "host_interface": "vweb"}])
    before = lab.snapshot(host)
    db = {"name": "db", "host_interface": "vweb"}
    for items, holder in (([db], "another namespace"), ([db, {"name": "web"}], "web")):
        said = host.run("veth_endpoint", fails=True, endpoints=items)["msg"]
        assert f"host_interface: 'vweb': this is the host end of {holder}; remove that endpoint" in said
    assert lab.difference(before, lab.snapshot(host)) == ""


def test_a_container_of_somebody_else_keeps_its_pair(host: lab.Host) -> None:
    host.run("host_network", bridges=[{"name": "docker0"}])
    host.sh(
        "ip netns add box && ip link add vbox type veth peer name eth0 netns box && ip link set vbox master docker0 up"
    )
    lab.sh("box", "ip addr add 172.17.0.2/16 dev eth0 && ip link set eth0 up")
    said = host.run("veth_endpoint", fails=True, check=True, name="box")["msg"]
    assert "host_interface: 'veth" in said and "eth0 in box has the host end vbox; name it to take it over" in said
    assert host.run("veth_endpoint", name="box", host_interface="vbox")["endpoints"][0]["ipv4_address"] == "172.17.0.2"


def test_links(each_host: lab.Host) -> None:
    """Hosts lines always, rules where neighbours are kept apart; they follow the target's address and go with it."""
    host = each_host
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0", "icc": False}])
    db: Options = {"name": "db", "exposed_ports": ["5432", "53/udp"]}
    app = {"name": "app", "links": ["db:store"]}
    host.run("veth_endpoint", endpoints=[db, app])
    assert not host.run("veth_endpoint", endpoints=[db, app])["changed"]
    assert "172.17.0.2\tstore db" in Path("/etc/netns/app/hosts").read_text()
    with lab.serve("db", 5432), lab.serve("db", 80):
        assert lab.probe("app", "172.17.0.2", 5432) == "open, from=172.17.0.3"
        assert lab.probe("app", "172.17.0.2", 80, timeout=0.3) == "no answer"
    host.run("veth_endpoint", endpoints=[{**db, "ipv4_address": "172.17.0.9"}, app])
    assert "172.17.0.9\tstore db" in Path("/etc/netns/app/hosts").read_text()
    assert "172.17.0.2/32" not in host.save()
    host.run("veth_endpoint", name="app")
    assert "--dport 5432" not in host.save() and "store" not in Path("/etc/netns/app/hosts").read_text()


def test_endpoint_of_a_stranger_is_left(host: lab.Host) -> None:
    """A veth that somebody else put on docker0: purge of endpoints leaves it, and so the bridge has to stay."""
    host.run("host_network", **task())
    host.sh("ip netns add guest; ip link add vguest index 77 type veth peer name eth0 index 78 netns guest")
    host.sh("ip link set vguest master docker0 up")
    lab.sh("guest", "ip addr add 172.17.0.50/16 dev eth0; ip link set eth0 up")
    host.run("veth_endpoint", purge=True, endpoints=[])
    assert "vguest" in host.sh("bridge link") and "eth0" in lab.sh("guest", "ip -br link")
    message = host.run("docker_bridge", purge=True, bridges=[{"name": "br-n1", "bip": "10.10.0.1/24"}], fails=True)[
        "msg"
    ]
    assert "active endpoints (vguest)" in message
    assert host.run("veth_endpoint", name="new")["endpoints"][0]["ipv4_address"] == "172.17.0.2"
    host.run("veth_endpoint", name="new", ipv4_address="172.17.0.49")
    assert host.run("veth_endpoint", name="next", ipv4_address="172.17.0.50", fails=True)
