#!/usr/bin/env python3
"""Prints "PASSED FAILED SKIPPED" of a report of `ctest --output-junit`; on stderr why tests were
skipped."""
import collections
import sys
import xml.etree.ElementTree

counts = collections.Counter()
reasons = collections.Counter()
for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
    # "run", "fail", "disabled", or "notrun": a program that is missing, or a test that skipped itself.
    status = case.get("status")
    output = case.findtext("system-out") or ""
    if status == "run":
        counts["passed"] += 1
    elif status == "notrun" and "[  SKIPPED ]" in output:
        counts["skipped"] += 1
        lines = output.splitlines()
        said = [lines[i + 1] for i, line in enumerate(lines[:-1]) if line.endswith(": Skipped")]
        reasons[said[0] if said else "no reason given"] += 1
    else:
        counts["failed"] += 1
for reason, count in reasons.most_common():
    print(f"skipped {count}: {reason}", file=sys.stderr)
print(counts["passed"], counts["failed"], counts["skipped"])
