// {{name}}: counts how often one byte occurs. Change it into what you need.
//
// The contract is wit/engine/v1/engine.wit; its names are in camelCase here, and u64 is a BigInt. Other modules beside this
// one may be imported by relative path; there are no files, no network and no clock.
import { fail, log, progress } from 'filemill:engine/host@1.0.0';

// Read this much at a time; the host may give less.
const PIECE_BYTES = 256n * 1024n;

// What there is to set, and how to show what is reported: JSON Schema, with the hints that the contract names.
const PARAMETERS = {
  type: 'object',
  additionalProperties: false,
  properties: {
    byte: { title: 'Byte to count', type: 'integer', minimum: 0, maximum: 255, default: 10 },
  },
};
const REPORT = {
  type: 'object',
  properties: {
    bytes: { title: 'Size', type: 'integer', 'x-unit': 'By', 'x-format': 'bytes' },
    matches: { title: 'Matches', type: 'integer', 'x-format': 'count', 'x-column': true },
  },
};

// What the contract calls `analyzer`.
export const analyzer = {
  describe() {
    return {
      name: '{{name}}', // as in engine.toml
      version: '0.1.0',
      summary: 'counts how often one byte occurs',
      mediaTypes: [],
      access: 'streaming',
      parameterSchema: JSON.stringify(PARAMETERS),
      reportSchema: JSON.stringify(REPORT),
    };
  },

  analyze(file, input, parameters) {
    try {
      return analyze(file, input, JSON.parse(parameters));
    } catch (error) {
      if (error instanceof Failure) throw error.payload;
      // Nobody would see what went wrong: an exception that leaves the component is only a trap.
      fail(`${error?.message ?? JSON.stringify(error.payload ?? error)}\n${error?.stack ?? ''}`);
    }
  },
};

// Why there is no report; the uploader reads `text`. `kind` is `unsupported`, `malformed` or `failed`.
class Failure extends Error {
  constructor(kind, text) {
    super(text);
    this.payload = { tag: kind, val: text };
  }
}

function analyze(file, input, { byte = 10, ...others }) {
  if (Object.keys(others).length > 0 || !Number.isInteger(byte) || byte < 0 || byte > 255) {
    throw new Failure('failed', 'the parameters are not understood; hint: `{}` or `{"byte": 0 to 255}`');
  }
  log('info', `counting byte ${byte}`);

  let bytes = 0;
  let matches = 0;
  for (;;) {
    const piece = read(input); // empty at the end of the file
    if (piece.length === 0) break;
    bytes += piece.length;
    for (const other of piece) {
      if (other === byte) matches += 1;
    }
    if (file.size > 0n) progress(Math.min(1000, Math.floor((bytes * 1000) / Number(file.size))));
  }

  return {
    summary: `${matches} matches in ${bytes} bytes`,
    json: JSON.stringify({ bytes, matches }),
    artifacts: [],
  };
}

function read(input) {
  try {
    return input.read(PIECE_BYTES);
  } catch (error) {
    throw new Failure('failed', `the input ended early: ${error.payload?.val ?? error.payload?.tag ?? error}`);
  }
}
