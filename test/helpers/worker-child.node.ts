/** Uses a model and forgets it: the process must end by itself. Arguments: the model, and what to leave undone. */
import { load } from '../../src/node.ts';

const [path, left] = process.argv.slice(2);
const model = await load(path!, { threads: 1 });
const pieces = model.generate('밧줄', { maxTokens: 100, seed: 1, stopTokens: [] });
const { value } = await pieces.next();
process.stdout.write(typeof value === 'string' ? 'a piece\n' : 'nothing\n');
if (left !== 'suspended') await pieces.return();
if (left === 'exit') process.exit(3);
