"""The goals, each with its gate and what was found. A goal that was not measured in this run says so."""
from measure import print_table

HIGHER, LOWER = "at least", "at most"

# what, how (a ratio in the table, or a figure of the cluster's life), gate, stretch, which way.
GOALS = [
    *[(f"writes / etcd, {clients} clients", ("ratio", "etcd-best", f"put 300 B x{clients}"), gate, stretch, HIGHER)
      for clients, gate, stretch in ((1, 2.5, 3.5), (16, 4, 6), (64, 5, 10))],
    *[(f"writes of 4 KiB / etcd, {clients} clients", ("ratio", "etcd-best", f"put 4 KiB x{clients}"), gate, stretch, HIGHER)
      for clients, gate, stretch in ((1, 2, 3), (16, 3, 5), (64, 3, 6))],
    *[(f"linearizable reads / etcd, {clients} clients", ("ratio", "etcd-best", f"get 300 B x{clients}"), gate, stretch, HIGHER)
      for clients, gate, stretch in ((1, 2, 3), (16, 3, 6), (64, 4, 10))],
    ("CPU a write, three nodes, 64 clients, us", ("figure", "quorumkeep", "put 300 B x64", "cpu_us"), 80, 50, LOWER),
    ("writes, encrypted / clear build", ("ratio", "null", "put 300 B x64"), 0.95, 0.98, HIGHER),
    ("reads, encrypted / clear build", ("ratio", "null", "get 300 B x64"), 0.95, 0.97, HIGHER),
    ("writes of 4 KiB, encrypted / clear build", ("ratio", "null", "put 4 KiB x64"), 0.95, 0.98, HIGHER),
    ("reads of 4 KiB, encrypted / clear build", ("ratio", "null", "get 4 KiB x64"), 0.87, 0.90, HIGHER),
    # On a busy machine throughput says little of a few per cent; processor time a request does.
    *[(f"{what}, encrypted / clear build, by processor time", ("cpu", case), gate, stretch, HIGHER)
      for what, case, gate, stretch in (("writes", "put 300 B x64", 0.95, 0.98), ("reads", "get 300 B x64", 0.95, 0.97),
                                        ("writes of 4 KiB", "put 4 KiB x64", 0.95, 0.98),
                                        ("reads of 4 KiB", "get 4 KiB x64", 0.87, 0.90))],
    ("scan with bodies, documents/s a core", ("per core", "quorumkeep", "scan with bodies x1"), 350e3, 800e3, HIGHER),
    ("_bulk_docs of 500, documents/s", ("figure", "quorumkeep", "bulk of 500, 300 B x4", "per_s"), 50e3, 100e3, HIGHER),
    ("second node's exec to first acknowledged write, s", ("life", "reboot_write_s"), 1.0, 0.6, LOWER),
    ("fail-over, default, s", ("life", "failover_s"), 1.5, None, LOWER),
    ("fail-over, fast LAN profile, s", ("life", "failover_fast_s"), 0.5, None, LOWER),
    ("share to unsealed, ms", ("life", "share_ms"), 50, 10, LOWER),
    ("MK rotation, s", ("life", "rotation_s"), 1, 0.3, LOWER),
    ("re-encryption of a million documents, nothing else going on, s", ("life", "reencrypt_million_s"), 60, 20, LOWER),
    ("p99 of writes, during re-encryption / before", ("life", "p99_reencrypt_ratio"), 2, None, LOWER),
    ("snapshot to a blank node, MB/s", ("life", "snapshot_mb_s"), 100, 250, HIGHER),
    ("catch-up, documents/s", ("life", "catch_up_per_s"), 20e3, 50e3, HIGHER),
    ("RSS idle, MB", ("life", "rss_idle_mb"), 10, 6, LOWER),
    ("RSS after 100k documents, MB", ("life", "rss_documents_mb"), 40, 25, LOWER),
    ("1,000 connections, MB more", ("life", "rss_connections_mb"), 10, None, LOWER),
]


def found_by(how, table, life):
    if how[0] == "ratio":
        ratio = table.ratio("quorumkeep", how[1], how[2])
        return ratio if ratio is None else ratio[0]
    if how[0] == "cpu":
        ratio = table.ratio("null", "quorumkeep", how[1], "cpu_us")
        return ratio if ratio is None else ratio[0]
    if how[0] == "figure":
        return table.median(how[1], how[2], how[3])
    if how[0] == "per core":
        cpu = table.median(how[1], how[2], "cpu_us")
        rows = table.rows.get((how[1], how[2]), {}).values()
        each = [row["documents"] / row["requests"] for row in rows if row["requests"]]
        return each[0] * 1e6 / cpu if cpu and each else None
    return next((one["value"] for one in life if one["name"] == how[1]), None)


def judge(table, found):
    rows = []
    for what, how, gate, stretch, way in GOALS:
        value = found_by(how, table, found["life"])
        verdict = "not measured" if value is None else "missed"
        if value is not None:
            if value >= gate if way == HIGHER else value <= gate:
                verdict = "met"
            if stretch is not None and (value >= stretch if way == HIGHER else value <= stretch):
                verdict = "stretch met"
        rows.append({"what": what, "found": value, "way": way, "gate": gate, "stretch": stretch, "verdict": verdict})
    return rows


def show(rows):
    def text(value):
        return "-" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    print_table("Goals", ["what", "found", "", "gate", "stretch", "verdict"],
                [[row["what"], text(row["found"]), row["way"], text(row["gate"]), text(row["stretch"]), row["verdict"]]
                 for row in rows])
