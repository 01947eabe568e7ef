"""Looks for bytes in the memory of a process that this user may trace, and in files."""
import pathlib
import re


def in_memory(pid, needle):
    """How often `needle` stands in the readable memory of the process."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if not match or "[v" in line:
                continue
            start, end = (int(part, 16) for part in match.groups())
            try:
                memory.seek(start)
                found += memory.read(end - start).count(needle)
            except (OSError, ValueError):
                continue  # not for us: memfd_secret, or gone
    return found


def in_files(folder, needle):
    return [str(path) for path in pathlib.Path(folder).rglob("*")
            if path.is_file() and not path.is_symlink() and needle in path.read_bytes()]
