// letters-js: how often each letter occurs in a text. `letters-py` gives the same report, to the byte.
//
// A letter is a character that has an upper and a lower case; it counts in lower case, where that is one character again. The
// text is UTF-8; what is not, counts as replaced. A file with a zero byte is no text. (The JavaScript engine inside has no
// tables of Unicode's categories, so `\p{L}` is no regular expression there.)
import { fail, log, progress } from 'filemill:engine/host@1.0.0';

// Read this much at a time; the host may give less.
const PIECE_BYTES = 256n * 1024n;

const PARAMETERS = {
  type: 'object',
  additionalProperties: false,
  properties: {
    top: { title: 'Letters to list', type: 'integer', minimum: 1, maximum: 1000, default: 10 },
  },
};
const REPORT = {
  type: 'object',
  properties: {
    characters: { title: 'Characters', type: 'integer', 'x-format': 'count' },
    letters: { title: 'Letters', type: 'integer', 'x-format': 'count', 'x-column': true },
    distinct: { title: 'Distinct letters', type: 'integer', 'x-format': 'count', 'x-column': true },
    replaced: { title: 'Not UTF-8', type: 'integer', 'x-format': 'count' },
    frequent: {
      title: 'Most frequent letters',
      type: 'array',
      'x-format': 'table',
      items: {
        type: 'object',
        properties: {
          letter: { title: 'Letter', type: 'string', 'x-format': 'text' },
          count: { title: 'Count', type: 'integer', 'x-format': 'count' },
          per_mille: { title: 'Share', type: 'integer', 'x-unit': '[ppth]' },
        },
      },
    },
  },
};

// What the contract calls `analyzer`.
export const analyzer = {
  describe() {
    return {
      name: 'letters-js',
      version: '0.1.0',
      summary: 'counts how often each letter occurs in a text',
      mediaTypes: ['text/*'],
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
      fail(`${error?.message ?? error}\n${error?.stack ?? ''}`);
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

function analyze(file, input, { top = 10, ...others }) {
  if (Object.keys(others).length > 0 || !Number.isInteger(top) || top < 1 || top > 1000) {
    throw new Failure('failed', 'the parameters are not understood; hint: `{}` or `{"top": 1 to 1000}`');
  }
  const counts = new Map();
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let bytes = 0;
  for (;;) {
    const piece = read(input);
    const atEnd = piece.length === 0;
    for (const character of decoder.decode(piece, { stream: !atEnd })) {
      counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    if (atEnd) break;
    if (counts.has('\0')) throw new Failure('unsupported', 'this is no text: it has a zero byte');
    bytes += piece.length;
    if (file.size > 0n) progress(Math.min(1000, Math.floor((bytes * 1000) / Number(file.size))));
  }
  return report(counts, top);
}

// The next bytes, none at the end of the file.
function read(input) {
  try {
    return input.read(PIECE_BYTES);
  } catch (error) {
    throw new Failure('failed', `the input ended early: ${error.payload?.val ?? 'cancelled'}`);
  }
}

function report(counts, top) {
  const replaced = counts.get('\ufffd') ?? 0;
  if (replaced > 0) log('warn', `${replaced} times the text is not UTF-8`);
  const letters = new Map();
  let characters = 0;
  let total = 0;
  for (const [character, count] of counts) {
    characters += count;
    const lower = character.toLowerCase();
    if (lower === character.toUpperCase()) continue;
    const letter = [...lower].length === 1 ? lower : character;
    letters.set(letter, (letters.get(letter) ?? 0) + count);
    total += count;
  }
  const frequent = [...letters]
    .sort(([a, many], [b, more]) => more - many || a.codePointAt(0) - b.codePointAt(0))
    .slice(0, top)
    .map(([letter, count]) => ({ letter, count, per_mille: Math.floor((count * 1000) / total) }));
  const most = frequent.length > 0 ? `, most often ${frequent[0].letter}` : '';
  return {
    summary: `${total} letters, ${letters.size} distinct${most}`,
    json: JSON.stringify({ characters, letters: total, distinct: letters.size, replaced, frequent }),
    artifacts: [],
  };
}
