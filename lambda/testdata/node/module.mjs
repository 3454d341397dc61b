import { sep } from 'node:path';
const ready = await Promise.resolve('ready');
export const handler = async () => ready + sep.length;
