"""Joins the rows of all parts into results.json and results.md; says what machine this is. Python's own library alone.

usage: results.py merge FOLDER | results.py describe
"""

import ctypes
import json
import os
import platform
import sys

PARTS = ("tests", "sanitize", "bench", "peers")
STANDIN = "**A dry run on the stand-in, CUDA on the CPU: no figure here is a GPU's.**"


def main():
    match sys.argv[1:]:
        case ["merge", folder]:
            merge(folder)
        case ["describe"]:
            print(json.dumps(describe()))
        case _:
            sys.exit(__doc__)


def describe():
    """GPU and driver as the driver names them, and the system."""
    machine = {"system": platform.platform(), "CPU threads": os.cpu_count()}
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as problem:
        return {**machine, "GPU": f"none: {problem}"}
    code = cuda.cuInit(0)
    if code != 0:
        return {**machine, "GPU": f"none: cuInit returned {code}"}
    version, device, size = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    code = cuda.cuDeviceGet(ctypes.byref(device), 0)
    if code != 0:
        return {**machine, "GPU": f"none: cuDeviceGet returned {code}"}
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    return {
        **machine,
        "GPU": f"{name.value.decode()}, {size.value / 2**30:.1f} GiB",
        "driver": f"{driver_release()}, CUDA {version.value // 1000}.{version.value % 1000 // 10}",
    }


def driver_release():
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            words = file.read().split()
    except OSError:
        return "unknown release"
    releases = (word for word in words if "." in word and all(part.isdigit() for part in word.split(".")))
    return next(releases, "unknown release")


def merge(folder):
    parts = {part: read(folder, part) for part in PARTS}
    parts = {name: part for name, part in parts.items() if part}
    for part in parts.values():
        # Beside every figure the copy bandwidth of its own run, or else that of the bench.
        copy = best_copy(part["rows"]) or best_copy(parts.get("bench", {"rows": []})["rows"])
        for row in part["rows"]:
            if row.get("gb_per_s") is not None and copy:
                row.setdefault("copy_gb_per_s", copy)
                row["percent_of_copy"] = 100 * row["gb_per_s"] / row["copy_gb_per_s"]
    standin = any(part["head"].get("standin") for part in parts.values())
    replace(os.path.join(folder, "results.json"), json.dumps({"standin": standin, "parts": parts}, indent=1) + "\n")
    replace(os.path.join(folder, "results.md"), markdown(parts, standin))


def read(folder, part):
    """Head and rows of a part; None if it never ran."""
    head, rows = {}, []
    try:
        with open(os.path.join(folder, f"{part}.jsonl"), encoding="utf-8") as file:
            lines = [parsed(line) for line in file]
    except FileNotFoundError:
        return None
    for line in filter(None, lines):
        if "head" in line:
            head.update(line["head"])
        else:
            rows.append(line)
    if part == "tests":
        # A test that is repeated replaces its row.
        rows = list({row["row"]: row for row in rows}.values())
    if part == "bench":
        try:
            with open(os.path.join(folder, "step.json"), encoding="utf-8") as file:
                bench = json.load(file)
        except FileNotFoundError:
            bench = {"head": {}, "rows": []}
        # The bundle knows its revision; the bench, away from its sources, does not.
        head = {**bench["head"], **head}
        rows = bench["rows"] + rows
    return {"head": head, "rows": rows}


def parsed(line):
    """A run that was killed may have left half a line at the end."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def best_copy(rows):
    return max((row["gb_per_s"] for row in rows if row["row"].startswith("copy") and row.get("gb_per_s")), default=None)


def markdown(parts, standin):
    lines = ["# Results", ""] + ([STANDIN, ""] if standin else [])
    for name, part in parts.items():
        lines += [f"## {name}", ""]
        lines += [f"{key}: {value}  " for key, value in flat(part["head"]).items()]
        columns = CHECKS if name in ("tests", "sanitize") else FIGURES
        lines += ["", table_line(columns), table_line("---" for _ in columns)]
        lines += [table_line(cell(row) for cell in columns.values()) for row in part["rows"]] + [""]
    return "\n".join(lines)


def flat(head):
    return {**{key: value for key, value in head.items() if key != "machine"}, **head.get("machine", {})}


def table_line(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def number(key, digits):
    return lambda row: "" if row.get(key) is None else f"{row[key]:.{digits}f}"


def text(key):
    return lambda row: row.get(key) or ""


def duration(key):
    def cell(row):
        spread = row.get(key)
        if not spread:
            return ""
        units = ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (float("inf"), 1e6, "ms"))
        scale, unit = next((scale, unit) for bound, scale, unit in units if abs(spread["median"]) < bound)
        value = f"{spread['median'] / scale:.2f} {unit}"
        if spread["samples"] == 1:
            return value
        return f"{value} ± {50 * (spread['p90'] - spread['p10']) / abs(spread['median']):.0f} %"

    return cell


def note(row):
    return "; ".join(filter(None, (row.get("result") if "time_ns" not in row else "", row.get("note"))))


CHECKS = {"check": text("row"), "result": text("result"), "seconds": text("seconds"), "note": text("note")}
FIGURES = {
    "row": text("row"),
    "size": text("size"),
    "time": duration("time_ns"),
    "host time": duration("host_ns"),
    "GB/s": number("gb_per_s", 1),
    "copy GB/s": number("copy_gb_per_s", 1),
    "% of copy": number("percent_of_copy", 1),
    "driver calls": number("driver_calls", 2),
    "launches": number("launches", 2),
    "note": note,
}


def replace(path, content):
    """Whole or not at all: a run that is killed here leaves the file as it was."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main()
