#!/usr/bin/python3
"""images.py BINARY DIR...: rebases every PE image below some directories.

All images are copied into one root and made to collide there; then they are
moved by the real binary, and judged by programs that share no code with it:

- pefile lists the fixups: each value has to differ by exactly the shift, and no
  other byte but those of ImageBase and CheckSum (and of what the flags take away);
- objdump, where it knows the machine, has to print the new base, and the same
  relocations as before;
- osslsigncode has to compute the checksum that is in the file, unless the file is
  of an odd length: then it is wrong, by the judgement of Wine's ImageHlp and pefile;
- Wine has to load all moved DLLs into one process, each at its recorded base;
- what is refused has to be told with a reason, and to be left byte for byte;
- a second run has to write nothing, and undo to give every file back.

What is missing of these programs is an error: scripts/setup and images.sh bring
them all.
"""

import array
import collections
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import pefile

HERE = pathlib.Path(__file__).parent
WIDTH = {3: 4, 10: 8}  # of IMAGE_REL_BASED_HIGHLOW and DIR64
BITS = {"i386": 32, "x86-64": 64}
WINE32 = "/usr/local/lib/sandbox-install/wine32"
VARIANTS = [
    ["--target=wine"],  # moves what collides
    [  # moves everything
        "--target=wine", "--room=i386=0x11000000-0x61000000", "--room=x86-64=0x500000000-0x600000000",
        "--drop-signature", "--clear-dynamic-base",
    ],
]

failures = 0


def wrong(*what):
    global failures
    failures += 1
    print("WRONG", *what)


def images(dirs):
    for top in dirs:
        for d, _, names in sorted(os.walk(top)):
            for name in sorted(names):
                path = pathlib.Path(d, name)
                if path.is_symlink() or not path.is_file():
                    continue
                with path.open("rb") as f:
                    head = f.read(64)
                    if len(head) < 64 or head[:2] != b"MZ":
                        continue
                    f.seek(struct.unpack_from("<I", head, 60)[0])
                    if f.read(4) == b"PE\0\0":
                        yield path


def fixups(pe):
    """Returns the set of (file offset, width) that the relocation table names."""
    directory = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_BASERELOC"]
    pe.parse_data_directories(directories=[directory])
    found = set()
    for block in getattr(pe, "DIRECTORY_ENTRY_BASERELOC", []):
        for e in block.entries:
            if e.type != 0:
                found.add((pe.get_offset_from_rva(e.rva), WIDTH[e.type]))
    return found


def put(b, at, width, value):
    b[at : at + width] = value.to_bytes(width, "little")


def moved_right(before, after, flags):
    """Makes the moved file from the original in another way, and compares."""
    old, new = pefile.PE(data=before, fast_load=True), pefile.PE(data=after, fast_load=True)
    want = bytearray(before)
    opt, shift = old.OPTIONAL_HEADER, new.OPTIONAL_HEADER.ImageBase - old.OPTIONAL_HEADER.ImageBase
    for at, width in fixups(old):
        value = int.from_bytes(before[at : at + width], "little")
        put(want, at, width, (value + shift) % (1 << 8 * width))
    certificates = opt.DATA_DIRECTORY[4]
    if certificates.Size and "--drop-signature" in flags:
        del want[certificates.VirtualAddress :]
        put(want, certificates.get_file_offset(), 8, 0)
    base = opt.get_field_absolute_offset("ImageBase")
    put(want, base, 8 if opt.Magic == 0x20B else 4, new.OPTIONAL_HEADER.ImageBase)
    if "--clear-dynamic-base" in flags:  # ARM64 does not go without DYNAMIC_BASE
        cleared = 0x20 if old.FILE_HEADER.Machine == 0xAA64 else 0x60
        put(want, opt.get_field_absolute_offset("DllCharacteristics"), 2, opt.DllCharacteristics & ~cleared)
    at = opt.get_field_absolute_offset("CheckSum")
    put(want, at, 4, 0)
    if opt.CheckSum:
        put(want, at, 4, checksum(want))
    return want == after


