#!/usr/bin/env python3
"""Lists the crates of the program: their licences with all texts, or a bill of materials (CycloneDX 1.5).

It lists what is linked into the program for one target, as `cargo tree` has it, and not the crates of tests or of other systems. usage: crates.py licences | sbom --target TRIPLE [--folder FOLDER] [--version VERSION]
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid

# Names of files with licences and notices in the folder of a crate.
LICENCE_NAMES = ("licen", "copying", "notice", "unlicense", "copyright")
# C and C++ code in crates: its own licence files, below the folder of the crate.
BUNDLED = {
    "librocksdb-sys": ["rocksdb/LICENSE.Apache", "rocksdb/LICENSE.leveldb"],
    "lz4-sys": ["liblz4/lib/LICENSE"],
}


# The command, for machines on which another program starts cargo.
CARGO = os.environ.get("CARGO_METADATA", "cargo").split()


def output(folder, *arguments):
    return subprocess.run([*CARGO, *arguments], cwd=folder, stdout=subprocess.PIPE, check=True, text=True).stdout


def metadata(folder, target):
    return json.loads(output(folder, "metadata", "--format-version", "1", "--locked", "--filter-platform", target))


def linked(data, folder, target):
    """The packages that are linked into the program or run to build it, and what each depends on."""
    # The graph of `cargo metadata` also has what only features of tests need.
    tree = ["tree", "--locked", "--target", target, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]
    lines = output(folder, *tree).splitlines()
    used = {(name, version.removeprefix("v")) for name, version in (line.split(" ")[:2] for line in lines if line)}
    packages = {p["id"]: p for p in data["packages"] if (p["name"], p["version"]) in used}
    out = {}
    for node in data["resolve"]["nodes"]:
        if node["id"] in packages:
            needed = [d["pkg"] for d in node["deps"] if {k["kind"] for k in d["dep_kinds"]} - {"dev"}]
            out[node["id"]] = (packages[node["id"]], sorted(pkg for pkg in needed if pkg in packages))
    return out


def licence_files(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and f.name.lower().startswith(LICENCE_NAMES)]
    if package["license_file"]:
        files.append(folder / package["license_file"])
    for name in BUNDLED.get(package["name"], []):
        if not (folder / name).exists():
            sys.exit(f"{folder / name}: no such file; adapt BUNDLED in packaging/crates.py")
        files.append(folder / name)
    return list(dict.fromkeys(f.resolve() for f in files))


def by_name(crates):
    return sorted(crates.values(), key=lambda c: (c[0]["name"], c[0]["version"]))


def licences(data, crates):
    texts = {}
    without = []
    print("The crates of orbsd and their licences\n")
    for package, _ in by_name(crates):
        licence = package["license"] or "see its licence file"
        print(f"{package['name']} {package['version']}: {licence}")
        if package["id"] == data["resolve"]["root"]:
            continue
        files = licence_files(package)
        if not files:
            without.append(f"{package['name']} {package['version']}: {licence}, {package['repository'] or 'no repository'}")
        for file in files:
            text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
            texts.setdefault(text, []).append(f"{package['name']} {package['version']} ({file.name})")
    if without:
        print("\nThese crates name their licence and contain no copy of its text:\n")
        print("\n".join(without))
    for text, users in texts.items():
        print("\n" + "=" * 78)
        print("\n".join(users))
        print("-" * 78 + "\n" + text)


def checksums(folder):
    lock = tomllib.loads((pathlib.Path(folder) / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, sums, version=None):
    out = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": version or package["version"],
        "purl": purl(package),
    }
    if package["description"]:
        out["description"] = " ".join(package["description"].split())
    if package["license"]:
        # Older crates separate alternatives by a slash.
        out["licenses"] = [{"expression": " OR ".join(package["license"].replace(" / ", "/").split("/"))}]
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        out["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        out["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return out


def sbom(data, crates, folder, version):
    sums = checksums(folder)
    root, _ = crates[data["resolve"]["root"]]
    others = [component(p, sums) for p, _ in by_name(crates) if p["id"] != root["id"]]
    refs = {node: purl(package) for node, (package, _) in crates.items()}
    depends = [
        {"ref": purl(package), "dependsOn": sorted({refs[d] for d in needed})} for package, needed in by_name(crates)
    ]
    # The same content has the same number, so that two releases of one commit are equal.
    content = json.dumps([others, depends, version]).encode()
    number = uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        "metadata": {"component": component(root, sums, version) | {"type": "application"}},
        "components": others,
        "dependencies": depends,
    }
    json.dump(document, sys.stdout, indent=1)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["licences", "sbom"])
    parser.add_argument("--target", required=True, help="target triple of the program")
    parser.add_argument("--folder", default=".", help="folder of Cargo.toml")
    parser.add_argument("--version", help="version of the release; that of Cargo.toml if it is not given")
    options = parser.parse_args()
    data = metadata(options.folder, options.target)
    crates = linked(data, options.folder, options.target)
    match options.what:
        case "licences":
            licences(data, crates)
        case "sbom":
            sbom(data, crates, options.folder, options.version)


main()
