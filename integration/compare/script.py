"""Reads the counters of ports with other programs, for the comparison.

    script.py READER read COUNT SECONDS           readings, one after the other
    script.py READER tick COUNT SECONDS CSV       readings with pauses, rates to CSV

Does as the scripts that ssmonitor replaces: it runs a program, parses its output
and writes the rates. It prints what a reading costs as JSON, with the processor
time of all processes. The first reading does not count, unless it takes so long that one is
enough.
"""

import json
import resource
import subprocess
import sys
import time


def iptables(program):
    """Returns the packets and bytes of each port, in and out."""
    counts = {}
    for place, chain in enumerate(("INPUT", "OUTPUT")):
        listing = subprocess.run([program, "-nvxw", "-L", chain], check=True, stdout=subprocess.PIPE, text=True)
        for line in listing.stdout.splitlines():
            words = line.split()
            if len(words) == 10 and words[9].startswith(("dpt:", "spt:")):
                row = counts.setdefault(words[9][4:], [0, 0, 0, 0])
                row[place] = int(words[0])
                row[place + 2] = int(words[1])
    return counts


def nft():
    listing = subprocess.run(["nft", "-j", "list", "counters"], check=True, stdout=subprocess.PIPE)
    counts = {}
    for item in json.loads(listing.stdout)["nftables"]:
        if "counter" in item:
            direction, port = item["counter"]["name"].split("-")
            place = 0 if direction == "in" else 1
            row = counts.setdefault(port, [0, 0, 0, 0])
            row[place] = item["counter"]["packets"]
            row[place + 2] = item["counter"]["bytes"]
    return counts


def publish(path, counts, previous, seconds):
    lines = []
    for port, row in counts.items():
        rates = [(now - before) / seconds for now, before in zip(row, previous[port])]
        lines.append(port + "," + ",".join(f"{rate:.3f}" for rate in rates) + "\n")
    with open(path, "w") as file:
        file.write("".join(lines))


def processor_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def memory():
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return {
        "Resident": int(fields["VmRSS"].split()[0]) * 1024,
        "Anonymous": int(fields["RssAnon"].split()[0]) * 1024,
    }


def main():
    reader, mode, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    read = nft if reader == "nft" else lambda: iptables(reader)
    began, spent, done = time.monotonic(), processor_seconds(), 1
    previous, then = read(), time.monotonic()
    if mode == "tick" or then - began < 1:
        began, spent, done = then, processor_seconds(), 0
    while done < count and (mode == "tick" or time.monotonic() - began < seconds):
        if mode == "tick":
            time.sleep(seconds)
        counts, now = read(), time.monotonic()
        if mode == "tick":
            publish(sys.argv[5], counts, previous, now - then)
        previous, then, done = counts, now, done + 1
    spent = processor_seconds() - spent
    packets = sum(row[0] + row[1] for row in previous.values())
    json.dump({"Nanoseconds": spent / done * 1e9, "Ports": len(previous), "Packets": packets, **memory()}, sys.stdout)


main()