def checksum(b):
    """Adds the words of a file whose own checksum is zero, and its length."""
    total = sum(array.array("I", b + bytes(-len(b) % 4)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(b)


def run(*args, ok=(0,), env=None):
    p = subprocess.run(args, capture_output=True, env=env)
    if p.returncode not in ok:
        sys.exit(f"{args}: status {p.returncode}\n{p.stdout.decode()}{p.stderr.decode()}")
    return p.stdout


def dump(path):
    """Returns objdump's opinion of the base, and of the relocations."""
    text = run("objdump", "-p", path).decode(errors="replace")
    base = int(re.search(r"^ImageBase\s+(\w+)", text, re.M)[1], 16)
    _, _, relocations = text.partition("PE File Base Relocations")
    return base, relocations.partition("\n\n")[0]


def checksum_right(path):
    out = run("osslsigncode", "verify", "-in", path, ok=(0, 1)).decode(errors="replace")
    return "PE checksum" in out and "invalid PE checksum" not in out


def wine_bases(work, bits, listing):
    """Loads the DLLs of a list into one process, and returns where each lies."""
    loader = work / f"bases{bits}.exe"
    compiler = {32: "i686", 64: "x86_64"}[bits] + "-w64-mingw32-gcc"
    run(compiler, "-O1", "-municode", "-o", loader, HERE / "testdata/windows/bases.c")
    env = dict(os.environ, HOME=str(work), WINEPREFIX=str(work / "prefix"), WINEDEBUG="-all", DISPLAY="",
               WINEDLLOVERRIDES="winemenubuilder.exe=d", WINEDLLPATH=WINE32)
    return [int(line, 16) for line in run("/usr/lib/wine/wine64", loader, f"Z:{listing}", env=env).split()]


def load(work, root, placements, bits):
    """Has Wine load the moved DLLs. To it they are no DLLs of its own, of which
    it would take the installed one, whatever the path."""
    dlls = [p for p in placements if BITS.get(p["machine"]) == bits]
    dir = work / f"load{bits}"
    dir.mkdir()
    for i, p in enumerate(dlls):
        content = (root / p["name"][1:]).read_bytes()
        (dir / f"{i}.dll").write_bytes(content.replace(b"Wine builtin DLL", b"Wine builtin ___", 1))
    listing = work / f"load{bits}.txt"
    listing.write_text("".join(f"Z:{dir}/{i}.dll\n" for i in range(len(dlls))))
    bases = wine_bases(work, bits, listing)
    if len(bases) != len(dlls):
        wrong(f"Wine tells {len(bases)} bases of {len(dlls)} DLLs")
    for p, base in zip(dlls, bases):
        if base != int(p["to"], 16):
            wrong(p["name"], f"Wine: at {base:#x}, not at {p['to']}")
    print(f"Wine loaded {len(dlls)} {bits}-bit DLLs into one process")
    shutil.rmtree(dir)


def variant(binary, work, originals, flags):
    print("apply", *flags)
    root, db = work / "root", work / "db"
    shutil.rmtree(root, ignore_errors=True)
    db.unlink(missing_ok=True)
    for name, path in originals.items():
        at = root / name[1:]
        at.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, at)
    names = work / "names"
    names.write_text("".join(f"{root}{name}\n" for name in originals))
    apply = [binary, "rebase", "apply", "--json", "--db", db, "--root", root, "-T", names, *flags]
    placements = json.loads(run(*apply, ok=(0, 1)))["placements"]
    if len(placements) != len(originals):
        wrong(f"{len(placements)} placements of {len(originals)} images")
    counts, reasons, loadable = collections.Counter(), collections.Counter(), []
    for p in placements:
        counts[p["action"]] += 1
        if p["action"] in ("left", "fail", "skip"):
            reasons[p["action"], re.sub(r'0x[0-9a-f]+(-0x[0-9a-f]+)?|"[^"]*"', "N", p.get("reason", ""))] += 1
        before, after = originals[p["name"]].read_bytes(), (root / p["name"][1:]).read_bytes()
        if p["action"] != "move":
            if before != after:
                wrong(p["name"], p["action"], "but changed")
            if p["action"] != "keep" and not p.get("reason"):
                wrong(p["name"], p["action"], "without a reason")
            continue
        if not moved_right(before, after, flags):
            wrong(p["name"], "pefile: moved otherwise")
        if p["machine"] in BITS:
            was, now = dump(originals[p["name"]]), dump(root / p["name"][1:])
            if now != (int(p["to"], 16), was[1]):
                wrong(p["name"], "objdump: another base, or other relocations")
        moved = pefile.PE(data=after, fast_load=True)
        if moved.OPTIONAL_HEADER.CheckSum and len(after) % 2 == 0 and not checksum_right(root / p["name"][1:]):
            wrong(p["name"], "osslsigncode: checksum")
        if moved.is_dll():
            loadable.append(p)
    print(f"{len(placements)} images:", ", ".join(f"{n} {a}" for a, n in counts.most_common()))
    for (action, reason), n in sorted(reasons.items()):
        print(f"{n:6} {action}: {reason}")
    run(binary, "rebase", "check", "--db", db, "--root", root)
    for bits in (32, 64):
        load(work, root, loadable, bits)
    saved = db.read_bytes()
    again = json.loads(run(*apply, ok=(0, 1)))["placements"]
    if any(p["action"] == "move" for p in again) or db.read_bytes() != saved:
        wrong("the second run was not idle")
    run(binary, "rebase", "undo", "--all", "--db", db, "--root", root)
    for name, path in originals.items():
        if path.read_bytes() != (root / name[1:]).read_bytes():
            wrong(name, "undo did not give the original back")


def main():
    binary, dirs = pathlib.Path(sys.argv[1]).absolute(), sys.argv[2:]
    if not os.path.isdir(WINE32):
        sys.exit(f"no {WINE32}: run scripts/setup")
    with tempfile.TemporaryDirectory() as tmp:
        work = pathlib.Path(tmp)
        originals = {f"/{i:04}/{path.name}": path for i, path in enumerate(images(dirs))}
        for flags in VARIANTS:
            variant(binary, work, originals, flags)
    if failures:
        sys.exit(f"{failures} wrong")


main()
