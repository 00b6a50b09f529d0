import { RopewalkError } from '../errors.ts';

/** The model is gone: it was released, or its thread has ended. */
export class ModelEnded extends RopewalkError {}
