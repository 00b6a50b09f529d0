/*
 * Hosts made of network namespaces on this machine: each has its own network interface and host name, and a bridge joins
 * them. mpirun starts its daemons in them through an agent in place of ssh. Needs root, iproute2, util-linux and Open MPI.
 */
import { execFileSync, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NET = '10.77.0';
const BRIDGE = 'rwbridge';
/** mpirun notices within 16 s that a host is gone, as docs/many-processors.md recommends; by default it takes minutes. */
const KEEPALIVE = ['time 10', 'intvl 2', 'probes 3'].flatMap((setting) => [
  '--mca',
  ...`oob_tcp_keepalive_${setting}`.split(' '),
]);
const name = (host: number) => `rwhost${host}`;

export class Hosts {
  readonly #folder = mkdtempSync(join(tmpdir(), 'ropewalk-hosts-'));
  readonly #remove = () => this.remove();

  constructor(readonly count: number) {
    process.once('exit', this.#remove);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
    ip('link', 'add', BRIDGE, 'type', 'bridge');
    ip('link', 'set', BRIDGE, 'up');
    for (let host = 1; host <= count; host++) {
      ip('netns', 'add', name(host));
      ip('link', 'add', `rwveth${host}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name(host));
      ip('link', 'set', `rwveth${host}`, 'master', BRIDGE, 'up');
      ip('-n', name(host), 'link', 'set', 'lo', 'up');
      ip('-n', name(host), 'link', 'set', 'eth0', 'up');
      ip('-n', name(host), 'addr', 'add', `${NET}.${host}/24`, 'dev', 'eth0');
    }
    // mpirun calls it with a host and a command line, as it would ssh.
    writeFileSync(
      this.#agent,
      `#!/bin/sh\nhost="rwhost\${1##*.}"\nshift\nexec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"\n`,
      { mode: 0o755 },
    );
  }

  get #agent(): string {
    return join(this.#folder, 'agent.sh');
  }

  /** @param rate of every host's link in both directions, as `tc` writes it; undefined for no limit. */
  limit(rate: string | undefined): void {
    for (let host = 1; host <= this.count; host++) {
      spawnSync('tc', ['-n', name(host), 'qdisc', 'del', 'dev', 'eth0', 'root'], { stdio: 'ignore' });
      if (rate === undefined) continue;
      // The bucket holds several of the kernel's 64 KiB segments; smaller ones never reach the rate.
      const shape = ['root', 'tbf', 'rate', rate, 'burst', '256kb', 'latency', '20ms'];
      execFileSync('tc', ['-n', name(host), 'qdisc', 'add', 'dev', 'eth0', ...shape]);
    }
  }

  /** Cuts a host off, or joins it again. */
  link(host: number, state: 'up' | 'down'): void {
    ip('link', 'set', `rwveth${host}`, state);
  }

  /** Starts a command on the first hosts, one process on each. */
  mpirun(
    ranks: number,
    command: readonly string[],
    more: readonly string[] = [],
    options: SpawnOptions = {},
  ) {
    const hosts = Array.from({ length: ranks }, (_, i) => `${NET}.${i + 1}:1`).join(',');
    const args = [
      ...['--allow-run-as-root', '--bind-to', 'none', '--host', hosts, '-n', String(ranks)],
      ...['--mca', 'plm_rsh_agent', this.#agent, '--mca', 'oob_tcp_if_include', `${NET}.0/24`],
      ...['--mca', 'btl', 'tcp,self', '--mca', 'btl_tcp_if_include', `${NET}.0/24`],
      ...[...KEEPALIVE, ...more, ...command],
    ];
    const inFirst = ['netns', 'exec', name(1), 'unshare', '--uts', 'sh', '-c'];
    const script = `hostname ${name(1)}; exec mpirun "$@"`;
    return spawn('ip', [...inFirst, script, 'mpirun', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
      ...options,
    });
  }

  /** Runs a command on the first hosts. @returns its output. */
  async output(ranks: number, command: readonly string[]): Promise<string> {
    const child = this.mpirun(ranks, command);
    let text = '';
    child.stdout!.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`mpirun ended with ${code}`);
    return text;
  }

  /** The processes on all hosts. */
  processes(): number[] {
    return Array.from({ length: this.count }, (_, i) => {
      const { stdout } = spawnSync('ip', ['netns', 'pids', name(i + 1)], { encoding: 'utf8' });
      return stdout.split('\n').filter(Boolean).map(Number);
    }).flat();
  }

  /** Ends what still runs on the hosts, and removes them. */
  remove(): void {
    process.off('exit', this.#remove);
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    for (let host = 1; host <= this.count; host++) {
      spawnSync('ip', ['link', 'del', `rwveth${host}`], { stdio: 'ignore' });
      spawnSync('ip', ['netns', 'del', name(host)], { stdio: 'ignore' });
    }
    spawnSync('ip', ['link', 'del', BRIDGE], { stdio: 'ignore' });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args);
}
