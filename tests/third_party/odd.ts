/** Hub modules' exports in every shape that a specifier can meet. */

import { Hub as Tiny } from "./tiny.ts";

/** A hub under another name than `Hub`. */
export class Other extends Tiny {}

/** Says of itself that it cannot work here. */
export class Unavailable extends Tiny {
  static isAvailable(): boolean {
    return false;
  }
}

/** No class at all. */
export const notAClass = 5;

/** A function that `new` cannot be applied to. */
export const notConstructible = () => new Tiny();
