#!/usr/bin/env python3
"""Checks MatrixOne backup archives: frames, digests, sums, object headers, and that every listed file exists in some backup.

    verify_archive.py [--allow-holes] FOLDER...

A folder is one backup (it has mo_meta) or a root of full-<id> and incremental-<id>. Problems are printed one per line, the
exit status is 1 when there are any. With --allow-holes, listed files that no backup has are counted, not reported.
"""

import csv
import hashlib
import os
import re
import struct
import sys

BLOCK = 2048
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TS = r"\d+-\d+"
OBJECT = re.compile(rf"^{UUID}_\d{{5}}$")
META = re.compile(rf"^(ckp/meta|gc/(gc|snap|acct))_{TS}_{TS}\.(ckp|fgc|snap|acct)$")


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = CRC_TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def is_framed(data):
    return len(data) >= 4 and struct.unpack_from("<I", data)[0] == crc32c(data[4:BLOCK])


def unframe(data):
    """Returns the content of a framed file, and whether all checksums are right."""
    content, good = bytearray(), True
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if len(block) < 4 or struct.unpack_from("<I", block)[0] != crc32c(block[4:]):
            good = False
        content += block[4:]
    return bytes(content), good


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def message(data):
    """Returns the fields of a protobuf message: (number, value) with integers and bytes."""
    at, fields = 0, []
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        elif key & 7 != 0:
            raise ValueError(f"wire type {key & 7}")
        fields.append((key >> 3, value))
    return fields


def ts_of(text):
    physical, logical = text.split("-")
    return int(physical), int(logical)


