import { createRequire } from 'node:module';
import { RopewalkError } from '../errors.ts';
import type { Koffi, Pointer } from '../runtime/library.node.ts';

/** The MPI functions that we call. Handles are pointers in Open MPI and 32-bit integers in MPICH. */
const FUNCTIONS = (handle: string) =>
  ({
    initThread: 'int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)',
    finalize: 'int MPI_Finalize()',
    abort: `int MPI_Abort(${handle} comm, int code)`,
    rank: `int MPI_Comm_rank(${handle} comm, _Out_ int *rank)`,
    size: `int MPI_Comm_size(${handle} comm, _Out_ int *size)`,
    exchange: `int MPI_Ialltoallv(void *send, void *sendCounts, void *sendPlaces, ${handle} sendType, void *recv, void *recvCounts, void *recvPlaces, ${handle} recvType, ${handle} comm, void *request)`,
    barrier: `int MPI_Ibarrier(${handle} comm, void *request)`,
    test: 'int MPI_Test(void *request, _Out_ int *flag, void *status)',
  }) as const;

type Functions = Record<keyof ReturnType<typeof FUNCTIONS>, (...args: unknown[]) => number>;

/** A communicator, type or operation, in the library's representation. */
type Handle = Pointer | number;

/** An MPI library: its functions and constants. */
export interface MpiLibrary extends Functions {
  readonly koffi: Koffi;
  readonly name: string;
  readonly world: Handle;
  readonly bytes: Handle;
  /** MPI_STATUS_IGNORE */
  readonly ignore: Pointer;
}

interface Kind {
  readonly name: string;
  readonly files: readonly string[];
  readonly handle: string;
  constants(symbol: (name: string) => Pointer): Omit<MpiLibrary, keyof Functions | 'koffi' | 'name'>;
}

/**
 * The two binary interfaces of MPI libraries: Open MPI's `mpi.h`, and the ABI that MPICH, Intel MPI and MVAPICH share.
 */
const KINDS: readonly Kind[] = [
  {
    name: 'Open MPI',
    files: ['libmpi.so.40', 'libmpi.40.dylib', 'libmpi.dylib'],
    handle: 'void *',
    constants: (symbol) => ({
      world: symbol('ompi_mpi_comm_world'),
      bytes: symbol('ompi_mpi_byte'),
      ignore: 0n,
    }),
  },
  {
    name: 'MPICH',
    files: ['libmpich.so.12', 'libmpi.so.12', 'libmpi.12.dylib'],
    handle: 'int',
    constants: () => ({
      world: 0x44000000,
      bytes: 0x4c00010d,
      // (MPI_Status *) 1
      ignore: 1n,
    }),
  },
];

const require = createRequire(import.meta.url);

/**
 * Loads the MPI library of this machine.
 *
 * @param launcher decides which library is tried first, since a library only works under its own launcher.
 * @throws RopewalkError if there is none, naming the package to install.
 */
export function openMpi(launcher: string): MpiLibrary {
  let koffi: Koffi;
  try {
    koffi = require('koffi') as Koffi;
  } catch (error) {
    throw new RopewalkError(
      'training over MPI needs the package koffi, which npm did not install here; install it with "npm install koffi", or start one process without mpirun.',
      { cause: error },
    );
  }
  const kinds = launcher.includes('PMI') ? KINDS.toReversed() : KINDS;
  const tried = kinds.flatMap((kind) => kind.files.map((file) => ({ kind, file })));
  for (const { kind, file } of tried) {
    const library = tryOpen(koffi, kind, file);
    if (library) return library;
  }
  throw new RopewalkError(
    `this process was started by ${launcher}, but there is no MPI library (${tried.map(({ file }) => file).join(', ')}); install it (Debian: openmpi-bin), or start one process without mpirun.`,
  );
}

function tryOpen(koffi: Koffi, { name, handle, constants }: Kind, file: string): MpiLibrary | undefined {
  let library: ReturnType<Koffi['load']>;
  try {
    library = koffi.load(file);
  } catch {
    return undefined;
  }
  const functions = Object.fromEntries(
    Object.entries(FUNCTIONS(handle)).map(([key, definition]) => [key, library.func(definition)]),
  ) as Functions;
  const symbol = (variable: string) => koffi.address(library.symbol(variable));
  return { ...functions, ...constants(symbol), koffi, name };
}
