"""The network of the one real node: a bridge for its pods, address translation to the outside, and their removal.

Names and address ranges are fixed, so there is at most one real cluster on a machine at a time. Used by embedded.
"""

import ipaddress
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from console.problems import Problem

BRIDGE = "mcporch0"
# CNI's name for the network, and the name of our nftables table.
NETWORK = "mcp-orchestrator"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
NODE_ADDRESS = "10.244.0.1"
API_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
# The last two are kube-proxy's.
TABLES = (("ip", NETWORK), ("ip", "kube-proxy"), ("ip6", "kube-proxy"))


def check() -> None:
    """Raise Problem if another cluster uses what this one needs."""
    if any(name == "kube-proxy" for _, name in _tables()):
        raise Problem(
            "Another Kubernetes node runs on this machine: the nftables table kube-proxy is taken.",
            "Take that one down first, or use --nodes fake, which needs no network.",
        )
    if any(link["ifname"] == BRIDGE for link in _links()):
        raise Problem(
            f"The network interface {BRIDGE} is taken.", "There is one real cluster at a time: take the other down."
        )
    wanted = [ipaddress.ip_network(cidr) for cidr in (POD_CIDR, SERVICE_CIDR)]
    for route in json.loads(_output("ip", "-json", "route", "show", "table", "main") or "[]"):
        if route["dst"] != "default" and any(ipaddress.ip_network(route["dst"]).overlaps(cidr) for cidr in wanted):
            raise Problem(
                f"The machine's route to {route['dst']} overlaps the cluster's {POD_CIDR} and {SERVICE_CIDR}.",
                "Use --nodes fake, which needs no network.",
            )


def create(ports: Sequence[int]) -> None:
    """Make the bridge and the translation, and close `ports` to other machines. Raises Problem."""
    # Built into some kernels, a module in others; where it is neither, Services between pods fail.
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{NODE_ADDRESS}/16", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _run("nft", "--file", "-", text=_rules(ports))


def _rules(ports: Sequence[int]) -> str:
    closed = ", ".join(str(port) for port in ports)
    return f"""\
table ip {NETWORK} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {POD_CIDR} ip daddr != {{ {POD_CIDR}, {SERVICE_CIDR} }} masquerade
  }}
  chain input {{
    type filter hook input priority filter;
    iifname != {{ "lo", "{BRIDGE}" }} tcp dport {{ {closed} }} drop
  }}
}}
"""


def cni(directory: Path) -> dict[str, object]:
    """The CNI configuration: every pod gets an address on the bridge, recorded below `directory`."""
    addresses = {
        "type": "host-local",
        "dataDir": str(directory),
        "ranges": [[{"subnet": POD_CIDR, "gateway": NODE_ADDRESS, "rangeStart": "10.244.0.10"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": NETWORK, "plugins": [bridge]}


def remove() -> None:
    """Remove the bridge, what hangs on it, and the tables. Does nothing where there is nothing. Raises Problem."""
    links = _links()
    for link in sorted(links, key=lambda link: link["ifname"] == BRIDGE):
        if BRIDGE in (link.get("master"), link["ifname"]):
            # A pod's end may vanish by itself meanwhile, when the kernel collects its namespace.
            subprocess.run(["ip", "link", "delete", link["ifname"]], capture_output=True, check=False)
    for family, name in _tables():
        if (family, name) in TABLES:
            _run("nft", "delete", "table", family, name)
    if any(link["ifname"] == BRIDGE for link in _links()):
        raise Problem(f"The network interface {BRIDGE} can't be deleted.")


def _links() -> list[dict[str, str]]:
    links: list[dict[str, str]] = json.loads(_output("ip", "-json", "link", "show") or "[]")
    return links


def _tables() -> list[tuple[str, str]]:
    listed = json.loads(_output("nft", "--json", "list", "tables") or "{}")
    tables = [entry["table"] for entry in listed.get("nftables", []) if "table" in entry]
    return [(table["family"], table["name"]) for table in tables]


def _output(*argv: str) -> str:
    if not shutil.which(argv[0]):
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def _run(*argv: str, text: str | None = None) -> None:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