class Backup:
    def __init__(self, path, problems):
        self.path, self.problems = path, problems
        self.rows, self.ts, self.kind, self.holes = [], None, None, 0
        self.framed = None
        self.files = {
            os.path.relpath(os.path.join(folder, name), path).replace(os.sep, "/")
            for folder, _, names in os.walk(path)
            for name in names
        }

    def wrong(self, text):
        self.problems.append(f"{self.path}: {text}")

    def raw(self, name):
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def content(self, name):
        """Returns the content of a file. Below tae/ and hakeeper/ either all files are framed or none."""
        data = self.raw(name)
        if not name.startswith(("tae/", "hakeeper/")):
            return data
        framed = is_framed(data)
        if self.framed is None:
            self.framed = framed
        if framed != self.framed:
            self.wrong(f"{name}: framed is {framed}, unlike others")
        if not framed:
            return data
        content, good = unframe(data)
        if not good:
            self.wrong(f"{name}: a frame has a wrong checksum")
        if len(content) != len(data) - 4 * -(-len(data) // BLOCK):
            self.wrong(f"{name}: frames do not add up")
        return content

    def digested(self, name):
        """Returns the content of a file that has a digest next to it."""
        if name not in self.files or name + ".sha256" not in self.files:
            self.wrong(f"{name} or its digest is missing")
            return b""
        content, digest = self.content(name), self.content(name + ".sha256")
        if hashlib.sha256(content).digest() != digest:
            self.wrong(f"{name}: its digest differs")
        return content

    def table(self, name):
        return list(csv.reader(self.digested(name).decode().splitlines()))

    def check(self):
        for name in self.files:
            if os.path.basename(name).startswith(".tmp."):
                self.wrong(f"litter: {name}")
        self.check_metas()
        self.check_keeper()
        self.check_list()
        self.check_sum()
        self.check_strangers()

    def check_metas(self):
        metas = self.table("mo_meta")
        order = ["version", "buildinfo", "launchconfig"]
        kinds = [row[0] for row in metas]
        if kinds[:2] != order[:2] or kinds != sorted(kinds, key=order.index):
            self.wrong(f"mo_meta: rows are {kinds}")
        if metas and metas[0] != ["version", "0823", ""]:
            self.wrong(f"mo_meta: version is {metas[0]}")
        if "|Version: " not in metas[1][1]:
            self.wrong("mo_meta: no build information")
        self.configs = {row[2] for row in metas[2:]}
        for _, service, name in metas[2:]:
            if service not in ("launch", "log", "dn", "cn", "proxy"):
                self.wrong(f"mo_meta: a service {service}")
            if not re.match(rf"^.+_{UUID}$", name) or name[-22] != "7":
                self.wrong(f"mo_meta: a file {name}")
            self.digested("config/" + name)

    def check_keeper(self):
        next_id, keys = None, {}
        for number, value in message(self.digested("hakeeper/hk_data")):
            if number == 1:
                next_id = value
            elif number == 2:
                entry = dict(message(value))
                keys[entry[1].decode()] = entry[2]
        if not next_id or not keys.get("_mo_bootstrap"):
            self.wrong(f"hk_data: next id {next_id}, keys {keys}")

    def check_list(self):
        rows = self.table("tae/tae_list")
        widths = {len(row) for row in rows}
        if widths - {3, 5} or len(widths) > 1:
            self.wrong(f"tae_list: columns {widths}")
        self.columns = max(widths, default=0)
        for row in rows:
            path, size, digest, *rest = row
            copied = rest[0] == "true" if rest else True
            if rest and rest[0] not in ("true", "false"):
                self.wrong(f"{path}: needCopy is {rest[0]}")
            ts = ts_of(rest[1]) if rest else None
            self.rows.append((path, int(size), digest, copied, ts))
            self.check_row(path, int(size), digest, copied)

    def check_row(self, path, size, digest, copied):
        if not OBJECT.match(path) and not META.match(path):
            self.wrong(f"{path}: no name of an object or checkpoint")
        name = "tae/" + path
        if not copied:
            if digest:
                self.wrong(f"{path}: a digest, though it was not copied")
            if name in self.files:
                self.wrong(f"{path}: it is there, though it was not copied")
        elif name not in self.files:
            self.holes += 1
        else:
            content = self.content(name)
            if len(content) != size:
                self.wrong(f"{path}: {len(content)} bytes, {size} are listed")
            if digest and hashlib.sha256(content).hexdigest() != digest:
                self.wrong(f"{path}: its digest differs")
            self.check_object(path, content)

    def check_object(self, path, content):
        magic, version, _, offset, length, origin = struct.unpack_from("<QHBIII", content)
        if magic != 0xFFFFFFFF or version != 1:
            self.wrong(f"{path}: magic {magic:x}, version {version}")
        if offset + length + 64 != len(content) or origin < length:
            self.wrong(f"{path}: meta at {offset}, {length} long, of {len(content)}")

    def check_sum(self):
        (row,) = self.table("tae/tae_sum") or [[""]]
        if len(row) != {3: 2, 5: 4}.get(self.columns):
            self.wrong(f"tae_sum: {row} beside {self.columns} columns")
            return
        if not re.match(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", row[0]):
            self.wrong(f"tae_sum: the time {row[0]}")
        total = sum(size for _, size, _, _, _ in self.rows)
        if int(row[1]) != total:
            self.wrong(f"tae_sum: {row[1]}, the list adds up to {total}")
        if len(row) == 4:
            self.ts, self.kind = ts_of(row[2]), row[3]
            self.check_times()

    def check_times(self):
        for path, _, digest, copied, ts in self.rows:
            if ts > self.ts:
                self.wrong(f"{path}: its time stamp is after the backup")
            made = copied and (not digest or not OBJECT.match(path))
            if made and ts != self.ts:
                self.wrong(f"{path}: its time stamp is not that of the backup")

    def check_strangers(self):
        known = {"mo_meta", "hakeeper/hk_data", "tae/tae_list", "tae/tae_sum", "backup_meta"}
        known |= {"config/" + name for name in self.configs}
        known |= {name + ".sha256" for name in known}
        known |= {"tae/" + row[0] for row in self.rows}
        for name in sorted(self.files - known):
            if not os.path.basename(name).startswith(".tmp."):
                self.wrong(f"{name} is not listed")
        if "backup_meta" in self.files:
            self.digested("backup_meta")


def check_closure(backups, problems):
    """Checks that every file that was not copied is in an earlier backup of the root, with its size."""
    backups.sort(key=lambda backup: backup.ts or (0, 0))
    found = {}
    for backup in backups:
        for path, size, _, copied, _ in backup.rows:
            if copied:
                found.setdefault(path, size)
            elif found.get(path) != size:
                problems.append(f"{backup.path}: {path} is in no earlier backup")


def check_catalog_lines(root, backups, problems):
    """Checks the line next to a backup, if a client wrote one."""
    for backup in backups:
        found = re.search(UUID, os.path.basename(backup.path))
        meta = os.path.join(root, f"{found.group()}.meta") if found else None
        if meta and os.path.exists(meta):
            line = open(meta, "rb").read()
            if open(meta + ".sha256", "rb").read() != hashlib.sha256(line).digest():
                problems.append(f"{meta}: its digest differs")
            (fields,) = csv.reader([line.decode().rstrip("\n")])
            if fields[0] != found.group() or os.path.basename(backup.path) not in fields:
                problems.append(f"{meta}: {fields}")


def backups_of(folder, problems):
    if os.path.exists(os.path.join(folder, "mo_meta")):
        return [Backup(folder, problems)]
    pattern = re.compile(rf"^(full|incremental)-{UUID}$")
    names = sorted(name for name in os.listdir(folder) if pattern.match(name))
    if not names:
        problems.append(f"{folder}: no backup")
    return [Backup(os.path.join(folder, name), problems) for name in names]


def main(arguments):
    allow_holes = "--allow-holes" in arguments
    problems = []
    for folder in [word for word in arguments if not word.startswith("--")]:
        backups = backups_of(folder, problems)
        for backup in backups:
            backup.check()
            if backup.holes and not allow_holes:
                backup.wrong(f"{backup.holes} files are listed and not there")
        check_closure(backups, problems)
        check_catalog_lines(folder, backups, problems)
        for backup in backups:
            copied = sum(1 for row in backup.rows if row[3])
            print(
                f"{os.path.basename(backup.path)}: framed={backup.framed} columns={backup.columns}"
                f" rows={len(backup.rows)} copied={copied} holes={backup.holes} type={backup.kind}"
            )
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
