/**
 * Any number of transfers by libcurl at once, on one thread: every protocol,
 * proxy and quirk it knows, without a `curl` process for each.
 *
 * libcurl's multi interface is made to be driven by somebody else's event loop:
 * it calls back to say which sockets to watch (`hub.add`, `hub.remove`) and
 * when to be called at the latest (`hub.scheduleCallGlobal`), and is told what
 * became ready by `curl_multi_socket_action`. The callbacks come while that
 * very function runs, on this thread, so each symbol that may call back says
 * `callback: true`; and they must not call libcurl, which is not reentrant.
 *
 * Trap: `curl_easy_setopt` takes variable arguments, which FFI cannot say. It
 * is declared once per type of argument. That is sound where such an argument
 * travels as any other: integers and pointers on Linux, x86-64 and aarch64; not
 * on Apple's ARM, where it goes by the stack.
 */

import { type FdListener, getHub, GreenEvent, type Timer } from "../../mod.ts";
import { cString, textAt } from "./c.ts";

const SETOPT = "curl_easy_setopt";
const MULTI_SETOPT = "curl_multi_setopt";
/** Deno needs to know; its types do not know that it does. */
const CALLS_BACK = { callback: true } as const;
const SYMBOLS = {
  curl_easy_init: { parameters: [], result: "pointer" },
  setoptLong: {
    name: SETOPT,
    parameters: ["pointer", "i32", "i64"],
    result: "i32",
  },
  setoptString: {
    name: SETOPT,
    parameters: ["pointer", "i32", "buffer"],
    result: "i32",
  },
  setoptPointer: {
    name: SETOPT,
    parameters: ["pointer", "i32", "pointer"],
    result: "i32",
  },
  curl_easy_getinfo: {
    parameters: ["pointer", "i32", "buffer"],
    result: "i32",
  },
  curl_easy_cleanup: {
    parameters: ["pointer"],
    result: "void",
    ...CALLS_BACK,
  },
  curl_easy_strerror: { parameters: ["i32"], result: "pointer" },
  curl_multi_init: { parameters: [], result: "pointer" },
  multiSetopt: {
    name: MULTI_SETOPT,
    parameters: ["pointer", "i32", "pointer"],
    result: "i32",
  },
  curl_multi_add_handle: {
    parameters: ["pointer", "pointer"],
    result: "i32",
    ...CALLS_BACK,
  },
  curl_multi_remove_handle: {
    parameters: ["pointer", "pointer"],
    result: "i32",
    ...CALLS_BACK,
  },
  curl_multi_socket_action: {
    parameters: ["pointer", "i32", "i32", "buffer"],
    result: "i32",
    ...CALLS_BACK,
  },
  curl_multi_info_read: {
    parameters: ["pointer", "buffer"],
    result: "pointer",
  },
  curl_multi_cleanup: {
    parameters: ["pointer"],
    result: "i32",
    ...CALLS_BACK,
  },
} as const satisfies Deno.ForeignLibraryInterface;

const curl = openCurl();

const CURLOPT_WRITEDATA = 10_001;
const CURLOPT_URL = 10_002;
const CURLOPT_PROXY = 10_004;
const CURLOPT_WRITEFUNCTION = 20_011;
const CURLOPT_NOSIGNAL = 99;
const CURLOPT_TIMEOUT_MS = 155;
const CURLINFO_RESPONSE_CODE = 0x200002;
const CURLMOPT_SOCKETFUNCTION = 20_001;
const CURLMOPT_TIMERFUNCTION = 20_004;
const CURL_POLL_REMOVE = 4;
const CURL_CSELECT_IN = 1;
const CURL_CSELECT_OUT = 2;
const CURL_CSELECT_ERR = 4;
const CURL_SOCKET_TIMEOUT = -1;

/** A transfer failed: libcurl's `CURLcode` and what it means. */
export class CurlError extends Error {
  override readonly name: string = "CurlError";
  /** The `CURLcode`. */
  readonly code: number;

  constructor(code: number) {
    super(`${textAt(curl.curl_easy_strerror(code))} (CURLcode ${code})`);
    this.code = code;
  }
}

/** How {@linkcode Curl.get} transfers. */
export interface GetOptions {
  /** libcurl's own limit for the transfer, ms. */
  readonly timeout?: number;
  /** Break it off. */
  readonly signal?: AbortSignal;
}

/** What came. */
export interface Response {
  readonly status: number;
  readonly body: Uint8Array;
}

interface Transfer {
  readonly chunks: Uint8Array[];
  readonly done: GreenEvent<Response>;
}

/** A multi handle, driven by the hub. */
export class Curl implements Disposable {
  readonly #hub = getHub();
  readonly #multi = curl.curl_multi_init();
  readonly #transfers = new Map<bigint, Transfer>();
  readonly #listeners = new Map<number, FdListener[]>();
  #timer: Timer | null = null;

