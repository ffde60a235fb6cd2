#!/usr/bin/env python3
"""Holds the bill of materials and the licences of a release against Cargo.toml and Cargo.lock.

usage: materials.py SBOM LICENCES
"""

import json
import re
import sys
import tomllib


def main():
    bill = json.load(open(sys.argv[1]))
    licences = open(sys.argv[2]).read()
    manifest = tomllib.load(open("Cargo.toml", "rb"))
    direct, of_tests = set(manifest["dependencies"]), set(manifest["dev-dependencies"]) - set(manifest["dependencies"])
    names = {c["name"] for c in bill["components"]}
    wrong = [f"{name}: not in the bill" for name in sorted(direct - names)]
    # Crates that only tests use and that no other crate links.
    wrong += [f"{name}: only tests use it" for name in sorted({"criterion", "fantoccini", "proptest", "tempfile"} & of_tests & names)]
    lock = tomllib.load(open("Cargo.lock", "rb"))
    sums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    for component in bill["components"]:
        key = (component["name"], component["version"])
        if [h["content"] for h in component.get("hashes", [])] != [sums.get(key)]:
            wrong.append(f"{key}: another checksum than in Cargo.lock")
        if not component.get("licenses"):
            wrong.append(f"{key}: no licence")
        if not re.search(rf"^{re.escape(key[0])} {re.escape(key[1])}: ", licences, re.M):
            wrong.append(f"{key}: not in the file of licences")
    refs = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    for entry in bill["dependencies"]:
        wrong += [f"{ref}: no such component" for ref in [entry["ref"], *entry["dependsOn"]] if ref not in refs]
    if wrong:
        sys.exit("not so: the materials are complete\n" + "\n".join(wrong))
    print(f"{len(names)} crates with checksums and licences")


main()
