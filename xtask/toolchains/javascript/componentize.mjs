// Makes a component of one JavaScript module: `node componentize.mjs SOURCE WIT-FOLDER OUTPUT`.
//
// Without any of the features that would import WASI: such a component asks for nothing beside the contract.
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, witPath, output] = process.argv.slice(2);
try {
  const { component } = await componentize({
    sourcePath,
    witPath,
    worldName: 'engine',
    disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
  });
  await writeFile(output, component);
} catch (error) {
  console.error(error?.message ?? String(error));
  process.exit(1);
}
