// A Secret is text or bytes that must not reach a log, an error or a dump: it shows as «secret» everywhere until it is
// revealed by name, which makes every use easy to find.

import { inspect } from 'node:util';

export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return '«secret»';
  }

  toJSON(): string {
    return '«secret»';
  }

  [inspect.custom](): string {
    return '«secret»';
  }
}
