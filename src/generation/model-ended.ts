import { RopewalkError } from '../errors.ts';

/** The model that was asked is there no longer: it was released, or its thread has ended. */
export class ModelEnded extends RopewalkError {}
