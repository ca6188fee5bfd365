/**
 * What a queue says when it may not wait, or has waited long enough.
 *
 * @module
 */

/** There was no room in the queue, and no time (left) to wait for it. */
export class QueueFull extends Error {
  /** The name of the class. */
  override readonly name: string = "QueueFull";

  /** Say why there was no waiting. */
  constructor(message = "Cannot put: the queue is full") {
    super(message);
  }
}

/** There was nothing in the queue, and no time (left) to wait for it. */
export class QueueEmpty extends Error {
  /** The name of the class. */
  override readonly name: string = "QueueEmpty";

  /** Say why there was no waiting. */
  constructor(message = "Cannot get: the queue is empty") {
    super(message);
  }
}