  // int (CURL *easy, curl_socket_t fd, int what, void *, void *)
  readonly #onSocket = new Deno.UnsafeCallback({
    parameters: ["pointer", "i32", "i32", "pointer", "pointer"],
    result: "i32",
  }, (_easy, fd, what) => {
    this.#watch(fd, what === CURL_POLL_REMOVE ? 0 : what);
    return 0;
  });

  // int (CURLM *multi, long timeout_ms, void *); -1: no timer
  readonly #onTimer = new Deno.UnsafeCallback({
    parameters: ["pointer", "i64", "pointer"],
    result: "i32",
  }, (_multi, ms) => {
    this.#timer?.cancel();
    this.#timer = ms < 0n ? null : this.#hub.scheduleCallGlobal(
      Number(ms),
      () => this.#act(CURL_SOCKET_TIMEOUT, 0),
    );
    return 0;
  });

  // size_t (char *data, size_t size, size_t count, void *easy)
  readonly #onData = new Deno.UnsafeCallback({
    parameters: ["pointer", "usize", "usize", "pointer"],
    result: "usize",
  }, (data, _size, count, easy) => {
    const bytes = new Uint8Array(Number(count));
    if (data !== null) new Deno.UnsafePointerView(data).copyInto(bytes);
    this.#transfers.get(Deno.UnsafePointer.value(easy))?.chunks.push(bytes);
    return count;
  });

  constructor() {
    const { pointer } = this.#onSocket;
    curl.multiSetopt(this.#multi, CURLMOPT_SOCKETFUNCTION, pointer);
    const { pointer: onTimer } = this.#onTimer;
    curl.multiSetopt(this.#multi, CURLMOPT_TIMERFUNCTION, onTimer);
  }

  /** Fetch `url`; the calling greenthread waits, the others go on. */
  async get(url: string, options: GetOptions = {}): Promise<Response> {
    const { timeout = 0, signal } = options;
    const easy = curl.curl_easy_init();
    curl.setoptString(easy, CURLOPT_URL, cString(url));
    curl.setoptString(easy, CURLOPT_PROXY, cString(""));
    curl.setoptLong(easy, CURLOPT_NOSIGNAL, 1n);
    curl.setoptLong(easy, CURLOPT_TIMEOUT_MS, BigInt(timeout));
    curl.setoptPointer(easy, CURLOPT_WRITEFUNCTION, this.#onData.pointer);
    curl.setoptPointer(easy, CURLOPT_WRITEDATA, easy);
    const transfer = { chunks: [], done: new GreenEvent<Response>() };
    const key = Deno.UnsafePointer.value(easy);
    this.#transfers.set(key, transfer);
    curl.curl_multi_add_handle(this.#multi, easy);
    try {
      return await transfer.done.wait(signal ? { signal } : {});
    } finally {
      // However it ended: done, timed out, aborted, its greenthread killed.
      this.#transfers.delete(key);
      curl.curl_multi_remove_handle(this.#multi, easy);
      curl.curl_easy_cleanup(easy);
    }
  }

  /** Close all connections. No transfer may be under way. */
  [Symbol.dispose](): void {
    curl.curl_multi_cleanup(this.#multi);
    this.#timer?.cancel();
    for (const fd of this.#listeners.keys()) this.#watch(fd, 0);
    this.#onSocket.close();
    this.#onTimer.close();
    this.#onData.close();
  }

  /** Watch a socket of libcurl's for just this: CURL_POLL_IN = 1, OUT = 2. */
  #watch(fd: number, what: number): void {
    for (const one of this.#listeners.get(fd) ?? []) this.#hub.remove(one);
    this.#listeners.delete(fd);
    const listeners = [];
    for (const evtype of [this.#hub.READ, this.#hub.WRITE] as const) {
      if ((what & evtype) === 0) continue;
      const ready = evtype === 1 ? CURL_CSELECT_IN : CURL_CSELECT_OUT;
      listeners.push(this.#hub.add(
        evtype,
        fd,
        () => this.#act(fd, ready),
        () => this.#act(fd, CURL_CSELECT_ERR),
      ));
    }
    if (listeners.length > 0) this.#listeners.set(fd, listeners);
  }

  /** From MAINLOOP: tell libcurl what happened, and see what is done by it. */
  #act(fd: number, ready: number): void {
    const running = new Int32Array(1);
    curl.curl_multi_socket_action(this.#multi, fd, ready, running);
    const left = new Int32Array(1);
    for (let m; (m = curl.curl_multi_info_read(this.#multi, left)) !== null;) {
      // struct CURLMsg { CURLMSG msg; CURL *easy; union { CURLcode result; } }
      const message = new Deno.UnsafePointerView(m);
      this.#finish(message.getPointer(8), message.getInt32(16));
    }
  }

  #finish(easy: Deno.PointerValue, code: number): void {
    const transfer = this.#transfers.get(Deno.UnsafePointer.value(easy));
    if (transfer === undefined) return;
    if (code !== 0) {
      transfer.done.sendError(new CurlError(code));
      return;
    }
    const status = new BigInt64Array(1);
    curl.curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
    const body = new Uint8Array(
      transfer.chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    );
    let at = 0;
    for (const chunk of transfer.chunks) {
      body.set(chunk, at);
      at += chunk.length;
    }
    transfer.done.send({ status: Number(status[0]), body });
  }
}

/** Debian ships it twice, with OpenSSL and with GnuTLS. */
function openCurl(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  try {
    return Deno.dlopen("libcurl.so.4", SYMBOLS).symbols;
  } catch {
    return Deno.dlopen("libcurl-gnutls.so.4", SYMBOLS).symbols;
  }
}
