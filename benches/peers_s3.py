#!/usr/bin/env python3
"""Side-by-side run of backup tools with repositories on one S3 server: wall, cpu, peak RSS, requests.

usage: peers_s3.py CORPUS_DIR WORK_DIR tool[,tool...] [--rounds N] [--latency MS]
The server is br-s3-server of the testkit (BR_S3_SERVER), which keeps all in memory, counts requests and can add latency to
each. Tools are taken from the environment: RESTIC, RUSTIC, BR (paths), else PATH. Rounds interleave the tools; every step
but `unchanged` of a tool starts with an empty cache, as on a machine that knows nothing; medians are printed.
"""
import argparse, json, os, shutil, statistics, subprocess, sys, time, urllib.request

STEPS = ('backup', 'unchanged', 'restore', 'check')
KEYS = {'AWS_ACCESS_KEY_ID': 'bench-key', 'AWS_SECRET_ACCESS_KEY': 'bench-secret', 'AWS_REGION': 'us-east-1'}

def run(command, env, cwd, log):
    start = time.monotonic()
    with open(log, 'ab') as out:
        out.write(('\n$ ' + ' '.join(command) + '\n').encode()); out.flush()
        process = subprocess.Popen(command, env={**os.environ, **KEYS, **env}, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        print('!! %s failed, see %s' % (' '.join(command), log), file=sys.stderr)
    return dict(wall=time.monotonic() - start, cpu=usage.ru_utime + usage.ru_stime, rss=usage.ru_maxrss / 1024)

def tools(work, url):
    get = os.environ.get
    restic, rustic, br = get('RESTIC', 'restic'), get('RUSTIC', 'rustic'), get('BR', 'br')
    env = {'RESTIC_PASSWORD': 'x', 'RUSTIC_PASSWORD': 'x', 'BR_PASSWORD': 'x', 'HOME': work + '/home', 'XDG_CACHE_HOME': work + '/cache'}
    with open(work + '/rustic.toml', 'w') as f:
        f.write('[repository]\nrepository = "opendal:s3"\n[repository.options]\nbucket = "bench"\nroot = "/rustic"\n'
                'endpoint = "%s"\nregion = "us-east-1"\n' % url)
    r = [restic, '-r', 's3:%s/bench/restic' % url]
    u = [rustic, '--no-progress', '-P', work + '/rustic']
    b = [br, '-r', 's3://bench/br?endpoint=%s' % url]
    return {
        'restic': (env, r + ['init'], r + ['backup', '.'], r + ['restore', 'latest', '--target'], r + ['check', '--read-data']),
        'rustic': (env, u + ['init'], u + ['backup', '.'], u + ['restore', 'latest'], u + ['check', '--read-data']),
        'br': (env, b + ['init'], b + ['backup', '.'], b + ['restore', 'latest', '--target'], b + ['check', '--read-data']),
    }

def start_server(latency):
    server = subprocess.Popen([os.environ.get('BR_S3_SERVER', 'br-s3-server'), '--port', '0', '--bucket', 'bench', '--latency-ms', str(latency)],
                              env={**os.environ, **KEYS}, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().split()[-1]

def requests(url):
    """Requests since the last call, all kinds together."""
    return sum(json.load(urllib.request.urlopen(url + '/_counts')).values())

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('corpus'); parser.add_argument('work'); parser.add_argument('tools')
    parser.add_argument('--rounds', type=int, default=3); parser.add_argument('--latency', type=int, default=0)
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True); os.makedirs(args.work + '/home')
    log, found = args.work + '/log.txt', {}
    for _ in range(args.rounds):
        for name in args.tools.split(','):
            # A server of its own for each run: what it holds in memory does not grow.
            server, url = start_server(args.latency)
            env, init, backup, restore, check = tools(args.work, url)[name]
            target = args.work + '/out'
            def forget():
                shutil.rmtree(args.work + '/cache', ignore_errors=True); os.makedirs(args.work + '/cache')
            forget(); run(init, env, args.corpus, log)
            for step in STEPS:
                shutil.rmtree(target, ignore_errors=True)
                if step not in ('backup', 'unchanged'): forget()
                command = {'backup': backup, 'unchanged': backup, 'restore': restore + [target], 'check': check}[step]
                requests(url)
                result = run(command, env, args.corpus, log)
                result['requests'] = requests(url)
                found.setdefault((step, name), []).append(result)
            server.terminate(); server.wait(); shutil.rmtree(target, ignore_errors=True)
    print('%-10s %-8s %8s %8s %9s %9s' % ('step', 'tool', 'wall s', 'cpu s', 'rss MiB', 'requests'))
    for step in STEPS:
        for name in args.tools.split(','):
            median = lambda key: statistics.median(result[key] for result in found[step, name])
            print('%-10s %-8s %8.2f %8.2f %9.0f %9d' % (step, name, median('wall'), median('cpu'), median('rss'), median('requests')))

main()
