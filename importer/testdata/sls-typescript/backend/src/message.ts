import { post } from './post';
export const index = post;
