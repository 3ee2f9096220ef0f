#!/usr/bin/env python3
"""Side-by-side run of bundles with tar and its compressors: wall, cpu, peak RSS, size.

usage: peers_bundle.py CORPUS_DIR WORK_DIR [--rounds N] [--level N]
gzip, pigz and zstd are taken from PATH, BR from the environment or PATH. Rounds interleave everything; medians are printed. tar
writes what `tar c | gzip` writes; br hashes every member besides, and when it reads, it compares all of them.
"""
import argparse, glob, os, shutil, statistics, subprocess, sys, time

def run(command, log):
    start = time.monotonic()
    with open(log, 'ab') as out:
        out.write(('\n$ ' + command + '\n').encode()); out.flush()
        process = subprocess.Popen(['bash', '-o', 'pipefail', '-c', command], stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 3):
        print('!! %s failed, see %s' % (command, log), file=sys.stderr)
    return dict(wall=time.monotonic() - start, cpu=usage.ru_utime + usage.ru_stime, rss=usage.ru_maxrss / 1024)

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('corpus'); parser.add_argument('work')
    parser.add_argument('--rounds', type=int, default=3); parser.add_argument('--level', type=int, default=6)
    args = parser.parse_args()
    corpus, work, level = os.path.abspath(args.corpus), os.path.abspath(args.work), args.level
    parent, name = os.path.split(corpus)
    br = os.environ.get('BR', 'br')
    shutil.rmtree(work, ignore_errors=True); os.makedirs(work)
    log, found = work + '/log.txt', {}
    # Name, how to write, the file, how to read into a new folder `out`.
    tar = 'tar c -C %s %s' % (parent, name)
    tools = [
        ('tar | gzip', '%s | gzip -%d > %s/a.tar.gz' % (tar, level, work), 'a.tar.gz', 'tar xzf %s/a.tar.gz -C %s/out' % (work, work)),
        ('tar | pigz', '%s | pigz -%d > %s/b.tar.gz' % (tar, level, work), 'b.tar.gz', 'tar x -I pigz -f %s/b.tar.gz -C %s/out' % (work, work)),
        ('br tar.gz', '%s export %s --dir %s/gz --format tar.gz --level %d --quiet' % (br, corpus, work, level), 'gz/*.tar.gz',
         '%s import %s/gz/*.tar.gz --into %s/out/in --quiet' % (br, work, work)),
        ('tar | zstd -T2', '%s | zstd -q -T2 > %s/c.tar.zst' % (tar, work), 'c.tar.zst', 'tar x -I zstd -f %s/c.tar.zst -C %s/out' % (work, work)),
        ('br tar.zst', '%s export %s --dir %s/zst --format tar.zst --quiet' % (br, corpus, work), 'zst/*.tar.zst',
         '%s import %s/zst/*.tar.zst --into %s/out/in --quiet' % (br, work, work)),
    ]
    for _ in range(args.rounds):
        for tool, write, file, read in tools:
            for old in glob.glob(work + '/' + file): os.remove(old)
            shutil.rmtree(work + '/out', ignore_errors=True); os.makedirs(work + '/out')
            for step, command in (('write', write), ('read', read)):
                result = run(command, log)
                result['size'] = os.path.getsize(glob.glob(work + '/' + file)[0]) / 2**20
                found.setdefault((step, tool), []).append(result)
    shutil.rmtree(work + '/out', ignore_errors=True)
    print('%-6s %-15s %8s %8s %9s %9s' % ('step', 'tool', 'wall s', 'cpu s', 'rss MiB', 'size MiB'))
    for step in ('write', 'read'):
        for tool, *_ in tools:
            median = lambda key: statistics.median(result[key] for result in found[step, tool])
            print('%-6s %-15s %8.2f %8.2f %9.0f %9.1f' % (step, tool, median('wall'), median('cpu'), median('rss'), median('size')))

main()
