#!/usr/bin/env python3
"""A database file of which one page of a hundred changes a little from backup to backup: time, and what each backup adds.

usage: peers_database.py WORK_DIR [TOOL,TOOL…] [--rounds N] [--size MIB]
Tools are restic, borg, br and br-whole (br without differences); RESTIC, BORG and BR name the programs. Rounds interleave the tools; medians
are printed. What is restored at the end is compared byte for byte.
"""
import argparse, filecmp, os, random, shutil, statistics, subprocess, sys, time

PAGE = 8192

def make(path, size):
    """Pages of words and random bytes, which compress to a half."""
    rows = random.Random(7)
    words = [rows.randbytes(rows.randrange(3, 12)).hex().encode() for _ in range(2000)]
    with open(path, 'wb') as out:
        for _ in range(size):
            part = bytearray()
            while len(part) < 1 << 20: part += rows.choice(words) + b'\0' + rows.randbytes(6)
            out.write(part[:1 << 20])

def change(path, seed):
    """Writes 100 bytes into one page of a hundred."""
    rows = random.Random(seed)
    pages = os.path.getsize(path) // PAGE
    with open(path, 'r+b') as file:
        for page in rows.sample(range(pages), pages // 100):
            file.seek(page * PAGE + rows.randrange(PAGE - 100)); file.write(rows.randbytes(100))

def size_of(folder):
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(folder) for name in names)

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('work'); parser.add_argument('tools', nargs='?', default='restic,borg,br,br-whole')
    parser.add_argument('--rounds', type=int, default=3); parser.add_argument('--size', type=int, default=1024)
    args = parser.parse_args()
    work = os.path.abspath(args.work)
    shutil.rmtree(work, ignore_errors=True); os.makedirs(work + '/home'); os.makedirs(work + '/data')
    data, out, log = work + '/data', work + '/out', open(work + '/log.txt', 'wb')
    env = dict(os.environ, HOME=work + '/home', RESTIC_PASSWORD='x', BORG_PASSPHRASE='x', BORG_RELOCATED_REPO_ACCESS_IS_OK='yes', BR_REPOSITORY='')
    restic, borg, br = (os.environ.get(name.upper(), name) for name in ('restic', 'borg', 'br'))
    commands = { # how to make a repository, back up and restore
        'restic': ([restic, 'init', '-r', '{}'], [restic, '-r', '{}', 'backup', data], [restic, '-r', '{}', 'restore', 'latest', '--target', out]),
        'borg': ([borg, 'init', '-e', 'repokey-blake2', '{}'], [borg, 'create', '{}::{{now:%H%M%S%f}}', data], None),
        'br': ([br, 'init', '-q', '-r', '{}'], [br, '-q', '-r', '{}', 'backup', data], [br, '-q', '-r', '{}', 'restore', 'latest', '--target', out]),
        'br-whole': ([br, 'init', '-q', '-r', '{}'], [br, '-q', '-r', '{}', 'backup', '--deltas', 'never', data], [br, '-q', '-r', '{}', 'restore', 'latest', '--target', out]),
    }
    def run(command, tool):
        start = time.monotonic()
        words = [word.format(work + '/' + tool) for word in command]
        status = subprocess.run(words, env=env, stdout=log, stderr=log).returncode
        if status: sys.exit('%s ended with %d, see %s/log.txt' % (' '.join(words), status, work))
        return time.monotonic() - start
    found, tools = {}, args.tools.split(',')
    make(data + '/base.db', args.size)
    for number in range(args.rounds + 1):
        for tool in tools:
            init, backup, _ = commands[tool]
            if number == 0 and init: run(init, tool)
            before = size_of(work + '/' + tool)
            took = run(backup, tool)
            found.setdefault((tool, 'first' if number == 0 else 'changed'), []).append((took, (size_of(work + '/' + tool) - before) / 2**20))
        if number < args.rounds:
            change(data + '/base.db', number)
            time.sleep(1)
    print('%-10s %8s %10s %10s %12s %10s' % ('tool', 'first s', 'MiB', 'changed s', 'adds MiB', 'restore s'))
    for tool in tools:
        shutil.rmtree(out, ignore_errors=True)
        restore = commands[tool][2]
        took = run(restore, tool) if restore else float('nan')
        for at, _, names in os.walk(out):
            for name in names:
                if not filecmp.cmp(os.path.join(at, name), data + '/base.db', shallow=False): sys.exit('%s restored something else' % tool)
        median = lambda step, which: statistics.median(result[which] for result in found[tool, step])
        print('%-10s %8.2f %10.1f %10.2f %12.2f %10.2f' % (tool, median('first', 0), median('first', 1), median('changed', 0), median('changed', 1), took))

main()
