// What an operation of the node is: one item in, its results out.
import type { IDataObject, IExecuteFunctions } from 'n8n-workflow';

export type Action = (context: IExecuteFunctions, itemIndex: number) => Promise<IDataObject[]>;
